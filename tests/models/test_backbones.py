"""Every registered backbone, by the same tests."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from pneumoscope.bundles.architecture import Pooling
from pneumoscope.errors import SettingsError
from pneumoscope.models.classifier import Architecture, Classifier, positive_logit
from pneumoscope.models.heads import HEADS, RegionalHead, build_head
from pneumoscope.models.registry import BACKBONES, HALF, backbone_record

# arXiv 2511.00456, table of models: millions of parameters with its head.
PAPER_PARAMETERS = {
    "resnet18": 11.5,
    "resnet50": 24.6,
    "densenet121": 7.5,
    "efficientnet_b0": 4.7,
    "mobilenet_v2": 2.9,
    "mobilenet_v3": 4.9,
    "vit_b_16": 86.3,
}


def build(name: str, head: str = "linear", size: int = 64) -> Classifier:
    torch.manual_seed(0)
    return Classifier(Architecture(name, head, size, HALF, HALF)).eval()


@pytest.mark.parametrize("name", BACKBONES)
def test_features_then_classify_is_the_network(name: str) -> None:
    classifier = build(name)
    pixels = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        features = classifier.features(pixels)
        parts = classifier.classify(features)
        explicit = classifier.classify(features, classifier.evidence(features))
        whole = classifier.head(classifier.backbone.network(classifier.normalise(pixels)))
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(explicit, whole)
    torch.testing.assert_close(positive_logit(whole), torch.logit(whole.softmax(1)[:, 1]))


@pytest.mark.parametrize("name", BACKBONES)
def test_grid_has_the_stride_of_the_record(name: str) -> None:
    classifier = build(name)
    with torch.inference_mode():
        evidence = classifier.evidence(classifier.features(torch.zeros(1, 1, 64, 64)))
        grid = classifier.backbone.grid(evidence)
    cells = 64 // backbone_record(name).stride
    assert grid.shape[2:] == (cells, cells)


@pytest.mark.parametrize("name", PAPER_PARAMETERS)
def test_parameters_are_the_papers(name: str) -> None:
    with torch.device("meta"):
        classifier = Classifier(Architecture(name, "mlp", 224, HALF, HALF))
    millions = sum(p.numel() for p in classifier.parameters()) / 1e6
    assert round(millions, 1) == PAPER_PARAMETERS[name]


def test_uint8_and_float_pixels_are_the_same() -> None:
    classifier = build("resnet18")
    pixels = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(
        classifier.normalise(pixels), classifier.normalise(pixels.float() / 255)
    )
    assert classifier.normalise(pixels).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("size", [32, 100])
def test_sizes_that_do_not_fit_are_refused(size: int) -> None:
    with pytest.raises(SettingsError, match="multiple of 32"):
        build("resnet18", size=size)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"unknown backbone 'alexnet'.*efficientnet_lite0"):
        backbone_record("alexnet")
    with pytest.raises(SettingsError, match="unknown head"):
        build_head("deep", 8)
    assert HEADS == ("linear", "mlp", "regional")


@pytest.mark.parametrize("name", BACKBONES)
def test_a_regional_head_sees_a_fine_map(name: str) -> None:
    classifier = build(name, "regional")
    pixels = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        cells = classifier.cells(pixels)
        logits = classifier(pixels)
        alone = classifier(pixels[1:])
    stride = 16 if name == "vit_b_16" else 8
    assert cells.shape == (2, 64 // stride, 64 // stride)
    # Equations 2 to 4 of Ye et al., written out.
    share = cells.flatten(1).sigmoid()
    pooled = (share * cells.flatten(1)).sum(1) / share.sum(1)
    torch.testing.assert_close(positive_logit(logits), pooled)
    torch.testing.assert_close(alone, logits[1:], atol=1e-5, rtol=1e-4)


def test_regional_pooling_follows_the_few_sick_cells() -> None:
    cells = torch.full((1, 8, 8), -6.0)
    cells[0, 0, 0] = 6.0
    pool = RegionalHead(1).pool
    log_odds = float(positive_logit(pool(cells)))
    assert log_odds > 4 > float(cells.mean())
    healthy = float(positive_logit(pool(torch.full((1, 8, 8), -200.0))))
    assert healthy == pytest.approx(-200.0)


def test_top_pooling_is_the_mean_of_the_highest_tenth() -> None:
    cells = torch.randperm(2 * 100, generator=torch.Generator().manual_seed(0)).float()
    cells = cells.view(2, 10, 10)
    pooled = positive_logit(RegionalHead(1, "top").pool(cells))
    expected = cells.flatten(1).sort(dim=1).values[:, -10:].mean(dim=1)
    torch.testing.assert_close(pooled, expected)
    # Of a map with few cells one is left.
    assert float(positive_logit(RegionalHead(1, "top").pool(cells[:1, :2, :2]))) == float(
        cells[0, :2, :2].max()
    )


def test_a_classifier_pools_as_its_architecture_says() -> None:
    cells = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    for pooling in get_args(Pooling):
        shape = Architecture("resnet18", "regional", 64, HALF, HALF, pooling=pooling)
        classifier = Classifier(shape)
        expected = RegionalHead(1, pooling).pool(cells)
        torch.testing.assert_close(classifier.pooled(cells), expected)
        torch.testing.assert_close(classifier.sibling().pooled(cells), expected)


def test_only_a_regional_head_has_cells() -> None:
    with pytest.raises(SettingsError, match="head 'regional'"):
        build("resnet18").cells(torch.zeros(1, 1, 64, 64))
