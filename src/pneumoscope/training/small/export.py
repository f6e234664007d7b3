"""A small trained network as one ONNX file, checked against torch before it is kept."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.errors import RunError
from pneumoscope.files import atomic_path

TOLERANCE = 1e-3
_OPSET = 17


def export_checked(module: nn.Module, example: Tensor, output: str, path: Path) -> float:
    """Write a network that takes `pixels`, any batch, and gives `output`.

    Args:
        module: in evaluation mode.
        example: pixels (B, 1, side, side) that it is traced and checked with.
        output: name of what it gives.
        path: the ONNX file.

    Returns:
        The largest difference between file and network on the example.

    Raises:
        RunError: the difference is above `TOLERANCE`.
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                str(temporary),
                input_names=["pixels"],
                output_names=[output],
                dynamic_axes={"pixels": {0: "batch"}, output: {0: "batch"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        difference = _difference(module, example, temporary)
        if not difference <= TOLERANCE:
            raise RunError(f"the ONNX file differs from the network by {difference:.2g}", path=path)
    return difference


def _difference(module: nn.Module, example: Tensor, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": example.numpy()})
    with torch.inference_mode():
        expected = module(example).numpy()
    return float(np.abs(np.asarray(found) - expected).max())
