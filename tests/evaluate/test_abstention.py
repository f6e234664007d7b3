"""The review band keeps its promise, and the risk curve counts as by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    Predictions,
    ReviewBand,
    abstention_report,
    fit_review_band,
    risk_curve,
)
from pneumoscope.findings import indeterminate

Floats = NDArray[np.float64]


def drawn(n: int, seed: int, separation: float) -> tuple[Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, n)
    return expit(rng.normal(separation * (2 * targets - 1))), targets


@pytest.mark.parametrize("separation", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_promise_is_kept_for_either_label(separation: float, coverage: float) -> None:
    kept: dict[int, list[float]] = {0: [], 1: []}
    for seed in range(200):
        band = fit_review_band(*drawn(120, seed, separation), coverage)
        p, y = drawn(2000, 10_000 + seed, separation)
        uncertain = band.holds(p)
        for label in (0, 1):
            called = p > band.high if label else p < band.low
            kept[label].append(float((uncertain | called)[y == label].mean()))
    for label in (0, 1):
        # 200 val sets: the mean's standard error is about .003.
        assert np.mean(kept[label]) >= coverage - 0.01
        # Labels far apart leave a gap, which is reviewed beyond what the promise needs.
        assert separation > 0.3 or np.mean(kept[label]) <= coverage + 0.03


def test_limits_are_the_order_statistics_of_each_label() -> None:
    positives, negatives = np.linspace(0.3, 0.99, 19), np.linspace(0.01, 0.6, 19)
    p = np.concatenate([positives, negatives])
    y = np.repeat([1, 0], 19)
    # 20 * .1 = 2: the two lowest positives may be missed, but the second bounds the band.
    band = fit_review_band(p, y, 0.9)
    limits = [band.coverage, band.low, band.high]
    assert limits == pytest.approx([0.9, positives[1], negatives[-2]])
    assert band.holds([positives[1], 0.5, negatives[-2], 0.9, 0.1]).tolist() == [1, 1, 1, 0, 0]


def test_labels_apart_leave_the_gap_uncertain() -> None:
    p = np.concatenate([np.full(40, 0.9), np.full(40, 0.2)])
    band = fit_review_band(p, np.repeat([1, 0], 40))
    assert [band.low, band.high] == pytest.approx([0.2, 0.9])


def test_too_few_radiographs_promise_nothing_but_review() -> None:
    band = fit_review_band([0.9, 0.8, 0.1], [1, 1, 0])
    assert (band.low, band.high) == (0.0, 1.0)


def test_risk_falls_where_the_unsure_err() -> None:
    p, y = [0.99, 0.9, 0.6, 0.45, 0.05], [1, 1, 0, 1, 0]
    curve = risk_curve(p, y, 0.5)
    assert curve.coverage.tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert curve.risk.tolist() == pytest.approx([0, 0, 0, 1 / 4, 2 / 5])
    assert curve.area == pytest.approx((1 / 4 + 2 / 5) / 5)


def test_equally_sure_radiographs_share_their_errors() -> None:
    one = risk_curve([0.8, 0.8, 0.2, 0.2], [1, 0, 0, 0], 0.5)
    other = risk_curve([0.8, 0.8, 0.2, 0.2], [0, 1, 0, 0], 0.5)
    assert one.risk.tolist() == other.risk.tolist() == pytest.approx([0.25] * 4)


def test_a_threshold_at_the_edge_and_certain_probabilities() -> None:
    curve = risk_curve([0.0, 1.0], [0, 1], 1.0)
    assert np.isfinite(curve.risk).all() and curve.risk[-1] == 0


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [([0.5], [0, 1], "length"), ([2.0, 0.1], [0, 1], "outside"), ([0.1, 0.2], [1, 1], "class")],
)
def test_what_cannot_be_fitted(p: list[float], y: list[int], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        fit_review_band(p, y)


def test_settings_out_of_range() -> None:
    with pytest.raises(EvaluationError, match="coverage"):
        fit_review_band([0.1, 0.9], [0, 1], 1.0)
    with pytest.raises(EvaluationError, match="threshold"):
        risk_curve([0.1, 0.9], [0, 1], 1.5)


def test_the_report_counts_each_label_by_itself() -> None:
    probabilities = np.array([0.95, 0.5, 0.1, 0.05, 0.6, 0.9])
    predictions = Predictions(
        images=list("abcdef"),
        patients=list("abcdef"),
        targets=np.array([1, 1, 1, 0, 0, 0]),
        logits=np.log(probabilities / (1 - probabilities)),
        probabilities=probabilities,
    )
    found = abstention_report(predictions, 0.5, ReviewBand(0.9, 0.4, 0.7))
    values = {name: figure.value for name, figure in found.items()}
    # In the band are .5 and .6. Of those decided, .1 is missed and .9 is a false positive.
    assert values == pytest.approx(
        {
            "uncertain": 2 / 6,
            "kept_positive": 2 / 3,
            "kept_negative": 2 / 3,
            "accuracy_decided": 0.5,
        }
    )
    assert all(figure.low <= figure.value <= figure.high for figure in found.values())


def test_the_band_is_measured_as_findings_apply_it() -> None:
    band = ReviewBand(0.95, 0.07, 0.3)
    for threshold in (0.05, 0.2, 0.76):
        wide = band.widened(threshold)
        assert (wide.low, wide.high) == indeterminate((band.low, band.high), threshold)
    p = np.array([0.6, 0.4, 0.05, 0.9])
    targets = np.array([1, 1, 0, 1])
    predictions = Predictions(list("abcd"), list("abcd"), targets, np.log(p / (1 - p)), p)
    found = abstention_report(predictions, 0.76, band)
    assert found["uncertain"].value == 0.5
    assert found["kept_positive"].value == 1.0


def test_of_several_cohorts_the_one_that_needs_the_widest_band_decides() -> None:
    easy, easy_targets = drawn(400, 1, 3.0)
    hard, hard_targets = drawn(400, 2, 0.8)
    p, y = np.concatenate([easy, hard]), np.concatenate([easy_targets, hard_targets])
    groups = ["easy"] * 400 + ["hard"] * 400
    band, alone = fit_review_band(p, y, groups=groups), fit_review_band(hard, hard_targets)
    assert (band.low, band.high) == (alone.low, alone.high)
    pooled = fit_review_band(p, y)
    assert band.low < pooled.low and band.high > pooled.high


def test_a_cohort_with_too_few_of_a_label_says_nothing_of_it() -> None:
    p, y = drawn(400, 1, 1.0)
    band = fit_review_band(
        np.append(p, [0.0, 1.0]), np.append(y, [1, 0]), groups=["a"] * 400 + ["b"] * 2
    )
    assert band == fit_review_band(p, y)
    # Of one cohort with too few everything is uncertain.
    few = fit_review_band([0.1, 0.9], [0, 1])
    assert (few.low, few.high) == (0.0, 1.0)
