"""The gradient of the class scores, written out as ordinary operators.

ONNX has no gradient. Traced below autograd, the backward pass of the classifier's short tail (the
head; of a transformer its last block too) is a list of operators as any other, so one way serves
every backbone and head, and it is autograd's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    ShapeEnv,
    StatelessSymbolicContext,
)

from pneumoscope.models.classifier import Classifier

_ATEN = torch.ops.aten


def gradient_graph(classifier: Classifier, features: Tensor) -> fx.GraphModule:
    """The classifier's tail and its vector-Jacobian product as one graph for any batch.

    Args:
        classifier: on the CPU, in eval mode.
        features: those of at least two radiographs; their values do not matter.

    Returns:
        Features and weights of the classes (B, 2) to the logits (B, 2), the evidence, and the
        gradient by the evidence of the weighted sum of each radiograph's logits.
    """

    def run(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        evidence = classifier.evidence(features).detach().requires_grad_(True)
        logits = classifier.classify(features, evidence)
        (gradient,) = torch.autograd.grad(logits, evidence, weights)
        return logits.detach(), evidence.detach(), gradient

    # Sizes that happen to be equal must not be taken for the same: no duck shaping.
    mode = FakeTensorMode(shape_env=ShapeEnv(duck_shape=False), allow_non_fake_inputs=True)
    examples = (features.contiguous(), torch.eye(2)[torch.arange(len(features)) % 2])
    table = {
        **core_aten_decompositions(),
        _ATEN.convolution_backward.default: _by_the_input,
        _ATEN.stack.default: _stacked,
    }
    with torch.enable_grad(), _plain_attention(classifier):
        trace = make_fx(
            run, decomposition_table=table, tracing_mode="symbolic", _allow_non_fake_inputs=True
        )
        return trace(*(_of_any_batch(mode, example) for example in examples))


def _of_any_batch(mode: FakeTensorMode, example: Tensor) -> Tensor:
    sizes = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (example.ndim - 1)]
    return mode.from_tensor(
        example.detach(), symbolic_context=StatelessSymbolicContext(dynamic_sizes=sizes)
    )


def _by_the_input(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """A convolution's gradient by its input: the transposed convolution (torch has no such table).

    Without knowledge of the input's size the transposed convolution leaves out the last rows that
    the stride skipped; `missing` says how many.
    """
    assert not transposed and list(wanted) == [True, False, False]
    back: Any = _ATEN.convolution.default
    plain = {*weight.shape[2:], *stride, groups} == {1} and not any(padding)
    if plain:
        # A matrix on every pixel, and back its transpose: quicker, and OpenVINO 2026.4 answers
        # falsely where a transposed convolution is followed by an expansion.
        across = weight.transpose(0, 1)
        found = back(gradient, across, None, stride, padding, dilation, False, output_padding, 1)
        return found, None, None
    missing = [
        images.shape[2 + axis]
        - (
            (gradient.shape[2 + axis] - 1) * stride[axis]
            - 2 * padding[axis]
            + dilation[axis] * (weight.shape[2 + axis] - 1)
            + 1
        )
        for axis in range(2)
    ]
    found = back(gradient, weight, None, stride, padding, dilation, True, missing, groups)
    return found, None, None


def _stacked(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`torch.stack`. Torch's own table has one reshape fewer, and OpenVINO 2026.4 fails on it: it
    takes the gradient of a transformer's attention for a shuffle of channels.
    """
    return torch.cat([tensor.unsqueeze(dim) for tensor in tensors], dim)


@contextmanager
def _plain_attention(classifier: Classifier) -> Iterator[None]:
    """A fused attention has a fused backward, which is no ordinary operator."""
    layers: list[Any] = [m for m in classifier.modules() if hasattr(m, "fused_attn")]
    before = [layer.fused_attn for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False
        yield
    finally:
        for layer, fused in zip(layers, before, strict=True):
            layer.fused_attn = fused
