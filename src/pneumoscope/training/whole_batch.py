"""Layers that see a whole batch although each process computes some of its rows only.

Batch normalisation takes its mean and variance over the batch, and dropout draws for every row of
it. Shared by several processes, both would depend on their number. Here they do not: the statistics
are those of all processes' rows, forward and backward, on GPUs and on the CPU (torch's own
`SyncBatchNorm` computes on GPUs only and loses the activation inside timm's layers), and dropout is
drawn for the whole batch, of which each process keeps its rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from pneumoscope.training.data_parallel import own_rows, process_count


def see_whole_batches(module: nn.Module) -> None:
    """Replace a module's batch normalisation and dropout by layers that see whole batches.

    Weights, buffers and their names stay as they are, and so does what is computed in eval mode. To
    be called before anything else refers to the layers.
    """
    for name, layer in module.named_children():
        whole = _whole(layer)
        if whole is None:
            see_whole_batches(layer)
        else:
            setattr(module, name, whole.train(layer.training))


def _whole(layer: nn.Module) -> nn.Module | None:
    """What takes a layer's place; None for a layer that stays."""
    if isinstance(layer, WholeBatchNorm):
        return None
    if isinstance(layer, _BatchNorm):
        return WholeBatchNorm(layer)
    if type(layer) is nn.Dropout:
        return WholeDropout(layer.p)
    if type(layer) is nn.Dropout2d:
        return WholeDropout2d(layer.p)
    return None


class WholeBatchNorm(_BatchNorm):
    """Batch normalisation over all processes' rows; each has as many.

    Args:
        layer: whose place it takes, with its weights and buffers.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        with torch.device("meta"):
            super().__init__(layer.num_features, layer.eps, layer.momentum)
        for name, parameter in layer.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in layer.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        for name, part in layer.named_children():
            self.add_module(name, part)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) to the same shape; `drop` and `act`, which timm's layers have, come after."""
        if self.training:
            mean, variance = self._statistics(input)
            normalised: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
                input, self.weight, self.bias, mean, variance, self.eps
            )
        else:
            normalised = super().forward(input)
        for name in ("drop", "act"):
            if name in self._modules:
                normalised = getattr(self, name)(normalised)
        return normalised

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions does."""

    @torch.no_grad()
    def _statistics(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance (C,) of the whole batch; the running ones follow them."""
        over = [axis for axis in range(images.ndim) if axis != 1]
        variance, mean = torch.var_mean(_precise(images), dim=over, correction=0)
        means, variances = _of_all(torch.stack([mean, variance])).unbind(dim=1)
        mean = means.mean(dim=0)
        # The variance of the whole is the mean variance of the parts and the variance of their
        # means.
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        count = process_count() * images.numel() // images.shape[1]
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        factor = self.momentum or 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, factor)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), factor)
        return mean, variance


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with the whole batch's statistics.

    Ioffe & Szegedy, "Batch Normalization" (arXiv 1502.03167), algorithm 1; its gradient takes the
    sums over the batch from all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(images, weight, mean, variance)
        ctx.eps = eps
        return F.batch_norm(images, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, mean, variance = ctx.saved_tensors
        # As if mean and variance were given ...
        direct, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, images, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
        )
        # ... and what flows through them.
        count = process_count() * images.numel() // images.shape[1]
        sums = _of_all(torch.stack([by_weight, by_bias])).sum(dim=0) / count
        inverse = torch.rsqrt(variance + ctx.eps)
        slope = weight * inverse.square() * sums[0]
        offset = weight * inverse * sums[1] - slope * mean
        shape = (1, -1) + (1,) * (images.ndim - 2)
        flowing = _precise(images) * slope.view(shape) + offset.view(shape)
        return (direct - flowing).to(images.dtype), by_weight, by_bias, None, None, None


class WholeDropout(nn.Dropout):
    """Dropout drawn for the whole batch."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, ...) to the same shape."""
        if not self.training or self.p == 0:
            return input
        return input * _kept(input, tuple(input.shape[1:]), self.p)


class WholeDropout2d(nn.Dropout2d):
    """Dropout of whole channels, drawn for the whole batch."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if not self.training or self.p == 0:
            return input
        return input * _kept(input, (input.shape[1], 1, 1), self.p)


def _kept(like: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """This process' rows of the factors that dropout draws for the whole batch."""
    count = process_count() * len(like)
    return F.dropout(like.new_ones((count, *shape)), p)[own_rows(count)]


def _precise(values: Tensor) -> Tensor:
    """Float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _of_all(own: Tensor) -> Tensor:
    """(processes, ...): every process' tensor, in their order."""
    if process_count() == 1:
        return own[None]
    parts = [torch.empty_like(own) for _ in range(process_count())]
    distributed.all_gather(parts, own.contiguous())
    return torch.stack(parts)
