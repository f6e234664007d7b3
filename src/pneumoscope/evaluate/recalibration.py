"""Threshold, calibration and review band fitted anew on a site's own labelled sample.

The figures after calibration are cross-fitted: every radiograph is decided by a fit that has not
seen its patient. So they estimate what the calibrated model does on further radiographs of the same
source. The intervals of the fitted numbers come from refits on resampled patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks, _weighted
from pneumoscope.evaluate.abstention import ReviewBand, fit_review_band
from pneumoscope.evaluate.bootstrap import Interval, Statistic, bootstrap_patients, figures_json
from pneumoscope.evaluate.calibration import (
    ECE_BINS,
    calibrated,
    fit_calibration,
    slopes_and_intercepts,
)
from pneumoscope.evaluate.predictions import Predictions
from pneumoscope.evaluate.threshold_rule import ThresholdRule

LEAST = 10
"""Patients with each label without which nothing is fitted; also the folds of cross-fitting."""

ENOUGH = 100
"""Radiographs of each label that keep the intervals narrow enough (Collins et al. 2016)."""

_FOR_A_BAND = 19
"""Radiographs of a label without which a band of 95 % coverage has no limit on that side."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What turns a logit into a probability and a decision.

    Attributes:
        temperature, bias: a probability is sigmoid(logit / temperature + bias).
        threshold: decisions are positive from this probability on.
        band: probabilities that are uncertain; None without one.
    """

    temperature: float
    bias: float
    threshold: float
    band: ReviewBand | None

    def numbers(self) -> dict[str, float]:
        """The numbers by name, those of the band where there is one."""
        band = {} if self.band is None else {"band_low": self.band.low, "band_high": self.band.high}
        return {
            "threshold": self.threshold, "temperature": self.temperature, "bias": self.bias, **band
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Recalibration:
    """An operating point fitted on a sample.

    Attributes:
        point: the fit on all radiographs of the sample.
        intervals: 95 % interval of each of the point's numbers.
        before: figures of the sample at the earlier operating point.
        after: the same figures, cross-fitted.
        n, n_positive, n_patients: of the sample.
        warnings: what limits the fit, as sentences.
    """

    point: OperatingPoint
    intervals: dict[str, Interval]
    before: dict[str, Interval]
    after: dict[str, Interval]
    n: int
    n_positive: int
    n_patients: int
    warnings: list[str]

    def figures(self) -> dict[str, Any]:
        """`before` and `after` as JSON can hold them."""
        return {
            when: figures_json(figures)
            for when, figures in (("before", self.before), ("after", self.after))
        }


def recalibrate(
    sample: Predictions,
    earlier: OperatingPoint,
    rule: ThresholdRule,
    *,
    prevalence: float | None = None,
    n_refits: int = 300,
    seed: int = 0,
) -> Recalibration:
    """Fit an operating point to a site's labelled sample.

    Args:
        sample: logits and labels of the site's radiographs; its probabilities are not used.
        earlier: what the bundle decides by now.
        rule: how the threshold is chosen.
        prevalence: share of positives at the site, in (0, 1), if the sample was drawn by label;
            None if the sample has the site's own share.
        n_refits: refits on resampled patients for the intervals of the point's numbers.
        seed: of folds and resamples.

    Raises:
        EvaluationError: fewer than `LEAST` patients with a label, or a prevalence out of range.
    """
    _check(sample, prevalence)
    fitted = _fit(sample.logits, sample.targets, rule, prevalence)
    decided = {
        "before": _decided(sample.logits, earlier),
        "after": _cross_fitted(sample, rule, prevalence, seed),
    }
    figures = {
        when: bootstrap_patients(
            _statistic(sample, *each, prevalence), sample.patients, seed=seed, distances={"ece"}
        )
        for when, each in decided.items()
    }
    positives = int(sample.targets.sum())
    return Recalibration(
        point=fitted,
        intervals=_intervals(sample, rule, prevalence, fitted, n_refits, seed),
        before=figures["before"],
        after=figures["after"],
        n=len(sample),
        n_positive=positives,
        n_patients=sample.n_patients,
        warnings=_warnings(
            len(sample) - positives,
            positives,
            figures["before"]["roc_auc"],
            reviewed=not np.isnan(figures["after"]["uncertain"].value),
        ),
    )


def _check(sample: Predictions, prevalence: float | None) -> None:
    _checks.share_of_positives(prevalence)
    for name, label in (("positive", 1), ("negative", 0)):
        rows = np.flatnonzero(sample.targets == label)
        patients = {sample.patients[row] for row in rows}
        if len(patients) < LEAST:
            raise EvaluationError(
                f"the sample has {rows.size} {name} radiographs of {len(patients)} patients, and "
                f"calibration needs {LEAST} patients with each label",
                remedy=f"label more radiographs; {ENOUGH} of each label give narrow intervals",
            )


def _fit(
    logits: NDArray[np.float64],
    targets: NDArray[np.int64],
    rule: ThresholdRule,
    prevalence: float | None,
) -> OperatingPoint:
    temperature, bias = fit_calibration(logits, targets, _weights(targets, prevalence))
    p = calibrated(logits, temperature, bias)
    threshold = rule.choose(p, targets, prevalence)
    return OperatingPoint(temperature, bias, threshold, fit_review_band(p, targets))


def _weights(targets: NDArray[np.int64], prevalence: float | None) -> NDArray[np.float64] | None:
    """Weights (n,) that give the sample this share of positives."""
    if prevalence is None:
        return None
    share = float(targets.mean())
    return np.where(targets == 1, prevalence / share, (1.0 - prevalence) / (1.0 - share))


_Decided = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]


def _decided(logits: NDArray[np.float64], point: OperatingPoint) -> _Decided:
    """Probability, decision, and 1 where it is uncertain or else 0, each (n,)."""
    p = calibrated(logits, point.temperature, point.bias)
    uncertain = np.zeros(p.size)
    if point.band is not None:
        uncertain[point.band.widened(point.threshold).holds(p)] = 1.0
    return p, (p >= point.threshold).astype(np.int64), uncertain


def _cross_fitted(
    sample: Predictions, rule: ThresholdRule, prevalence: float | None, seed: int
) -> _Decided:
    """As `_decided`, each radiograph by a fit on other patients.

    The third is NaN where a fold leaves too few radiographs of a label for the band's limit and
    the whole sample does not: the fold's fit leaves far more to people than the fit on all does.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    logits, y = sample.logits, sample.targets
    p, decisions = np.empty(y.size), np.empty(y.size, dtype=np.int64)
    uncertain, alike = np.empty(y.size), True
    folds = StratifiedGroupKFold(LEAST, shuffle=True, random_state=seed)
    for rest, own in folds.split(logits, y, sample.patients):
        point = _fit(logits[rest], y[rest], rule, prevalence)
        p[own], decisions[own], uncertain[own] = _decided(logits[own], point)
        alike &= _limits(y[rest]) == _limits(y)
    return p, decisions, uncertain if alike else np.full(y.size, np.nan)


def _limits(targets: NDArray[np.int64]) -> list[bool]:
    """Of each label, whether there are enough radiographs for the band to have a limit."""
    return [int((targets == label).sum()) >= _FOR_A_BAND for label in (0, 1)]


def _statistic(
    sample: Predictions,
    probabilities: NDArray[np.float64],
    decisions: NDArray[np.int64],
    uncertain: NDArray[np.float64],
    prevalence: float | None,
) -> Statistic:
    """The figures for `bootstrap_patients`; ROC-AUC is that of the logits.

    Where `uncertain` is NaN, those of the review band are undefined.
    """
    y = sample.targets
    ranking = _weighted.Ranking(y, sample.logits)
    shares = _weights(y, prevalence)
    kept = np.maximum(uncertain, decisions == y)

    def figures(weights: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        site = weights if shares is None else weights * shares
        cells = _weighted.decision_figures(_weighted.confusion(weights, y, decisions), prevalence)
        names = ("sensitivity", "specificity", "ppv", "npv")
        slope, intercept = slopes_and_intercepts(site, probabilities, y)
        return {
            "roc_auc": ranking.figures(weights, specificity=0.9)["roc_auc"],
            **{name: cells[name] for name in names},
            "ece": _weighted.calibration_error(site, probabilities, y, ECE_BINS),
            "brier": _weighted.brier(site, probabilities, y),
            "calibration_slope": slope,
            "calibration_intercept": intercept,
            "uncertain": _weighted.ratio(site @ uncertain, site.sum(axis=1)),
            "kept_positive": _among(weights, y == 1, kept),
            "kept_negative": _among(weights, y == 0, kept),
        }

    return figures


def _among(
    weights: NDArray[np.float64], chosen: NDArray[np.bool_], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    share = chosen.astype(np.float64)
    return _weighted.ratio(weights @ (share * values), weights @ share)


def _intervals(
    sample: Predictions,
    rule: ThresholdRule,
    prevalence: float | None,
    fitted: OperatingPoint,
    n_refits: int,
    seed: int,
) -> dict[str, Interval]:
    """95 % percentile intervals of the point's numbers, from refits on resampled patients."""
    generator = np.random.default_rng(seed)
    patients, codes = np.unique(np.asarray(sample.patients), return_inverse=True)
    rows = [np.flatnonzero(codes == code) for code in range(patients.size)]
    found: list[list[float]] = []
    for _ in range(n_refits):
        drawn = np.concatenate([rows[code] for code in generator.integers(0, len(rows), len(rows))])
        logits, y = sample.logits[drawn], sample.targets[drawn]
        if y.min() < y.max():
            found.append(list(_fit(logits, y, rule, prevalence).numbers().values()))
    low, high = np.quantile(np.array(found), [0.025, 0.975], axis=0)
    return {
        name: Interval(value, float(low[index]), float(high[index]), n_refits - len(found))
        for index, (name, value) in enumerate(fitted.numbers().items())
    }


def _warnings(negatives: int, positives: int, roc_auc: Interval, *, reviewed: bool) -> list[str]:
    """What to know before the fit is used; `reviewed` if the band could be cross-fitted, too."""
    said = []
    if min(negatives, positives) < ENOUGH:
        said.append(
            f"The sample is small ({positives} positive and {negatives} negative radiographs; "
            f"{ENOUGH} of each are recommended), so the intervals are wide."
        )
    if min(negatives, positives) < _FOR_A_BAND:
        said.append(
            f"A review band needs {_FOR_A_BAND} radiographs of each label. On the side of the "
            "smaller label it reaches to the end, so all radiographs there are marked for review."
        )
    if not reviewed:
        said.append(
            f"Cross-fitting leaves fewer than {_FOR_A_BAND} radiographs of a label for a fit, too "
            "few for a review band. So nothing is said of what the written band leaves to people."
        )
    if roc_auc.low < 0.6:
        said.append(
            f"The model hardly separates the labels here (ROC-AUC {roc_auc.value:.2f}, 95 % "
            f"interval {roc_auc.low:.2f} to {roc_auc.high:.2f}). No threshold and no calibration "
            "can mend that."
        )
    return said
