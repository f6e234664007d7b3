"""Calibration: whether a probability of 0.8 comes true in 8 of 10 radiographs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks, _logistic, _weighted
from pneumoscope.evaluate.bootstrap import Interval

TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures outside say that val cannot determine one, not that the model needs one."""

ECE_BINS = 15
"""Bins of Guo et al. 2017."""

_EDGE = 1e-7
"""Distance kept from 0 and 1 before taking a logit: about the resolution of float32 beside 1."""


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Observed against predicted, bin by bin; NaN in bins that hold no radiograph.

    Args:
        edges: (bins + 1,) edges of the equal-width bins, from 0 to 1.
        mean_probability: (bins,) mean predicted probability of each bin.
        observed: (bins,) share of positives in each bin.
        counts: (bins,) radiographs in each bin.
    """

    edges: NDArray[np.float64]
    mean_probability: NDArray[np.float64]
    observed: NDArray[np.float64]
    counts: NDArray[np.int64]


def fit_temperature(
    logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """The temperature T that minimises the mean log loss of sigmoid(logit / T).

    Guo et al. 2017, section 4.2, for two classes. The loss is convex in 1 / T, so that a bounded
    scalar search finds the minimum. Where the logits separate the classes the loss has none and
    falls as T falls; T then stops at the edge of `TEMPERATURE_RANGE`. If no T does better than 1,
    T is 1.

    Args:
        logits: (n,) uncalibrated logits of the positive class.
        targets: (n,) of 0 and 1.
        weights: (n,) weight of each radiograph; equal if None.

    Raises:
        EvaluationError: empty, lengths that differ, NaN, or a single class.
    """
    z = _checks.finite_vector(logits, "logits")
    y = _checks.target_vector(targets)
    _checks.same_length(logits=z.size, targets=y.size)
    _checks.both_classes(y, "fitting a temperature")
    margin, share = np.where(y == 1, z, -z), _checks.weight_vector(weights, y.size)

    def loss(log_temperature: float) -> float:
        return float(
            np.average(np.logaddexp(0.0, -margin / math.exp(log_temperature)), weights=share)
        )

    bounds = (math.log(TEMPERATURE_RANGE[0]), math.log(TEMPERATURE_RANGE[1]))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    # The bounded search approaches an edge without reaching it; `min` keeps the first of equals.
    best = min((0.0, float(found.x), *bounds), key=loss)
    return float(np.clip(math.exp(best), *TEMPERATURE_RANGE))


def fit_calibration(
    logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """Temperature T and bias b that minimise the mean log loss of sigmoid(logit / T + b).

    Platt 1999 in other words: a logistic regression on the logit. A temperature alone cannot mend
    probabilities that are too low on the whole, which focal loss and weighted losses make them.

    Where no finite solution exists, or none whose temperature is positive and within
    `TEMPERATURE_RANGE`, it is `fit_temperature`'s, and the bias is 0.

    Args:
        logits: (n,) uncalibrated logits of the positive class.
        targets: (n,) of 0 and 1.
        weights: (n,) weight of each radiograph, so that a small set is not sacrificed to a large
            one; equal if None.

    Raises:
        EvaluationError: as `fit_temperature`.
    """
    alone = fit_temperature(logits, targets, weights)
    z, y = _checks.finite_vector(logits, "logits"), _checks.target_vector(targets)
    shares = _checks.weight_vector(weights, y.size)[None]
    slope, bias = _logistic.slope_and_intercept(shares, z, y.astype(np.float64))
    if not slope[0] > 0.0:
        return alone, 0.0
    temperature = 1.0 / float(slope[0])
    if not TEMPERATURE_RANGE[0] <= temperature <= TEMPERATURE_RANGE[1]:
        return alone, 0.0
    return temperature, float(bias[0])


def calibrated(logits: ArrayLike, temperature: float, bias: float = 0.0) -> NDArray[np.float64]:
    """Probabilities sigmoid(logit / temperature + bias), shape (n,), in [0, 1].

    Raises:
        EvaluationError: the temperature is not a positive number, or a number is not finite.
    """
    if not math.isfinite(bias):
        raise EvaluationError(
            f"bias {bias:g} is not a number", remedy="fit it with fit_calibration"
        )
    if not (math.isfinite(temperature) and temperature > 0.0):
        raise EvaluationError(
            f"temperature {temperature:g} is not positive", remedy="fit it with fit_temperature"
        )
    probabilities: NDArray[np.float64] = expit(
        _checks.finite_vector(logits, "logits") / temperature + bias
    )
    return probabilities


def expected_calibration_error(
    probabilities: ArrayLike,
    targets: ArrayLike,
    bins: int = ECE_BINS,
    weights: ArrayLike | None = None,
) -> float:
    """Mean gap between predicted and observed share of positives, in [0, 1].

    The probability of the *positive class* is cut into `bins` bins of equal width, [0, 1/bins),
    ..., [1 - 1/bins, 1]; ECE is the sum over bins of (share of radiographs) x |share of positives -
    mean probability| (Naeini et al. 2015 for two classes). Guo et al. 2017 bin the confidence of
    the predicted class instead: their figure cannot be compared with this one. Chance alone makes
    ECE positive, the more so the fewer radiographs fill a bin: no interval reaches down to the true
    zero of a perfectly calibrated model reliably, so compare with `chance_calibration_error`.

    Args:
        probabilities: (n,) in [0, 1].
        targets: (n,) of 0 and 1.
        bins: number of bins, at least 1.
        weights: (n,) weight of each radiograph; equal if None.

    Raises:
        EvaluationError: empty, lengths that differ, NaN, out of range.
    """
    p, y, w = _checked(probabilities, targets, weights)
    _check_bins(bins)
    return float(_weighted.calibration_error(w[None], p, y, bins)[0])


def chance_calibration_error(
    probabilities: ArrayLike, bins: int = ECE_BINS, draws: int = 1000, seed: int = 0
) -> Interval:
    """The calibration error that chance alone gives a perfectly calibrated model.

    Labels are drawn as these probabilities say, again and again, and each draw's
    `expected_calibration_error` is taken (consistency resampling, Bröcker & Smith 2007). A model
    whose own error lies within the interval cannot be told from a perfect one by so many
    radiographs; no limit below it can be shown to be kept. Radiographs are drawn independently:
    several of one patient would make chance's error larger, never smaller.

    Args:
        probabilities: (n,) of the positive class, in [0, 1].
        bins: number of bins, at least 1.
        draws: how often labels are drawn, at least 1.
        seed: the same seed gives the same figures.

    Returns:
        The median over the draws, and the middle 95 % of them.

    Raises:
        EvaluationError: empty, NaN, out of range.
    """
    p = _checks.probability_vector(probabilities)
    _check_bins(bins)
    if draws < 1:
        raise EvaluationError(f"{draws} draws show nothing", remedy="draw at least once")
    generator = np.random.default_rng(seed)
    members = np.eye(bins)[_weighted.bin_index(p, bins)]
    errors = np.empty(draws)
    for index in range(draws):
        gaps = ((generator.random(p.size) < p) - p) @ members
        errors[index] = np.abs(gaps).sum() / p.size
    low, middle, high = np.quantile(errors, [0.025, 0.5, 0.975])
    return Interval(float(middle), float(low), float(high))


def reliability_curve(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = ECE_BINS
) -> ReliabilityCurve:
    """The points of a reliability plot, with the bins of `expected_calibration_error`.

    Args:
        probabilities: (n,) in [0, 1].
        targets: (n,) of 0 and 1.
        bins: number of bins, at least 1.

    Raises:
        EvaluationError: empty, lengths that differ, NaN, out of range.
    """
    p, y = _checks.predicted(probabilities, targets)
    _check_bins(bins)
    index = _weighted.bin_index(p, bins)
    counts = np.bincount(index, minlength=bins)
    size = counts.astype(np.float64)
    predicted = np.bincount(index, weights=p, minlength=bins).astype(np.float64)
    positives = np.bincount(index, weights=y, minlength=bins).astype(np.float64)
    return ReliabilityCurve(
        edges=np.linspace(0.0, 1.0, bins + 1),
        mean_probability=_weighted.ratio(predicted, size),
        observed=_weighted.ratio(positives, size),
        counts=counts.astype(np.int64),
    )


def calibration_slope_intercept(
    probabilities: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """Cox's calibration slope, and calibration-in-the-large (Cox 1958; Van Calster et al. 2019).

    The slope comes from the logistic regression of the target on logit(probability), both slope
    and intercept free: 1 is ideal, below 1 means overconfident. The intercept returned is *not* the
    one of that fit, but of the fit whose slope is fixed at 1 (calibration-in-the-large): 0 is
    ideal, above 0 means that probabilities are too low on the whole.

    Probabilities are kept 1e-7 away from 0 and 1, where a logit would be infinite.

    Args:
        probabilities: (n,) in [0, 1].
        targets: (n,) of 0 and 1.
        weights: (n,) weight of each radiograph; equal if None.

    Returns:
        (slope, intercept). The slope is NaN where no finite one exists: separable classes, constant
        probabilities, or one class. The intercept is NaN for one class only.

    Raises:
        EvaluationError: empty, lengths that differ, NaN, out of range.
    """
    p, y, w = _checked(probabilities, targets, weights)
    slope, intercept = slopes_and_intercepts(w[None], p, y)
    return float(slope[0]), float(intercept[0])


def finite_logit(probabilities: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """Log-odds of probabilities, kept 1e-7 away from 0 and 1, where they would be infinite."""
    odds: NDArray[np.float64] = logit(np.clip(probabilities, _EDGE, 1.0 - _EDGE))
    return odds


def slopes_and_intercepts(
    weights: NDArray[np.float64], probabilities: NDArray[np.float64], targets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`calibration_slope_intercept` for weights of shape (k, n); both results have shape (k,)."""
    score = finite_logit(probabilities)
    outcome = targets.astype(np.float64)
    slope, _ = _logistic.slope_and_intercept(weights, score, outcome)
    return slope, _logistic.intercept_with_offset(weights, score, outcome)


def _checked(
    probabilities: ArrayLike, targets: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    p, y = _checks.predicted(probabilities, targets)
    return p, y, _checks.weight_vector(weights, y.size)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise EvaluationError(f"{bins} bins hold nothing", remedy="use at least one bin")
