"""The training step: quick ways of computing it give what torch's own give."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pneumoscope.models.backbones import QuickOnProcessors
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from pneumoscope.training.data import Batch
from pneumoscope.training.module import ClassifierModule, keep_freed_memory
from pneumoscope.training.settings import make_settings


def _depthwise(images: Tensor, weight: Tensor, stride: int, padding: int) -> list[Tensor]:
    """Output and both gradients of a depthwise convolution."""
    images, weight = images.clone().requires_grad_(), weight.clone().requires_grad_()
    output = torch.conv2d(
        images, weight, None, (stride, stride), (padding, padding), (1, 1), len(weight)
    )
    by_images, by_weight = torch.autograd.grad(output.float().square().sum(), [images, weight])
    return [output.detach(), by_images, by_weight]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("side", "stride", "padding", "height"),
    [(3, 1, 1, 12), (3, 2, 1, 12), (3, 2, 0, 13), (5, 1, 2, 11), (5, 2, 2, 12), (5, 2, 0, 14)],
)
def test_depthwise_convolution_is_the_plain_one(
    side: int, stride: int, padding: int, height: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 8, height, height + 3).to(memory_format=torch.channels_last)
    weight = torch.randn(8, 1, side, side)
    # What bfloat16 rounds is the same for both.
    images, weight = images.to(dtype).float(), weight.to(dtype).float()
    plain = _depthwise(images, weight, stride, padding)
    low = dtype == torch.bfloat16
    with torch.autocast("cpu", dtype, enabled=low), QuickOnProcessors():
        quick = _depthwise(images, weight, stride, padding)
    assert quick[0].dtype == dtype
    for found, wanted in zip(quick, plain, strict=True):
        assert found.shape == wanted.shape
        error = (found.float() - wanted).norm() / wanted.norm()
        assert float(error) < (2e-2 if low else 1e-6)


def test_other_convolutions_are_left_alone() -> None:
    images = torch.randn(2, 4, 9, 9)
    layers: list[Any] = [
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, padding="same"),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, padding=1, padding_mode="reflect"),
    ]
    for layer in layers:
        plain = layer(images)
        with QuickOnProcessors():
            torch.testing.assert_close(layer(images), plain)


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_bfloat16_activations_leave_their_input_alone(name: str) -> None:
    layer: nn.Module = nn.ReLU(inplace=True) if name == "relu" else nn.ReLU6(inplace=True)
    values = torch.linspace(-9, 9, 19)
    with QuickOnProcessors():
        low = values.bfloat16()
        torch.testing.assert_close(layer(low).float(), getattr(torch.nn.functional, name)(values))
        torch.testing.assert_close(low.float(), values)
        layer(values)
    # In float32 overwriting is the quicker way.
    assert float(values.min()) == 0


def _gradients(backbone: str, *, quick: bool) -> tuple[float, dict[str, Tensor], list[str]]:
    torch.manual_seed(0)
    architecture = Architecture(backbone, "linear", 64, HALF, HALF)
    classifier = Classifier(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = make_settings(
        backbone=backbone, head="linear", weights="none", augmentation="none", size=64
    )
    module = ClassifierModule(classifier, settings, None).train()
    pixels = torch.randint(0, 256, (6, 1, 64, 64), dtype=torch.uint8)
    targets = torch.arange(6) % 2
    if quick:
        loss = module.training_step(Batch(pixels, targets, None), 0)
    else:
        torch.manual_seed(settings.seed * 1_000_003)
        loss = module.losses[0](module.classifier(pixels.float() / 255), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return float(loss.detach()), found, list(module.state_dict())


@pytest.mark.parametrize("backbone", ["mobilenet_v3", "efficientnet_lite0"])
def test_a_step_gives_the_plain_gradients(backbone: str) -> None:
    loss, quick, names = _gradients(backbone, quick=True)
    plain_loss, plain, plain_names = _gradients(backbone, quick=False)
    assert names == plain_names and quick.keys() == plain.keys()
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    whole = math.sqrt(sum(float(gradient.square().sum()) for gradient in plain.values()))
    for name, gradient in plain.items():
        assert float((quick[name] - gradient).norm()) < 1e-4 * whole, name


def test_memory_may_be_kept_and_given_back_at_any_time() -> None:
    for keep in (False, True, True, False):
        keep_freed_memory(keep)
        assert float(torch.ones(1 << 20).sum()) == 1 << 20
