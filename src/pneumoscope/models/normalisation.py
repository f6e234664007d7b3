"""Batch normalisation given back to weights that came without it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pneumoscope.models.classifier import Classifier

# A folded layer's variance may be a little off one, so that with its epsilon it changes nothing.
_NEARLY = 0.01
_AT_ONCE = 32


class _Sums(NamedTuple):
    """Of the values that reach a layer: how many, their sum and sum of squares, by channel."""

    pixels: int
    total: Tensor
    squares: Tensor


def is_folded(network: nn.Module) -> bool:
    """Whether a network has normalisations and none of them does more than add a bias."""
    layers = _normalisations(network)
    return bool(layers) and all(
        _all_near(layer.running_mean, 0)
        and _all_near(layer.running_var, 1)
        and _all_near(layer.weight, 1)
        and layer.bias is not None
        for layer in layers
    )


def unfold(classifier: Classifier, pixels: Tensor) -> None:
    """Give each normalisation of a folded backbone the statistics of what reaches it.

    A file whose normalisations were folded into the convolutions before them (Jacob et al. 2018)
    leaves layers that add a bias and no more. In evaluation that is right. In training they would
    divide by the batch's deviation all the same, and what the weights had learnt would be lost at
    the first step. Here mean and variance are measured on radiographs and undone by weight and
    bias: the network answers as before, and training starts from there.

    Args:
        classifier: with such a backbone; left in the mode it is in.
        pixels: (N, 1, size, size) uint8, of train.
    """
    layers = _normalisations(classifier.backbone.network)
    sums: dict[nn.Module, _Sums] = {}

    def measure(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        values = given[0].double()
        seen = sums.get(layer, _Sums(0, torch.zeros(()), torch.zeros(())))
        sums[layer] = _Sums(
            seen.pixels + values.numel() // values.shape[1],
            seen.total + values.sum(dim=(0, 2, 3)),
            seen.squares + values.square().sum(dim=(0, 2, 3)),
        )

    training = classifier.training
    classifier.eval()
    with torch.inference_mode(), ExitStack() as undone:
        undone.callback(classifier.train, training)
        for layer in layers:
            undone.callback(layer.register_forward_pre_hook(measure).remove)
        for start in range(0, len(pixels), _AT_ONCE):
            classifier(pixels[start : start + _AT_ONCE])
    with torch.no_grad():
        for layer in layers:
            count, total, squares = sums[layer]
            mean = total / count
            variance = (squares / count - mean.square()).clamp(min=0)
            # `is_folded` has seen them.
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)
            layer.weight.copy_((variance + layer.eps).sqrt())
            layer.bias.add_(mean)


def _normalisations(network: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


def _all_near(tensor: Tensor | None, value: float) -> bool:
    return tensor is not None and bool(((tensor - value).abs() <= _NEARLY).all())
