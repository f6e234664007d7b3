"""A timm network cut in two at its Grad-CAM point.

`features` runs everything that the explanation need not differentiate; `evidence` is the activation
whose gradient is taken; `pooled` runs the short tail from there to the vector that the head
classifies. For a convolutional network the evidence is the last feature map. For a vision
transformer it is the first normalisation of the last block, whose residual branch bypasses the
evidence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import timm
from torch import Tensor, nn

from pneumoscope.models.registry import BackboneRecord

_EARLY = 8


class Backbone(nn.Module, ABC):
    """The interface that heads, explanations and exports rely on."""

    network: nn.Module
    num_features: int

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised, to features."""

    def evidence(self, features: Tensor) -> Tensor:
        """The activation that Grad-CAM explains; the features themselves unless overridden."""
        return features

    @abstractmethod
    def pooled(self, features: Tensor, evidence: Tensor) -> Tensor:
        """Features and their evidence to the vector (B, num_features) that a head classifies."""

    def grid(self, evidence: Tensor) -> Tensor:
        """Evidence, or its gradient, as a map (B, C, h, w)."""
        return evidence

    def early_layers(self) -> list[nn.Module]:
        """Layers up to the stage with 8 input pixels per cell; none of a transformer."""
        net: Any = self.network
        stages = [info["module"] for info in net.feature_info if info["reduction"] == _EARLY]
        if not stages:
            return []
        layers = [(name, m) for name, m in net.named_modules() if not any(m.children())]
        last = max(i for i, (name, _) in enumerate(layers) if name.startswith(f"{stages[-1]}."))
        return [layer for _, layer in layers[: last + 1]]


class ConvBackbone(Backbone):
    """A network whose `forward_features` gives the map that is pooled."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_features = int(network.head_hidden_size)  # type: ignore[arg-type]

    def features(self, images: Tensor) -> Tensor:  # noqa: D102
        return self.network.forward_features(images)  # type: ignore[no-any-return, operator]

    def pooled(self, features: Tensor, evidence: Tensor) -> Tensor:  # noqa: D102
        return self.network.forward_head(evidence, pre_logits=True)  # type: ignore[no-any-return, operator]


class DenseBackbone(Backbone):
    """DenseNet: the evidence is the last dense block's output, before its normalisation."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_features = int(network.num_features)  # type: ignore[arg-type]

    def features(self, images: Tensor) -> Tensor:  # noqa: D102
        layers = self.network.features
        assert isinstance(layers, nn.Sequential)
        return layers[:-1](images)  # type: ignore[no-any-return]

    def pooled(self, features: Tensor, evidence: Tensor) -> Tensor:  # noqa: D102
        layers = self.network.features
        assert isinstance(layers, nn.Sequential)
        return self.network.forward_head(layers[-1](evidence), pre_logits=True)  # type: ignore[no-any-return, operator]


class TokenBackbone(Backbone):
    """A vision transformer; features are the tokens (B, 1 + h*w, C) that enter the last block."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_features = int(network.num_features)  # type: ignore[arg-type]

    def features(self, images: Tensor) -> Tensor:  # noqa: D102
        net: Any = self.network
        tokens = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(images))))
        return net.blocks[:-1](tokens)  # type: ignore[no-any-return]

    def evidence(self, features: Tensor) -> Tensor:  # noqa: D102
        net: Any = self.network
        return net.blocks[-1].norm1(features)  # type: ignore[no-any-return]

    def pooled(self, features: Tensor, evidence: Tensor) -> Tensor:  # noqa: D102
        net: Any = self.network
        block = net.blocks[-1]
        tokens = features + block.drop_path1(block.ls1(block.attn(evidence)))
        tokens = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
        return net.forward_head(net.norm(tokens), pre_logits=True)  # type: ignore[no-any-return]

    def grid(self, evidence: Tensor) -> Tensor:  # noqa: D102
        net: Any = self.network
        height, width = net.patch_embed.grid_size
        spatial = evidence[:, net.num_prefix_tokens :, :]
        return spatial.transpose(1, 2).reshape(len(spatial), -1, height, width)


_FAMILIES: dict[str, type[ConvBackbone] | type[DenseBackbone] | type[TokenBackbone]] = {
    "conv": ConvBackbone,
    "dense": DenseBackbone,
    "tokens": TokenBackbone,
}


def build_backbone(
    record: BackboneRecord, size: int, options: Mapping[str, Any] | None = None
) -> Backbone:
    """Build a backbone without weights for square inputs of `size` pixels."""
    arguments: dict[str, Any] = dict(options or {})
    if record.family == "tokens":
        arguments["img_size"] = size
    network = timm.create_model(record.timm_name, pretrained=False, num_classes=0, **arguments)
    return _FAMILIES[record.family](network)
