"""A timm network cut in two at its Grad-CAM point.

`features` runs everything that the explanation need not differentiate; `evidence` is the activation
whose gradient is taken; `pooled` runs the short tail from there to the vector that the head
classifies. For a convolutional network the evidence is the last feature map. For a vision
transformer it is the first normalisation of the last block, whose residual branch bypasses the
evidence.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from pneumoscope.errors import SettingsError
from pneumoscope.models.derived import checked_options
from pneumoscope.models.record import BackboneRecord, Family

_EARLY = 8


def layer_order(network: nn.Module, name: str) -> dict[str, int]:
    """The layer of each parameter by its name, from 0 for the stem, as timm counts them.

    Args:
        network: of timm.
        name: of the backbone, for errors.

    Raises:
        SettingsError: timm knows no order of its layers.
    """
    known: Any = network
    if not hasattr(known, "group_matcher"):
        raise SettingsError(
            f"the order of the layers of {name} is not known to timm",
            remedy="leave out layer_decay, or choose another backbone",
        )
    order: dict[str, int] = group_parameters(known, known.group_matcher(coarse=False), reverse=True)
    return order


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
        if not stages or len({info["reduction"] for info in net.feature_info}) == 1:
            return []
        layers = [(name, m) for name, m in net.named_modules() if not any(m.children())]
        last = max(
            (i for i, (name, _) in enumerate(layers) if f"{name}.".startswith(f"{stages[-1]}.")),
            default=-1,
        )
        early = [layer for _, layer in layers[: last + 1]]
        # Where branches of all resolutions run side by side, the order says nothing of depth.
        return early if 2 * _count(early) < _count([net]) else []


def _on_grid(patches: Tensor, rows: int) -> Tensor:
    """Patches (B, h*w, C), row by row, to a map (B, C, h, w) of `rows` rows."""
    # No `len`: it would write the batch's size into an exported graph.
    columns = patches.transpose(1, 2)
    return columns.view(*columns.shape[:2], rows, columns.shape[2] // rows)


def _count(modules: Iterable[nn.Module]) -> int:
    return sum(weight.numel() for module in modules for weight in module.parameters())


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


class ChannelsLastBackbone(ConvBackbone):
    """As `ConvBackbone`, with maps (B, h, w, C): hierarchical transformers such as Swin."""

    def grid(self, evidence: Tensor) -> Tensor:  # noqa: D102
        return evidence.permute(0, 3, 1, 2)


class PatchBackbone(ConvBackbone):
    """A network whose `forward_features` gives tokens (B, prefix + h*w, C) that are averaged."""

    def grid(self, evidence: Tensor) -> Tensor:  # noqa: D102
        spatial = evidence[:, int(getattr(self.network, "num_prefix_tokens", 0)) :, :]
        side = math.isqrt(spatial.shape[1])
        return _on_grid(spatial, side)


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
        spatial = evidence[:, net.num_prefix_tokens :, :]
        return _on_grid(spatial, net.patch_embed.grid_size[0])


_FAMILIES: dict[Family, type[ConvBackbone] | type[DenseBackbone] | type[TokenBackbone]] = {
    "conv": ConvBackbone,
    "dense": DenseBackbone,
    "channels_last": ChannelsLastBackbone,
    "tokens": TokenBackbone,
    "patches": PatchBackbone,
}


def build_backbone(
    record: BackboneRecord, size: int, options: Mapping[str, Any] | None = None
) -> Backbone:
    """Build a backbone without weights for square inputs of `size` pixels."""
    arguments = checked_options(record.name, options or {})
    if record.sized:
        arguments["img_size"] = size
    network = timm.create_model(record.timm_name, pretrained=False, num_classes=0, **arguments)
    return _FAMILIES[record.family](network)


_ACTIVATIONS = {each: inspect.signature(each) for each in (F.relu, F.relu6, F.hardtanh)}


class QuickOnProcessors(TorchFunctionMode):
    """What torch computes slowly on processors, computed another way with the same results.

    Within it a network of torch's and timm's own layers trains faster, unchanged (figures:
    docs/performance.md):

    - the gradients of depthwise convolutions, see `_Depthwise`;
    - in bfloat16, activations that overwrite their input take twice as long as those that do not.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func is torch.conv2d:
            return _conv2d(*args, **named)
        first = args[0] if args else None
        low = isinstance(first, Tensor) and first.dtype == torch.bfloat16
        if low and func in _ACTIVATIONS:
            given = _ACTIVATIONS[func].bind(*args, **named)
            given.arguments["inplace"] = False
            return func(*given.args, **given.kwargs)
        return func(*args, **named)


def _conv2d(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    depthwise = groups == images.shape[1] == len(weight) > 1
    if not (depthwise and bias is None and isinstance(padding, tuple) and dilation == (1, 1)):
        return torch.conv2d(images, weight, bias, stride, padding, dilation, groups)
    if torch.is_autocast_enabled("cpu"):
        images = images.to(torch.get_autocast_dtype("cpu"))
    output: Tensor = _Depthwise.apply(images, weight, stride, padding)  # type: ignore[no-untyped-call]
    return output


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of images (B, C, H, W), its gradients by the quicker kernels.

    torch's own take many times the convolution's time in two cases. With respect to the images, in
    bfloat16 with a stride: that one is computed in float32. With respect to weights (C, 1, 5, 5):
    that one is itself a depthwise convolution, of each image with its output's gradient as the
    kernel, and the stride as the dilation. Gradients of weights are always computed in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(images, weight.to(images.dtype), None, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        by_images = by_weight = None
        # A backward pass within autocast must not compute these in bfloat16 again.
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                exact = images.dtype if max(ctx.stride) == 1 else torch.float32
                by_images = _slopes(ctx, slope.to(exact), images.to(exact), weight.to(exact), 0)
            if ctx.needs_input_grad[1] and max(weight.shape[2:]) > 3:
                by_weight = _slope_by_large_weight(ctx, slope, images, weight)
            elif ctx.needs_input_grad[1]:
                by_weight = _slopes(ctx, slope.float(), images.float(), weight, 1)
        return by_images, by_weight, None, None


def _slopes(ctx: Any, slope: Tensor, images: Tensor, weight: Tensor, which: int) -> Tensor:
    """torch's own gradient with respect to images (0) or weight (1)."""
    found = torch.ops.aten.convolution_backward(
        slope,
        images,
        weight,
        None,
        ctx.stride,
        ctx.padding,
        (1, 1),
        False,
        (0, 0),
        len(weight),
        (which == 0, which == 1, False),
    )
    gradient: Tensor = found[which]
    return gradient


def _slope_by_large_weight(ctx: Any, slope: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    channels, _, height, width = weight.shape
    total = torch.zeros(channels, height, width)
    for image, answer in zip(images, slope, strict=True):
        found = torch.conv2d(
            image[None].float(),
            answer[:, None].float(),
            padding=ctx.padding,
            dilation=ctx.stride,
            groups=channels,
        )
        # Pixels that a stride leaves over at the end reach further than the weights do.
        total += found[0, :, :height, :width]
    return total[:, None]
