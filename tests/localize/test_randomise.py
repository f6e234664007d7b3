"""Re-drawn classifiers: everything new, nothing else touched, activations sane."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from pneumoscope.localize import gradcam
from pneumoscope.localize.randomise import cascade, randomised
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.registry import BACKBONES
from tests.localize.networks import films, small


def trained(backbone: str, head: str = "mlp") -> Classifier:
    """A classifier unlike any fresh one, as training would leave it."""
    classifier = copy.deepcopy(small(backbone, head))
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for tensor in classifier.state_dict().values():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.mul_(1 + 0.2 * noise).add_(0.01 * noise)
    return classifier


def state(classifier: Classifier) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in classifier.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_everything_is_redrawn_and_sane(backbone: str) -> None:
    classifier = trained(backbone)
    before = state(classifier)
    torch.manual_seed(4)
    expected_next = torch.rand(1)
    torch.manual_seed(4)
    other = randomised(classifier, seed=3)
    assert torch.equal(torch.rand(1), expected_next)  # The caller's generator is left alone.
    assert changed(before, state(classifier)) == set()
    assert changed(before, state(other)) == set(before)
    assert not any(module.training for module in other.modules())
    # No residual branch is switched off by a normalisation that starts at scale zero.
    norms = [m for m in other.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(float(norm.weight.detach().abs().min()) > 0 for norm in norms)
    with torch.no_grad():
        features = other.features(films(4))
        logits = other(films(4))
    assert torch.isfinite(logits).all() and float(logits.abs().max()) < 50
    assert 1e-2 < float(features.std()) < 1e2
    # Different radiographs are told apart: no activation has died or saturated.
    assert float((features - features.mean(dim=0)).std()) > 1e-3


def test_the_seed_decides() -> None:
    classifier = trained("resnet18")
    first, again, other = (state(randomised(classifier, seed)) for seed in (3, 3, 4))
    assert changed(first, again) == set()
    assert "backbone.network.layer1.0.conv1.weight" in changed(first, other)


def test_the_baseline_explains_differently() -> None:
    classifier, pixels = trained("resnet18"), films(4)
    baseline = randomised(classifier, 3)
    compared = 0
    for target in (0, 1):
        ours = gradcam(classifier, pixels, target).maps
        theirs = gradcam(baseline, pixels, target).maps
        for mine, other in zip(ours, theirs, strict=True):
            if float(mine.max()) > 0 < float(other.max()):
                assert not torch.allclose(mine / mine.max(), other / other.max(), atol=0.1)
                compared += 1
    assert compared >= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "head", "first", "last"),
    [
        (
            "resnet18",
            "mlp",
            ["head", "layer4.1", "layer4.0", "layer3.1"],
            ["layer1.0", "bn1", "conv1"],
        ),
        ("resnet18", "regional", ["head", "fuse", "laterals", "layer3.1"], ["bn1", "conv1"]),
        (
            "densenet121",
            "mlp",
            ["head", "features.norm5", "features.denseblock4", "features.transition3"],
            ["features.norm0", "features.conv0"],
        ),
        (
            "efficientnet_lite0",
            "mlp",
            ["head", "bn2", "conv_head", "blocks.6", "blocks.5"],
            ["blocks.0", "bn1", "conv_stem"],
        ),
        (
            "vit_b_16",
            "mlp",
            ["head", "norm", "blocks.2", "blocks.1", "blocks.0"],
            ["patch_embed", "pos_embed", "cls_token"],
        ),
    ],
)
def test_cascade_goes_from_the_head_down(
    backbone: str, head: str, first: list[str], last: list[str]
) -> None:
    classifier = trained(backbone, head)
    before = state(classifier)
    names: list[str] = []
    redrawn: set[str] = set()
    for name, copied in cascade(classifier, seed=3):
        after = state(copied)
        now = changed(before, after)
        part = "backbone" if name in {"fuse", "laterals"} else "backbone.network"
        prefix = "head" if name == "head" else f"{part}.{name}"
        new = {key for key in before if key == prefix or key.startswith(f"{prefix}.")}
        assert new and not new & redrawn
        redrawn |= new
        assert now == redrawn
        with torch.no_grad():
            assert torch.isfinite(copied(films(2))).all()
        names.append(name)
    assert names[: len(first)] == first
    assert names[-len(last) :] == last
    assert redrawn == set(before)
    assert changed(after, state(randomised(classifier, seed=3))) == set()
    assert changed(before, state(classifier)) == set()
