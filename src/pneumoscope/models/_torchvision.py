"""Let torchvision's Python part be imported beside a torch it was not compiled for.

The registry's torchvision wheel for Linux is compiled against torch's CUDA build. Beside the CPU
build its compiled operators cannot be loaded, and `import torchvision` then fails while it
registers shape functions for two of them (`nms`, `qnms`), although transforms and models, all that
Pneumoscope and timm use, are plain Python. Declaring the two operators beforehand is enough; they
stay unimplemented, and calling one raises torch's own error.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_DECLARED: list[Any] = []


def prepare_torchvision() -> None:
    """Declare torchvision's missing operators, once, where its binary cannot be loaded."""
    if _DECLARED or _binary_loads():
        return
    # Any: torch leaves these functions without annotations.
    new_library: Any = torch.library.Library
    library = new_library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)
    _DECLARED.append(library)


def _binary_loads() -> bool:
    load: Any = torch.ops.load_library
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for binary in Path(spec.origin).parent.glob("_C*"):
        try:
            load(str(binary))
        except OSError:
            return False
    return True
