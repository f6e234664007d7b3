"""Thresholds: the best one, in the middle of its interval."""

from __future__ import annotations

import numpy as np
import pytest
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


def test_each_set_counts_alike_where_errors_are_equal() -> None:
    rng = np.random.default_rng(3)
    # A large set that is mostly ill, and a small one that is mostly healthy and lower.
    y = np.concatenate([rng.random(400) < 0.8, rng.random(40) < 0.3]).astype(np.float64)
    sets = ["large"] * 400 + ["small"] * 40
    z = rng.normal(2 * y - np.repeat([0.0, 1.0], [400, 40]), 1)
    p = 1 / (1 + np.exp(-z))
    chosen = choose_threshold(p, y, sets)
    names, gaps = np.array(sets), []
    for cut in [chosen, *np.linspace(0.001, 0.999, 999)]:
        rates = [
            [np.mean(p[rows & (y == 1)] >= cut), np.mean(p[rows & (y == 0)] < cut)]
            for rows in (names == "large", names == "small")
        ]
        sensitivity, specificity = np.mean(rates, axis=0)
        gaps.append(abs(sensitivity - specificity))
    assert gaps[0] == pytest.approx(min(gaps), abs=1e-9) and gaps[0] < 0.05
    # One set alone would be cut elsewhere, and copies of a set change nothing.
    assert choose_threshold(p[:400], y[:400], sets[:400]) != pytest.approx(chosen, abs=0.02)
    assert choose_threshold(np.tile(p, 2), np.tile(y, 2), sets * 2) == pytest.approx(chosen)
    with_one_class = (np.append(p, 0.9), np.append(y, 1), [*sets, "ill alone"])
    assert choose_threshold(*with_one_class) == pytest.approx(chosen, abs=0.01)


def test_sets_of_one_class_each_are_taken_as_one() -> None:
    p, y = [0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1]
    assert choose_threshold(p, y, ["healthy"] * 2 + ["ill"] * 2) == pytest.approx(0.45)
    assert choose_threshold(p, y) == pytest.approx(0.45)


def test_several_sets_without_a_better_threshold_get_the_neutral_one() -> None:
    sets = ["a", "a", "b", "b"]
    assert choose_threshold([0.4, 0.6, 0.4, 0.6], [1, 0, 1, 0], sets) == 0.5
    assert choose_threshold([0.1, 0.4, 0.2, 0.6], [0, 1, 0, 1], sets) == pytest.approx(0.3)
