"""What must be known of a backbone and of its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
Triple = tuple[float, float, float]
Family = Literal["conv", "dense", "channels_last", "tokens", "patches"]
"""How a network is cut at its Grad-CAM point; a class of `models.backbones` each.

`tokens` are vision transformers that classify by a class token; `patches` average over patches.
"""


@dataclass(frozen=True, slots=True)
class WeightSource:
    """Where ImageNet weights come from, and how the network must be built for them.

    Attributes:
        name: what is written into bundles and model cards; of a hub's file, its repository.
        licence: licence of the weights.
        package: registry package that carries the file; None if there is none.
        sha256: digest of the one file this record describes; None accepts any.
        in_order: the file's tensors match timm's by position rather than by name.
        mean, std: the normalisation the weights were trained with, per RGB channel.
        options: extra arguments for `timm.create_model`.
        available: False where timm knows the architecture and no weights.
        file: the weights on this machine, where the backbone was named by its folder.
    """

    name: str
    licence: str
    package: str | None = None
    sha256: str | None = None
    in_order: bool = False
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    options: dict[str, Any] = field(default_factory=dict)
    available: bool = True
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class BackboneRecord:
    """What must be known of a backbone.

    Attributes:
        name: the name people use.
        timm_name: timm's architecture name.
        family: which `Backbone` class splits it at the Grad-CAM point.
        gradcam_point: the activation Grad-CAM looks at, in words (arXiv 2511.00456, section on
            Grad-CAM).
        stride: input pixels per heatmap cell, along each side.
        sources: weight sources, the automatic one first.
        sized: the network is built for one input size.
        derived: the record comes from timm's metadata, not from this package.
    """

    name: str
    timm_name: str
    family: Family
    gradcam_point: str
    stride: int
    sources: tuple[WeightSource, ...]
    sized: bool = False
    derived: bool = False

    @property
    def automatic(self) -> WeightSource:
        """The source used by `--weights auto`."""
        return self.sources[0]

    def known(self, digest: str) -> WeightSource | None:
        """The source whose file has this hex SHA-256; None if it is of no known source."""
        return next((source for source in self.sources if source.sha256 == digest), None)
