"""When not to trust a decision: a conformal band of probabilities, and what abstaining gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks
from pneumoscope.evaluate.bootstrap import Interval, bootstrap_patients, weighted_means
from pneumoscope.evaluate.calibration import finite_logit
from pneumoscope.evaluate.predictions import Predictions

REVIEW_COVERAGE = 0.95
"""What a bundle's band promises unless told otherwise."""


@dataclass(frozen=True, slots=True)
class ReviewBand:
    """Probabilities from `low` to `high`, both included, are uncertain: somebody should look.

    Attributes:
        coverage: of radiographs of either label, at least this share is expected to be called by
            its label or to fall into the band.
        low, high: in [0, 1].
    """

    coverage: float
    low: float
    high: float

    def widened(self, threshold: float) -> ReviewBand:
        """The band as findings apply it: wide enough to hold the threshold in use and 0.5."""
        low, high = min(self.low, threshold, 0.5), max(self.high, threshold, 0.5)
        return ReviewBand(self.coverage, low, high)

    def holds(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Which probabilities (n,) are uncertain."""
        p = np.asarray(probabilities, dtype=np.float64)
        return (p >= self.low) & (p <= self.high)


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """What is left to err on when the least sure radiographs are left to people.

    Attributes:
        coverage: (n,) share of radiographs decided, rising to 1.
        risk: (n,) share of wrong decisions among them.
        area: mean of the risk over all coverages (AURC, Geifman and El-Yaniv 2017), in [0, 1].
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    area: float


def fit_review_band(
    probabilities: ArrayLike,
    targets: ArrayLike,
    coverage: float = REVIEW_COVERAGE,
    groups: Sequence[str] | None = None,
) -> ReviewBand:
    """The band of split conformal prediction, label by label (Sadinle et al. 2019, section 3).

    A label belongs to a radiograph's set if its probability is no lower than all but a share
    1 - coverage of val's radiographs of that label, counting the new one: with k =
    floor((n + 1) (1 - coverage)), the k-th lowest of n is the limit, and the k - 1 below it are
    given up. Where the sets of both labels reach, or neither does,
    the radiograph is uncertain; between the two limits that is so.

    Where several cohorts were joined, a promise kept on the whole may be broken in the smallest. So
    the limits are those of the cohort that needs the widest band (group-conditional coverage, Vovk
    2012); cohorts with too few radiographs of a label to have a limit say nothing of it.

    The promise holds on average over val sets and for radiographs like val's, each counted for
    itself: other hospitals, and patients with many radiographs, may fall short of it.

    Args:
        probabilities: (n,) calibrated probabilities of the positive label, on val.
        targets: (n,) of 0 and 1.
        coverage: the share promised, in (0, 1).
        groups: (n,) cohort of each radiograph; None for one cohort.

    Raises:
        EvaluationError: empty, lengths that differ, NaN, out of range, or a single class.
    """
    p, y = _checks.predicted(probabilities, targets, "a review band")
    if not 0.0 < coverage < 1.0:
        raise EvaluationError(
            f"coverage {coverage:g} is not between 0 and 1", remedy="use for instance 0.95"
        )
    cohorts = np.zeros(y.size, dtype=np.int64)
    if groups is not None:
        _checks.same_length(targets=y.size, groups=len(groups))
        cohorts = np.unique(np.asarray(groups), return_inverse=True)[1]
    least_positive = _widest(p, cohorts, y == 1, coverage)
    most_negative = 1.0 - _widest(1.0 - p, cohorts, y == 0, coverage)
    low, high = sorted((least_positive, most_negative))
    return ReviewBand(coverage, low, high)


def _widest(
    scores: NDArray[np.float64],
    cohorts: NDArray[np.int64],
    labelled: NDArray[np.bool_],
    coverage: float,
) -> float:
    """The lowest limit of the cohorts that have one; 0 where none has."""
    parts = [scores[labelled & (cohorts == cohort)] for cohort in np.unique(cohorts)]
    limits = [limit for part in parts if (limit := _limit(part, coverage)) is not None]
    return min(limits, default=0.0)


def _limit(scores: NDArray[np.float64], coverage: float) -> float | None:
    """The lowest score of a label that is not given up; None where there are too few for one."""
    # Without the rounding, (n + 1) * (1 - .95) of n = 99 is 5.000000000000004 or 4.99....
    rank = math.floor(round((scores.size + 1) * (1.0 - coverage), 9))
    return float(np.sort(scores)[rank - 1]) if rank else None


def risk_curve(probabilities: ArrayLike, targets: ArrayLike, threshold: float) -> RiskCurve:
    """Risk against coverage, the surest radiographs first.

    Sure is what lies far from the threshold, in log-odds. Radiographs equally far are decided
    together: their order must not flatter.

    Args:
        probabilities: (n,) calibrated probabilities of the positive label.
        targets: (n,) of 0 and 1.
        threshold: decisions are positive from here on, in [0, 1].

    Raises:
        EvaluationError: empty, lengths that differ, NaN, out of range.
    """
    p, y = _checks.predicted(probabilities, targets)
    _checks.decision_threshold(threshold)
    distance = np.round(np.abs(finite_logit(p) - finite_logit(np.float64(threshold))), 9)
    wrong = ((p >= threshold) != (y == 1)).astype(np.float64)
    _, group, counts = np.unique(-distance, return_inverse=True, return_counts=True)
    errors = np.bincount(group, weights=wrong)
    # Within a group every order is as likely: its errors are spread evenly.
    spread = np.repeat(errors / counts, counts)
    decided = np.arange(1, p.size + 1)
    risk = np.cumsum(spread) / decided
    return RiskCurve(decided / p.size, risk, float(risk.mean()))


def abstention_report(
    predictions: Predictions,
    threshold: float,
    band: ReviewBand,
) -> dict[str, Interval]:
    """What the band does on radiographs it was not fitted on, with 95 % patient-level intervals.

    The band is taken as it is delivered, `widened` to the threshold and to .5.

    Args:
        predictions: the radiographs.
        threshold: decisions outside the band are positive from here on.
        band: fitted on other radiographs (val).

    Returns:
        `uncertain`, the share in the band; `kept_positive` and `kept_negative`, of each label the
        share called so or in the band, to be held against `band.coverage`; `accuracy_decided`, the
        accuracy outside the band. NaN where no radiograph counts.
    """
    p, positive = predictions.probabilities, predictions.targets == 1
    uncertain = band.widened(threshold).holds(p)
    right = (p >= threshold) == positive
    kept = uncertain | right

    def among(chosen: NDArray[np.bool_], values: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.where(chosen, values.astype(np.float64), np.nan)

    columns = {
        "uncertain": uncertain.astype(np.float64),
        "kept_positive": among(positive, kept),
        "kept_negative": among(~positive, kept),
        "accuracy_decided": among(~uncertain, right),
    }
    return bootstrap_patients(weighted_means(columns), predictions.patients)
