"""Temperature, calibration error, Cox slope and intercept."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit
from sklearn.linear_model import LogisticRegression

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    _logistic,
    calibrated,
    calibration_slope_intercept,
    chance_calibration_error,
    expected_calibration_error,
    fit_calibration,
    fit_temperature,
    reliability_curve,
)

from .cohorts import binormal


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_temperature_is_recovered(temperature: float) -> None:
    cohort = binormal(40_000)
    assert fit_temperature(cohort.logits * temperature, cohort.targets) == pytest.approx(
        temperature, rel=0.03
    )


def test_temperature_minimises_the_loss() -> None:
    cohort = binormal(200, seed=4)
    logits = 3.0 * cohort.logits

    def loss(temperature: float) -> float:
        signs = 2.0 * cohort.targets - 1.0
        return -float(np.mean(log_expit(signs * logits / temperature)))

    best = fit_temperature(logits, cohort.targets)
    grid = np.geomspace(0.05, 20.0, 2000)
    assert loss(best) <= min(loss(t) for t in grid) + 1e-9


def test_temperature_on_data_that_has_no_best_one() -> None:
    targets = np.array([0, 0, 1, 1])
    assert fit_temperature([-1.0, -0.5, 0.5, 1.0], targets) == pytest.approx(0.05)
    assert fit_temperature([1.0, 0.5, -0.5, -1.0], targets) == pytest.approx(20.0)
    assert fit_temperature([0.0, 0.0, 0.0, 0.0], targets) == 1.0
    assert fit_temperature([-1e4, -1e4, 1e4, 1e4], targets) == 1.0  # nothing left to gain


def test_temperature_keeps_the_order() -> None:
    logits = np.array([-900.0, -2.0, 0.0, 1.0, 900.0])
    assert calibrated(logits, 2.0) == pytest.approx(expit(logits / 2.0))
    assert calibrated(logits, 2.0)[2] == 0.5
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(EvaluationError, match="not positive"):
            calibrated(logits, temperature)


def test_one_class_cannot_fit_a_temperature() -> None:
    with pytest.raises(EvaluationError, match="all 2 radiographs are positive") as caught:
        fit_temperature([0.1, 0.2], [1, 1])
    assert caught.value.remedy


def test_calibration_error_by_hand() -> None:
    """Two bins of 2 and 1: gaps |.5 - .15| and |1 - .9|, weighted 2/3 and 1/3."""
    assert expected_calibration_error([0.1, 0.2, 0.9], [0, 1, 1], bins=2) == pytest.approx(
        2 / 3 * 0.35 + 1 / 3 * 0.1
    )
    assert expected_calibration_error([0.0, 1.0], [0, 1]) == 0.0
    assert expected_calibration_error([0.0, 1.0], [1, 0]) == 1.0
    assert expected_calibration_error([0.0, 1.0], [1, 1], weights=[1, 3]) == 0.25


def test_true_probabilities_are_calibrated() -> None:
    cohort = binormal(50_000, seed=2)
    assert expected_calibration_error(cohort.probabilities, cohort.targets) < 0.01
    assert expected_calibration_error(expit(4 * cohort.logits), cohort.targets) > 0.05


def test_reliability_curve_agrees_with_the_error() -> None:
    cohort = binormal(60, seed=3)
    curve = reliability_curve(cohort.probabilities, cohort.targets, bins=40)
    assert curve.counts.sum() == 60
    assert curve.edges[[0, -1]].tolist() == [0.0, 1.0]
    empty = curve.counts == 0
    assert empty.any()
    assert np.isnan(curve.observed[empty]).all() and np.isfinite(curve.observed[~empty]).all()
    inside = curve.mean_probability[~empty]
    assert (inside >= curve.edges[:-1][~empty]).all() and (inside <= curve.edges[1:][~empty]).all()
    gaps = np.abs(curve.observed - curve.mean_probability)[~empty]
    assert np.average(gaps, weights=curve.counts[~empty]) == pytest.approx(
        expected_calibration_error(cohort.probabilities, cohort.targets, bins=40)
    )


def test_slope_and_intercept_are_recovered() -> None:
    cohort = binormal(60_000, seed=5)
    slope, intercept = calibration_slope_intercept(cohort.probabilities, cohort.targets)
    assert slope == pytest.approx(1.0, abs=0.03)
    assert intercept == pytest.approx(0.0, abs=0.04)
    overconfident, _ = calibration_slope_intercept(expit(2.0 * cohort.logits), cohort.targets)
    assert overconfident == pytest.approx(slope / 2.0, rel=1e-3)
    _, too_low = calibration_slope_intercept(expit(cohort.logits - 0.7), cohort.targets)
    assert too_low == pytest.approx(intercept + 0.7, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_fits_match_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cohort = binormal(150, seed=seed)
    p = np.clip(cohort.probabilities, 1e-4, 1 - 1e-4)
    weights = np.vstack([rng.poisson(1.0, 150), rng.random(150)])
    x = logit(p)
    slope, intercept = _logistic.slope_and_intercept(weights, x, cohort.targets.astype(float))
    for row, w in enumerate(weights):
        reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
        reference.fit(x[:, None], cohort.targets, sample_weight=w)
        assert slope[row] == pytest.approx(reference.coef_[0, 0], rel=1e-4)
        assert intercept[row] == pytest.approx(reference.intercept_[0], rel=1e-3, abs=1e-4)
        in_the_large = calibration_slope_intercept(p, cohort.targets, w)[1]
        # Its defining property: after the shift, the mean probability is the observed share.
        assert w @ expit(x + in_the_large) == pytest.approx(w @ cohort.targets)


def almost_separable() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One overlapping pair among many: steep, but finite."""
    x = np.concatenate([np.linspace(-9.0, -1.0, 200), [0.02], [-0.02], np.linspace(1.0, 9.0, 200)])
    return x, np.repeat([0.0, 1.0], 201)


def confident_and_wrong() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Few positives, one far out on the wrong side: full Newton steps run away."""
    x = np.concatenate([[-90.7, 1.3, 4.3, -11.1, -19.7, -19.7], np.linspace(-6.6, 5.6, 19)])
    return x, np.repeat([1.0, 0.0], [3, 22])


def far_outlier() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A score 10,000 times the others: only long steps arrive within the limit."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 1.0, 60)
    y = (rng.random(60) < expit(3.0 * x)).astype(np.float64)
    return np.append(x, 1e4), np.append(y, 1.0)


@pytest.mark.parametrize("data", [almost_separable, confident_and_wrong, far_outlier])
def test_hard_fits_converge(
    data: Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> None:
    """Residuals are orthogonal to the design: the one solution of a convex problem."""
    x, y = data()
    slope, intercept = _logistic.slope_and_intercept(np.ones((1, x.size)), x, y)
    residual = y - expit(intercept[0] + slope[0] * x)
    assert [residual.sum(), residual @ x / np.abs(x).max()] == pytest.approx([0.0, 0.0], abs=1e-8)


def test_intercept_of_saturated_probabilities() -> None:
    """All certain, some wrong: from there a Newton step alone would leave the world."""
    _, intercept = calibration_slope_intercept(np.ones(10), [1] + [0] * 9)
    assert intercept == pytest.approx(logit(0.1) - logit(1 - 1e-7))
    halves = np.repeat([0.0, 1.0], 5)
    _, intercept = calibration_slope_intercept(halves, [0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
    shifted = expit(logit(np.clip(halves, 1e-7, 1 - 1e-7)) + intercept)
    assert shifted.sum() == pytest.approx(2.0)


def test_no_slope_where_none_exists() -> None:
    separable = calibration_slope_intercept([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert math.isnan(separable[0]) and math.isfinite(separable[1])
    touching = calibration_slope_intercept([0.1, 0.5, 0.5, 0.9], [0, 0, 1, 1])
    assert math.isnan(touching[0])
    constant = calibration_slope_intercept([0.3, 0.3, 0.3, 0.3], [0, 1, 1, 1])
    assert math.isnan(constant[0])
    assert constant[1] == pytest.approx(logit(0.75) - logit(0.3))
    assert all(math.isnan(v) for v in calibration_slope_intercept([0.3, 0.9], [1, 1]))
    certain = calibration_slope_intercept([0.0, 1.0, 0.0, 1.0], [0, 1, 1, 0])
    assert certain == pytest.approx((0.0, 0.0), abs=1e-6)


def test_faults_are_named() -> None:
    with pytest.raises(EvaluationError, match="lengths differ"):
        calibration_slope_intercept([0.1, 0.2], [0])
    with pytest.raises(EvaluationError, match="weights"):
        expected_calibration_error([0.1, 0.2], [0, 1], weights=[-1, 1])
    with pytest.raises(EvaluationError, match="0 bins"):
        expected_calibration_error([0.1, 0.2], [0, 1], bins=0)
    with pytest.raises(EvaluationError, match="outside"):
        reliability_curve([0.1, 20.0], [0, 1])


def test_calibration_recovers_temperature_and_bias() -> None:
    cohort = binormal(40_000)
    temperature, bias = fit_calibration(2.5 * (cohort.logits - 0.8), cohort.targets)
    assert temperature == pytest.approx(2.5, rel=0.1)
    assert bias == pytest.approx(0.8, abs=0.1)
    p = calibrated(2.5 * (cohort.logits - 0.8), temperature, bias)
    # The fit's own equation: as many positives are expected as there are.
    assert float(p.mean()) == pytest.approx(float(np.mean(cohort.targets)), abs=1e-6)


def test_calibration_where_no_line_fits_is_the_temperatures() -> None:
    targets = [0, 0, 1, 1]
    apart, reversed_ = [-1.0, -0.5, 0.5, 1.0], [1.0, -0.5, 0.5, -1.0]
    assert fit_calibration(apart, targets) == (fit_temperature(apart, targets), 0.0)
    assert fit_calibration(reversed_, targets) == (fit_temperature(reversed_, targets), 0.0)
    with pytest.raises(EvaluationError, match="bias"):
        calibrated(apart, 1.0, math.inf)


def test_the_error_of_chance_is_that_of_labels_drawn_as_the_probabilities_say() -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.beta(0.5, 0.5, 150)
    chance = chance_calibration_error(probabilities)
    drawn = [
        expected_calibration_error(probabilities, rng.random(150) < probabilities)
        for _ in range(2000)
    ]
    expected = np.quantile(drawn, [0.5, 0.025, 0.975])
    np.testing.assert_allclose([chance.value, chance.low, chance.high], expected, rtol=0.06)
    # The more radiographs the less is left to chance: by the root of their number.
    many = chance_calibration_error(np.tile(probabilities, 16))
    assert many.value == pytest.approx(chance.value / 4, rel=0.1)
    # Who is sure and right leaves nothing to chance.
    assert chance_calibration_error([0.0, 1.0, 1.0]).high == 0.0
    assert chance_calibration_error(probabilities, seed=1) != chance
    assert chance_calibration_error(probabilities) == chance


def test_a_calibrated_model_lies_within_chance_and_an_overconfident_one_does_not() -> None:
    cohort = binormal(400)
    for factor, within in ((1.0, True), (3.0, False)):
        probabilities = expit(factor * cohort.logits)
        error = expected_calibration_error(probabilities, cohort.targets)
        chance = chance_calibration_error(probabilities)
        assert (error <= chance.high) is within


@pytest.mark.parametrize(
    ("probabilities", "options"),
    [([], {}), ([1.2], {}), ([math.nan], {}), ([0.5], {"draws": 0}), ([0.5], {"bins": 0})],
)
def test_no_chance_without_probabilities(
    probabilities: list[float], options: dict[str, int]
) -> None:
    with pytest.raises(EvaluationError):
        chance_calibration_error(probabilities, **options)


def test_weights_are_as_good_as_copies() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, 60)
    targets = (rng.random(60) < 1 / (1 + np.exp(-logits / 1.7))).astype(int)
    copies = rng.integers(1, 4, 60)
    weighted = fit_calibration(logits, targets, copies)
    copied = fit_calibration(np.repeat(logits, copies), np.repeat(targets, copies))
    assert weighted == pytest.approx(copied, rel=1e-4, abs=1e-4)
    assert weighted != pytest.approx(fit_calibration(logits, targets), rel=1e-3)
