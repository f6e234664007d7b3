"""The classifier: preprocessing, backbone and head behind one interface."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pneumoscope.bundles.architecture import Pooling
from pneumoscope.bundles.backbones import SOURCES
from pneumoscope.errors import SettingsError
from pneumoscope.models.backbones import build_backbone
from pneumoscope.models.heads import RegionalHead, build_head
from pneumoscope.models.pyramid import PyramidBackbone
from pneumoscope.models.record import Triple
from pneumoscope.models.registry import backbone_record

NUM_CLASSES = 2


@dataclass(frozen=True, slots=True)
class Architecture:
    """All that is needed to build a classifier of the same shape again.

    Attributes:
        backbone: a registered backbone's name, or that of an architecture of timm.
        head: `linear`, `mlp` or `regional`; the last one brings a feature pyramid.
        size: side of the square input, in pixels.
        mean, std: normalisation per RGB channel, on pixels in [0, 1].
        options: extra arguments for timm that the weights require.
        pooling: of the head `regional`.
    """

    backbone: str
    head: str
    size: int
    mean: Triple
    std: Triple
    options: dict[str, Any] = field(default_factory=dict)
    pooling: Pooling = "weighted"


class Classifier(nn.Module):
    """Two logits (negative, positive) for a batch of letterboxed grayscale radiographs.

    `features` is the expensive part and needs no graph to explain a decision; `classify` is the
    short tail. Calling the classifier does both.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        if architecture.backbone.startswith(SOURCES):
            # A bundle names an architecture: no file of a bundle leads to the hub or to a folder.
            raise SettingsError(f"'{architecture.backbone}' is not the name of an architecture")
        record = backbone_record(architecture.backbone, architecture.options)
        if architecture.size % record.stride or architecture.size < 2 * record.stride:
            nearest = max(round(architecture.size / record.stride), 2) * record.stride
            raise SettingsError(
                f"input size {architecture.size} does not fit {record.name}",
                remedy=f"choose a multiple of {record.stride}, at least {2 * record.stride}: "
                f"--set size={nearest}",
            )
        self.architecture = architecture
        self.record = record
        backbone = build_backbone(record, architecture.size, architecture.options)
        if architecture.head == "regional":
            backbone = PyramidBackbone(backbone.network)
        self.backbone = backbone
        self.head = self._new_head()
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(architecture.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(shape), persistent=False)

    def sibling(self) -> Classifier:
        """A classifier with a new head on this one's backbone, which both share."""
        other = copy.copy(self)
        other.__dict__["_modules"] = dict(self._modules)
        other.head = self._new_head().to(next(self.head.parameters()))
        return other

    def _new_head(self) -> nn.Module:
        shape = self.architecture
        return build_head(shape.head, self.backbone.num_features, NUM_CLASSES, shape.pooling)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, size, size), uint8 or in [0, 1], to normalised RGB (B, 3, size, size)."""
        scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        # Normalised channel by channel, so that the result is laid out channels-last for the
        # convolutions.
        images = (scaled.expand(-1, 3, -1, -1) - self.mean) / self.std
        return images.contiguous(memory_format=torch.channels_last)

    def features(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, size, size) to the backbone's features."""
        return self.backbone.features(self.normalise(pixels))

    def evidence(self, features: Tensor) -> Tensor:
        """The activation that an explanation differentiates; see `Backbone.evidence`."""
        return self.backbone.evidence(features)

    def classify(self, features: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Features to logits (B, 2); `evidence` may be given, to differentiate by it."""
        seen = self.evidence(features) if evidence is None else evidence
        if isinstance(self.head, RegionalHead):
            return self.head(seen)  # type: ignore[no-any-return]
        return self.head(self.backbone.pooled(features, seen))  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, size, size) to logits (B, 2)."""
        return self.classify(self.features(pixels))

    def cells(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, size, size) to a regional head's log-odds per cell (B, h, w).

        Raises:
            SettingsError: the head is another one.
        """
        return self.cells_of(self.features(pixels))

    def cells_of(self, features: Tensor) -> Tensor:
        """Features to a regional head's log-odds per cell (B, h, w); raises as `cells`."""
        return self._regional().evidence(features)

    def pooled(self, cells: Tensor) -> Tensor:
        """A regional head's log-odds per cell (B, h, w) to logits (B, 2); raises as `cells`."""
        return self._regional().pool(cells)

    def _regional(self) -> RegionalHead:
        if not isinstance(self.head, RegionalHead):
            raise SettingsError(
                f"the head '{self.architecture.head}' has no map of its own",
                remedy="train with the head 'regional'",
            )
        return self.head


def positive_logit(logits: Tensor) -> Tensor:
    """Logits (B, 2) to the log-odds (B,) of the positive class: softmax is the sigmoid of it."""
    return logits[:, 1] - logits[:, 0]
