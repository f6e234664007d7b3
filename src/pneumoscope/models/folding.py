"""Batch normalisations made part of the convolutions before them: the same answers, sooner.

In eval mode a batch normalisation multiplies and adds constants, which a convolution does anyway.
Apart it costs another pass over the map, dear where convolutions are cheap (depthwise ones).
"""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import ExitStack

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pneumoscope.models.classifier import Classifier

# Exactly these: a subclass may compute something else with its weights.
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)

Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


@torch.inference_mode(False)
def folded(classifier: Classifier) -> Classifier:
    """A copy that answers the same within rounding, without the normalisations behind convolutions.

    Args:
        classifier: in eval mode; left as it is. The copy shares with it all tensors but the weights
            of the convolutions concerned, so neither may be trained while the other is used.

    Returns:
        A classifier in eval mode on the same device; itself if there is nothing to fold.

    Raises:
        ValueError: the classifier is in training mode.
    """
    if classifier.training:
        raise ValueError("only a classifier in eval mode has constant normalisations")
    shared = {id(tensor): tensor for tensor in (*classifier.parameters(), *classifier.buffers())}
    changed = copy.deepcopy(classifier, shared)
    pairs = _pairs(changed)
    names = {module: name for name, module in changed.named_modules()}
    for convolution, norm in pairs:
        _fold(convolution, norm)
        changed.set_submodule(names[norm], _rest(norm))
    return changed if pairs else classifier


def _pairs(classifier: Classifier) -> list[Pair]:
    """Convolutions and the normalisations that get what comes out of them, unchanged.

    They are seen while one radiograph runs. No backbone uses a normalised convolution's output
    elsewhere too, or a layer twice; the tests compare all of them.
    """
    made: list[tuple[Tensor, nn.Conv2d]] = []
    pairs: list[Pair] = []

    def after(layer: nn.Conv2d, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made.append((output, layer))

    def before(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        # A version above zero: something wrote into the convolution's output.
        pairs.extend(
            (layer, norm) for output, layer in made if output is inputs[0] and not output._version
        )

    size = classifier.architecture.size
    with torch.no_grad(), ExitStack() as hooks:
        for module in classifier.modules():
            if type(module) in _CONVOLUTIONS:
                hooks.callback(module.register_forward_hook(after).remove)
            elif type(module) in _NORMS:
                hooks.callback(module.register_forward_pre_hook(before).remove)
        classifier(torch.zeros_like(classifier.mean[:, :1]).expand(1, 1, size, size))
    uses = Counter(module for pair in pairs for module in pair)
    return [pair for pair in pairs if all(uses[module] == 1 for module in pair)]


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give a convolution weights that normalise too; computed in float64."""
    weight, bias = fuse_conv_bn_weights(
        convolution.weight.double(),
        None if convolution.bias is None else convolution.bias.double(),
        _double(norm.running_mean),
        _double(norm.running_var),
        norm.eps,
        None if norm.weight is None else norm.weight.double(),
        None if norm.bias is None else norm.bias.double(),
    )
    kind = convolution.weight.dtype
    convolution.weight = nn.Parameter(weight.detach().to(kind), requires_grad=False)
    convolution.bias = nn.Parameter(bias.detach().to(kind), requires_grad=False)


def _double(statistics: Tensor | None) -> Tensor:
    assert statistics is not None  # Of a batch normalisation in eval mode.
    return statistics.double()


def _rest(norm: nn.BatchNorm2d) -> nn.Module:
    """What a layer does besides normalising; timm's has an activation."""
    if isinstance(norm, BatchNormAct2d):
        rest: nn.Module = norm.act
        return rest
    return nn.Identity()
