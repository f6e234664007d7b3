"""Weights without normalisation train on from what they have learnt."""

from __future__ import annotations

import copy

import pytest
import torch

from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.normalisation import is_folded, unfold

MIDDLE = (0.5, 0.5, 0.5)


@pytest.fixture
def folded() -> Classifier:
    """Drawn weights, and normalisations that add a bias: epsilon makes up for the variance."""
    torch.manual_seed(3)
    classifier = Classifier(Architecture("mobilenet_v2", "linear", 64, MIDDLE, MIDDLE, {})).eval()
    for layer in classifier.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_var is not None
            layer.running_var.fill_(1 - layer.eps)
            layer.bias.data.normal_()
    return classifier


@pytest.fixture
def pixels() -> torch.Tensor:
    draw = torch.Generator().manual_seed(5)
    coarse = torch.randint(0, 255, (40, 1, 8, 8), dtype=torch.uint8, generator=draw)
    return coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_the_network_answers_as_before_and_training_starts_there(
    folded: Classifier, pixels: torch.Tensor
) -> None:
    assert is_folded(folded.backbone.network)

    def evidence(training: bool) -> torch.Tensor:
        # A copy, because training moves running statistics; nothing is dropped out.
        network = copy.deepcopy(folded).eval()
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.train(training)
        with torch.no_grad():
            answer: torch.Tensor = network(pixels)
        return answer

    before, lost = evidence(training=False), evidence(training=True)
    unfold(folded, pixels)
    after, kept = evidence(training=False), evidence(training=True)
    spread = before.std()
    torch.testing.assert_close(after, before, atol=float(1e-3 * spread), rtol=1e-3)
    # All forty are one batch here, so that its statistics are those measured.
    assert (kept - before).abs().max() < 0.02 * spread
    assert (lost - before).abs().max() > spread
    assert not folded.training and not is_folded(folded.backbone.network)


def test_what_is_normalised_or_has_nothing_to_normalise_is_not_folded(
    folded: Classifier, pixels: torch.Tensor
) -> None:
    assert not is_folded(torch.nn.Linear(2, 2))
    layer = next(m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d))
    layer.weight.data[0] = 2.0
    assert not is_folded(folded.backbone.network)
