"""What a precision costs, and the gate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.bundles import Quality
from pneumoscope.errors import BundleError
from pneumoscope.export.quality import Answers, mean_correlation, quality, require_quality

TARGETS = np.array([0, 0, 1, 1])


def maps(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32).reshape(len(rows), 1, -1)


def test_correlation_is_the_mean_over_maps_with_evidence() -> None:
    reference = maps((1, 2, 3), (3, 1, 2), (0, 0, 0))
    assert mean_correlation(5 * reference + 1, reference) == pytest.approx(1)
    other = maps((3, 2, 1), (3, 1, 2), (9, 0, 1))
    assert mean_correlation(other, reference) == pytest.approx((-1 + 1) / 2)
    one = np.corrcoef([1, 2, 3], [1, 5, 3])[0, 1]
    assert mean_correlation(maps((1, 5, 3)), maps((1, 2, 3))) == pytest.approx(one)


def test_a_map_that_went_out_counts_as_lost() -> None:
    reference = maps((1, 2, 3), (2, 1, 2))
    assert mean_correlation(maps((1, 2, 3), (0, 0, 0)), reference) == pytest.approx(0.5)
    # An even map has no correlation: kept as it was, nothing is lost.
    even = maps((2, 2, 2), (1, 2, 3))
    assert mean_correlation(even, even) == pytest.approx(1)
    assert mean_correlation(maps((2, 1, 2), (1, 2, 3)), even) == pytest.approx(0.5)
    assert mean_correlation(reference, np.zeros_like(reference)) is None


def test_the_drop_is_that_of_the_area() -> None:
    heat = maps((1, 2), (1, 2), (1, 2), (1, 2))
    reference = Answers(np.array([-2.0, -1, 1, 2]), heat)
    swapped = Answers(np.array([-2.0, 1.5, 1, 2]), heat)
    found = quality(swapped, reference, TARGETS)
    assert (found.radiographs, found.roc_auc, found.roc_auc_drop) == (4, 0.75, 0.25)
    assert found.heatmap_correlation == pytest.approx(1)
    gained = quality(reference, swapped, TARGETS)
    assert gained.roc_auc_drop == -0.25 and gained.good


def test_answers_that_are_no_numbers_are_refused() -> None:
    reference = Answers(np.array([-2.0, -1, 1, 2]), maps((1, 2), (1, 2), (1, 2), (1, 2)))
    for logits, heat in (
        (np.array([np.nan, 0, 1, 2]), reference.maps),
        (reference.logits, reference.maps * np.float32(np.inf)),
    ):
        with pytest.raises(BundleError, match="outputs are NaN"):
            quality(Answers(logits, heat), reference, TARGETS)


@pytest.mark.parametrize(
    ("drop", "correlation", "words"),
    [
        (0.0031, 0.99, "falls by 0.0031"),
        (0.0, 0.9799, r"correlate at 0\.9799"),
        (0.0, None, "no heatmap shows evidence"),
    ],
)
def test_the_gate_says_what_fell(drop: float, correlation: float | None, words: str) -> None:
    figures = Quality(
        radiographs=9, roc_auc=0.9, roc_auc_drop=drop, heatmap_correlation=correlation
    )
    with pytest.raises(BundleError, match=rf"in int8.*9 radiographs of val.*{words}.*float16 or"):
        require_quality(figures, "int8")


def test_the_gate_lets_its_limits_pass() -> None:
    require_quality(
        Quality(radiographs=9, roc_auc=0.9, roc_auc_drop=0.003, heatmap_correlation=0.98), "int8"
    )
