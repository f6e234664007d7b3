"""Small classifiers with random weights, and radiographs, for the tests of this room."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF

SIZE = 96
# A transformer's position table is as large as its input, so the size is a multiple of 32 for all.
SMALLER: dict[str, dict[str, Any]] = {
    "densenet121": {"block_config": (3, 3, 3, 3)},
    "resnet18": {"channels": (16, 32, 48, 64)},
    "vit_b_16": {"depth": 3, "embed_dim": 48, "num_heads": 3},
}


@functools.cache
def small(backbone: str, head: str = "mlp") -> Classifier:
    """A classifier to be read only; some are smaller than registered."""
    torch.manual_seed(1)
    options = SMALLER.get(backbone, {})
    classifier = Classifier(Architecture(backbone, head, SIZE, HALF, HALF, options)).eval()
    with torch.no_grad():
        for name, parameter in classifier.named_parameters():
            if "qkv.weight" in name:
                parameter.mul_(15)  # As drawn, every token attends to every other alike.
            elif name.startswith("head.") and parameter.ndim == 2:
                parameter.mul_(4)  # Gradients well above the constants peers add to denominators.
    return classifier


def films(count: int) -> Tensor:
    """Smooth noise (count, 1, SIZE, SIZE)."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 1, 6, 6, generator=generator)
    return nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)


@contextmanager
def old_objects_unseen() -> Iterator[None]:
    """The collector sees what is made meanwhile, not the million objects that were there."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def tensors_kept() -> int:
    """How many tensors something still refers to."""
    gc.collect()
    return sum(isinstance(item, Tensor) for item in gc.get_objects())
