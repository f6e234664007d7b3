"""The written-out gradient is autograd's, for every backbone and head."""

from __future__ import annotations

import pytest
import torch

from pneumoscope.export.gradient import _by_the_input, gradient_graph
from pneumoscope.localize.tail import differentiate
from pneumoscope.models.heads import HEADS
from pneumoscope.models.registry import BACKBONES
from tests.localize.networks import films, small

QUICK = {("resnet18", "mlp"), ("vit_b_16", "mlp"), ("mobilenet_v3", "linear")}


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        pytest.param(b, h, marks=() if (b, h) in QUICK else pytest.mark.slow)
        for b in BACKBONES
        for h in HEADS
    ],
)
def test_the_graph_is_the_gradient(backbone: str, head: str) -> None:
    classifier = small(backbone, head)
    with torch.no_grad():
        features = classifier.features(films(4))
    graph = gradient_graph(classifier, features[:2])
    for targets in (torch.tensor([1]), torch.tensor([0, 1, 1, 0])):
        count = len(targets)
        expected = differentiate(classifier, films(4)[:count], targets)
        with torch.no_grad():
            logits, evidence, gradient = graph(features[:count].contiguous(), torch.eye(2)[targets])
        torch.testing.assert_close(logits, expected.logits, rtol=1e-4, atol=1e-5)
        grid = classifier.backbone.grid
        torch.testing.assert_close(grid(evidence), expected.evidence, rtol=1e-4, atol=1e-5)
        scale = float(expected.gradient.abs().max())
        assert scale > 0
        torch.testing.assert_close(grid(gradient), expected.gradient, rtol=1e-3, atol=1e-4 * scale)


def test_attention_is_fused_again_afterwards() -> None:
    classifier = small("vit_b_16", "linear")
    layers = [m for m in classifier.modules() if hasattr(m, "fused_attn")]
    before = [layer.fused_attn for layer in layers]
    with torch.no_grad():
        features = classifier.features(films(2))
    gradient_graph(classifier, features)
    assert layers and [layer.fused_attn for layer in layers] == before


@pytest.mark.parametrize(
    ("side", "stride", "padding", "dilation", "groups"),
    [(1, 1, 0, 1, 1), (1, 1, 0, 1, 2), (3, 2, 1, 1, 2), (2, 3, 0, 2, 1)],
)
def test_a_convolution_is_undone_at_any_stride(
    side: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    images = torch.rand(2, 4, 9, 8, requires_grad=True)
    weight = torch.rand(6, 4 // groups, side, side)
    each = ([stride] * 2, [padding] * 2, [dilation] * 2)
    out = torch.nn.functional.conv2d(images, weight, None, *each, groups)
    above = torch.rand_like(out)
    (expected,) = torch.autograd.grad(out, images, above)
    found, *_ = _by_the_input(
        above, images, weight, [6], *each, False, [0, 0], groups, [True, False, False]
    )
    torch.testing.assert_close(found, expected)
