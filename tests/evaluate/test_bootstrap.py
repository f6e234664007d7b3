"""Intervals: reproducible, covering, wider for correlated radiographs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Interval, bootstrap_patients, weighted_means
from pneumoscope.evaluate._weighted import Ranking

from .cohorts import binormal


def test_undefined_figures_are_null_in_json() -> None:
    assert Interval(math.nan, math.nan, 0.5).to_dict() == {"value": None, "low": None, "high": 0.5}
    assert json.dumps(Interval(0.5, 0.4, 0.6, skipped=3).to_dict(), allow_nan=False)


def test_interval_of_a_mean_matches_theory() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    interval = bootstrap_patients(
        weighted_means({"mean": values}), [f"p{i}" for i in range(400)], n_resamples=4000
    )["mean"]
    assert interval.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert interval.skipped == 0


def test_same_seed_same_interval() -> None:
    statistic = weighted_means({"mean": np.arange(50.0)})
    patients = [f"p{i % 20}" for i in range(50)]
    first = bootstrap_patients(statistic, patients, seed=3)
    assert first == bootstrap_patients(statistic, patients, seed=3)
    assert first != bootstrap_patients(statistic, patients, seed=4)


def test_all_radiographs_of_a_drawn_patient_come_along() -> None:
    patients = ["b", "a", "b", "c", "a", "b"]
    seen: list[NDArray[np.float64]] = []

    def statistic(weights: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        seen.append(weights)
        return {"total": weights.sum(axis=1)}

    bootstrap_patients(statistic, patients, n_resamples=200)
    weights = np.vstack(seen[1:])
    assert weights.shape == (200, 6)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 0] == weights[:, 5]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()  # three patients drawn each time
    assert weights[:, [0, 1, 3]].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.2)


def test_undefined_resamples_are_skipped_and_counted() -> None:
    """With one positive among 3 patients, (2/3)^3 = 30 % of resamples have none."""
    ranking = Ranking(np.array([0, 0, 1]), np.array([0.1, 0.6, 0.5]))
    interval = bootstrap_patients(
        lambda weights: ranking.figures(weights, 0.9), ["a", "b", "c"], n_resamples=1000
    )["roc_auc"]
    missing_a_class = (2 / 3) ** 3 + (1 / 3) ** 3
    assert interval.skipped == pytest.approx(1000 * missing_a_class, rel=0.15)
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


def test_one_patient_gives_no_interval() -> None:
    interval = bootstrap_patients(weighted_means({"mean": [1.0, 3.0]}), ["a", "a"])["mean"]
    assert interval.value == 2.0
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_no_resamples_gives_figures_alone() -> None:
    interval = bootstrap_patients(weighted_means({"m": [1.0, 3.0]}), ["a", "b"], n_resamples=0)["m"]
    assert interval.to_dict() == {"value": 2.0, "low": None, "high": None}


def test_means_leave_missing_values_out() -> None:
    columns = {"some": [1.0, np.nan, 3.0], "none": [np.nan] * 3}
    figures = bootstrap_patients(weighted_means(columns), ["a", "b", "c"])
    assert figures["some"].value == 2.0
    assert figures["none"].to_dict() == {"value": None, "low": None, "high": None}
    assert figures["none"].skipped == 1000


def test_a_distance_keeps_its_figure_inside() -> None:
    """Resamples of |mean| near zero lie above it; the reflected interval holds it and zero."""
    values = np.random.default_rng(1).normal(0.0, 1.0, 100)
    values -= values.mean() - 1e-3

    def distance(weights: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        return {"d": np.abs(weights @ values) / weights.sum(axis=1)}

    patients = [f"p{i}" for i in range(100)]
    plain = bootstrap_patients(distance, patients)["d"]
    reflected = bootstrap_patients(distance, patients, distances={"d"})["d"]
    assert plain.low > plain.value
    assert 0.0 <= reflected.low <= reflected.value <= reflected.high


def test_coverage_and_the_price_of_ignoring_patients() -> None:
    """Correlated radiographs: by patient about 95 % of intervals hold the truth, by image fewer."""
    truth = norm.cdf(2.0 / math.sqrt(2.0))
    by_patient, by_image, wider = 0, 0, 0
    repeats = 150
    for seed in range(repeats):
        predictions = binormal(100, per_patient=4, shared=0.8, seed=seed)
        ranking = Ranking(predictions.targets, predictions.logits)

        def auc(
            weights: NDArray[np.float64], ranking: Ranking = ranking
        ) -> Mapping[str, NDArray[np.float64]]:
            return ranking.figures(weights, 0.9)

        grouped = bootstrap_patients(auc, predictions.patients, 300, seed)["roc_auc"]
        single = bootstrap_patients(auc, predictions.images, 300, seed)["roc_auc"]
        by_patient += grouped.low <= truth <= grouped.high
        by_image += single.low <= truth <= single.high
        wider += grouped.high - grouped.low > single.high - single.low
    assert 0.89 <= by_patient / repeats <= 0.99
    assert by_image / repeats < 0.85
    assert wider / repeats > 0.98


@pytest.mark.parametrize(("n_resamples", "level"), [(-1, 0.95), (10, 0.0), (10, 1.0)])
def test_settings_out_of_range(n_resamples: int, level: float) -> None:
    with pytest.raises(EvaluationError, match="make no interval"):
        bootstrap_patients(weighted_means({"m": [1.0]}), ["a"], n_resamples, 0, level)


def test_missing_patients_are_refused() -> None:
    statistic = weighted_means({"m": [1.0, 2.0]})
    with pytest.raises(EvaluationError, match="row 1 has no patient"):
        bootstrap_patients(statistic, ["a", " "])
    with pytest.raises(EvaluationError, match="no patients"):
        bootstrap_patients(statistic, [])
    with pytest.raises(EvaluationError, match="nothing to average"):
        weighted_means({})
