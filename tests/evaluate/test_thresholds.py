"""Thresholds: the best one, in the middle of its interval."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import choose_threshold

from .cohorts import binormal


def test_separable_data_are_cut_half_way() -> None:
    assert choose_threshold([0.1, 0.3, 0.7, 0.8], [0, 0, 1, 1]) == pytest.approx(0.5)


@pytest.mark.parametrize("decimals", [12, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_does_better(seed: int, decimals: int) -> None:
    cohort = binormal(120, seed=seed, decimals=decimals)
    p, y = cohort.probabilities, cohort.targets

    def balanced(threshold: float) -> float:
        return float(metrics.balanced_accuracy_score(y, p >= threshold))

    chosen = choose_threshold(p, y)
    assert balanced(chosen) == pytest.approx(max(balanced(t) for t in np.unique(p)))
    assert np.abs(p - chosen).min() > 0.0  # never on a score


def test_of_equal_intervals_the_widest_is_taken() -> None:
    """J is 1/2 for thresholds in (.6, .65] and in (.1, .5]."""
    p, y = [0.1, 0.5, 0.6, 0.65], [0, 1, 0, 1]
    assert choose_threshold(p, y) == pytest.approx(0.3)


def test_adjacent_equal_intervals_are_joined() -> None:
    """A tie of one positive and one negative at .5 leaves J unchanged: (.2, .5] and (.5, .8]."""
    p, y = [0.2, 0.5, 0.5, 0.8], [0, 0, 1, 1]
    assert choose_threshold(p, y) == pytest.approx(0.5)
    assert choose_threshold([0.2, 0.4, 0.4, 0.8], y) == pytest.approx(0.5)


def test_the_threshold_survives_rounding() -> None:
    cohort = binormal(100, seed=1)
    threshold = choose_threshold(cohort.probabilities, cohort.targets)
    rounded = cohort.probabilities.astype(np.float32).astype(np.float64)
    assert ((rounded >= threshold) == (cohort.probabilities >= threshold)).all()


def test_neighbouring_floats_are_still_separated() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1.0))
    threshold = choose_threshold([low, high], [0, 1])
    assert low < threshold <= high


@pytest.mark.parametrize("p", [[0.3, 0.3, 0.3, 0.3], [0.9, 0.8, 0.2, 0.1]])
def test_useless_scores_get_the_neutral_threshold(p: list[float]) -> None:
    assert choose_threshold(p, [0, 0, 1, 1]) == 0.5


def test_faults_are_named() -> None:
    with pytest.raises(EvaluationError, match="needs both classes") as caught:
        choose_threshold([0.1, 0.2], [0, 0])
    assert caught.value.remedy
    with pytest.raises(EvaluationError, match="NaN"):
        choose_threshold([np.nan, 0.2], [0, 1])
    with pytest.raises(EvaluationError, match="lengths differ"):
        choose_threshold([0.2], [0, 1])
    with pytest.raises(EvaluationError, match="there are no probabilities"):
        choose_threshold([], [])


def test_each_set_counts_alike() -> None:
    # A large set that is best cut at .3, and a small one that is best cut at .7.
    large = [(0.2, 0), (0.4, 1)] * 50
    small = [(0.6, 0), (0.6, 0), (0.8, 1)]
    p, y = np.array(large + small).T
    sets = ["large"] * len(large) + ["small"] * len(small)
    assert 0.2 < choose_threshold(p, y) <= 0.4
    # Cut at .3: J is 1 and 0. Cut at .7: 0 and 1. Both means are .5; below .2 and above .8 they
    # are 0, and the wider of the two intervals is taken.
    assert choose_threshold(p, y, sets) in (pytest.approx(0.3), pytest.approx(0.7))
    brute = [
        np.mean([_j(p, y, np.array(sets) == name, cut) for name in ("large", "small")])
        for cut in np.linspace(0.01, 1, 100)
    ]
    chosen = choose_threshold(p, y, sets)
    reached = np.mean([_j(p, y, np.array(sets) == name, chosen) for name in ("large", "small")])
    assert reached == pytest.approx(max(brute))
    # Copies of a set change nothing.
    again = choose_threshold(np.tile(p, 2), np.tile(y, 2), sets * 2)
    assert again == pytest.approx(chosen)


def _j(
    p: NDArray[np.float64], y: NDArray[np.float64], rows: NDArray[np.bool_], cut: float
) -> float:
    called = p[rows] >= cut
    return float(called[y[rows] == 1].mean() - called[y[rows] == 0].mean())
