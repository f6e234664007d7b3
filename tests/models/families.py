"""One small network of each of timm's families; none of them is registered."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.record import HALF


@dataclass(frozen=True)
class Example:
    """A network of a family.

    Attributes:
        name: of timm.
        layer: what somebody would name to pytorch-grad-cam.
        options: arguments for timm that make it smaller.
        size: side of the input in pixels.
        prefix: tokens before the patches; None for a map (B, C, h, w), -1 for (B, h, w, C).
        finest: pixels a cell of the regional head's map; 0 where the head is refused.
    """

    name: str
    layer: str
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 64
    prefix: int | None = None
    finest: int = 8


_FEW = {"depth": 2, "embed_dim": 48, "num_heads": 3}
EXAMPLES = {
    "resnet": Example("test_resnet", "layer4"),
    "convnext": Example("test_convnext", "norm_pre", {"depths": [1, 1, 1, 1]}),
    "efficientnet": Example("test_efficientnet", "bn2"),
    "mobilenet": Example("mobilenetv3_small_050", "blocks.5"),
    "densenet": Example(
        "densenetblur121d", "features.denseblock4", {"block_config": [2, 2, 2, 2], "growth_rate": 8}
    ),
    "regnet": Example("regnetx_002", "final_conv", size=96),
    "vit": Example("test_vit", "blocks.1.norm1", {"depth": 2}, prefix=1, finest=16),
    "deit": Example("deit_tiny_distilled_patch16_224", "blocks.1.norm1", _FEW, prefix=2, finest=16),
    "swin": Example(
        "swin_tiny_patch4_window7_224",
        "norm",
        {"depths": [1, 1, 2, 1], "embed_dim": 24, "num_heads": [1, 2, 3, 4]},
        size=96,
        prefix=-1,
    ),
    "dinov2": Example(
        "vit_small_patch14_reg4_dinov2", "blocks.1.norm1", _FEW, size=84, prefix=5, finest=14
    ),
    "dinov3": Example("vit_small_patch16_dinov3", "norm", _FEW, prefix=5, finest=16),
    "averaged": Example("test_vit_relpos", "norm", {"depth": 2}, prefix=0, finest=16),
    "hybrid": Example("vit_tiny_r_s16_p8_224", "blocks.1.norm1", _FEW, size=96, prefix=1, finest=0),
    "maxvit": Example("test_maxvit", "norm"),
}


def architecture(family: str, head: str) -> Architecture:
    """A family's example with a head."""
    example = EXAMPLES[family]
    return Architecture(example.name, head, example.size, HALF, HALF, dict(example.options))


@functools.cache
def small(family: str, head: str) -> Classifier:
    """A family's classifier, to be read only, whose answers depend on what it sees."""
    torch.manual_seed(1)
    classifier = Classifier(architecture(family, head)).eval()
    with torch.no_grad():
        for name, parameter in classifier.named_parameters():
            if "qkv.weight" in name:
                parameter.mul_(5)  # As drawn, every token attends to every other alike.
            elif name.startswith("head.") and parameter.ndim == 2:
                parameter.mul_(4)  # Gradients well above the constants peers add to denominators.
                parameter[1:2] = -parameter[:1]  # What speaks against one class is for the other.
            elif name.endswith(("gamma", "gamma_1", "gamma_2")):
                parameter.fill_(0.5)  # Drawn near zero, it switches its branch off.
    return classifier


def films(family: str, count: int) -> Tensor:
    """Smooth noise (count, 1, size, size)."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 1, 6, 6, generator=generator)
    size = EXAMPLES[family].size
    return nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
