"""Weight randomisation on a real network, with a method that depends on weights and one that does
not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from pneumoscope.audit import AuditFilm
from pneumoscope.audit.randomisation import (
    chosen_steps,
    rank_correlation,
    similarity,
    weight_randomisation,
)
from pneumoscope.bundles import BundleInfo
from pneumoscope.imaging import Letterbox
from pneumoscope.inference import EngineOutput
from pneumoscope.inference.torch_engine import TorchEngine
from pneumoscope.localize import Explanation
from pneumoscope.localize.methods import METHODS, Method
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from tests.audit.engines import SIZE, info

Array = NDArray[np.float32]
# Quick to copy and to draw anew; three blocks in eight parts.
TINY = {"depth": 3, "embed_dim": 48, "num_heads": 3}


class OpenEngine(TorchEngine):
    """A bundle's engine for a classifier made here."""

    def __init__(self, described: BundleInfo) -> None:
        torch.manual_seed(1)
        shape = Architecture("vit_b_16", "linear", SIZE, HALF, HALF, TINY)
        self.runs: list[Sequence[str]] = []
        super().__init__(described, Classifier(shape).eval())

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        self.runs.append(methods)
        return super().run(pixels, methods)


def brightness(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
    """A map that shows the radiograph and nothing of the network, as an edge detector would."""
    with torch.no_grad():
        logits = classifier(pixels)
    return Explanation(logits, pixels[:, 0].float())


def films(count: int = 4) -> list[AuditFilm]:
    draw = np.random.default_rng(2)
    box = Letterbox.fit(SIZE, SIZE, SIZE)
    coarse = draw.integers(0, 256, (count, 8, 8)).astype(np.uint8)
    pixels = coarse.repeat(8, axis=1).repeat(8, axis=2)
    return [AuditFilm(f"f{i}", f"p{i}", i % 2, pixels[i], box) for i in range(count)]


def test_gradcam_changes_with_the_weights() -> None:
    done: list[tuple[int, int]] = []
    engine = OpenEngine(info())
    found = weight_randomisation(engine, films(), 3, lambda a, b: done.append((a, b)), max_steps=3)
    assert [row.label for row in found.rows] == ["head", "blocks.0", "cls_token"]
    assert done == [(4, 12), (8, 12), (12, 12)]
    assert found.passed and abs(found.figures["rank_correlation"].value) < 0.5
    assert found.figures == found.rows[-1].figures
    again = weight_randomisation(OpenEngine(info()), films(), 3, max_steps=3)
    assert again.to_dict() == found.to_dict()
    # Only the originals come from the bundle itself.
    assert engine.runs == [["gradcam"]]


def test_a_map_of_the_film_alone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Method("brightness", "Brightness", "", ("tokens",), brightness)
    monkeypatch.setitem(METHODS, "brightness", method)
    found = weight_randomisation(OpenEngine(info("brightness")), films(), 3, max_steps=2)
    assert not found.passed
    for row in found.rows:
        assert row.figures["rank_correlation"].value == pytest.approx(1)
        assert row.figures["ssim"].value == pytest.approx(1)
    assert "hardly change" in found.warnings[0] and "1.00" in found.warnings[0]


def test_the_lungs_factor_would_keep_maps_alike_and_is_left_out() -> None:
    # It would need a segmenter, and there is none.
    found = weight_randomisation(OpenEngine(info("gradcam+lungs")), films(), 3, max_steps=2)
    assert found.passed


def test_nothing_to_compare_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
        found = brightness(classifier, pixels, targets)
        return Explanation(found.logits, torch.zeros_like(found.maps))

    monkeypatch.setitem(METHODS, "nothing", Method("nothing", "", "", ("tokens",), nothing))
    found = weight_randomisation(OpenEngine(info("nothing")), films(), 3, max_steps=1)
    assert not found.passed and found.n == 0 and "nothing to compare" in found.warnings[0]


def test_rank_correlation_is_spearman_s() -> None:
    draw = np.random.default_rng(0)
    one, other = (draw.random((9, 7)).astype(np.float32).round(1) for _ in range(2))
    other += one
    expected = spearmanr(one.ravel(), other.ravel()).statistic
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, one**3) == pytest.approx(1)
    assert rank_correlation(one, 1 - one) == pytest.approx(-1)
    flat: Array = np.zeros_like(one)
    assert rank_correlation(one, flat) == 0
    assert math.isnan(rank_correlation(flat, one))


def test_similarity_falls_and_knows_its_limits() -> None:
    draw = np.random.default_rng(0)
    one = draw.random((40, 30)).astype(np.float32)
    other = draw.random((40, 30)).astype(np.float32)
    assert similarity(one, one) == pytest.approx(1)
    assert abs(similarity(one, other)) < 0.2
    assert math.isnan(similarity(np.zeros_like(one), one))
    assert math.isnan(similarity(one[:10], other[:10]))


@pytest.mark.parametrize(
    ("total", "most", "expected"),
    [(3, 8, [0, 1, 2]), (5, 3, [0, 2, 4]), (1, 8, [0]), (9, 1, [8])],
)
def test_steps_are_even_and_end_with_the_stem(total: int, most: int, expected: list[int]) -> None:
    assert chosen_steps(total, most).tolist() == expected
    many = chosen_steps(19, 8)
    assert many.size == 8 and many[0] == 0 and many[-1] == 18
    assert np.ptp(np.diff(many)) <= 1
