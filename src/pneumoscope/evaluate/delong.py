"""ROC-AUCs of several models on the same radiographs, and tests of their differences.

DeLong et al. 1988 (Biometrics 44:837) estimate the covariance of correlated AUCs without a
distribution; Obuchowski 1997 (Biometrics 53:567) extends it to patients who have several
radiographs, of either class. With one radiograph per patient the two are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks

# A variance is the difference of larger numbers: below this part of them it is rounding alone.
# One pair of radiographs ranked differently among 10,000 of each class is still well above.
_ROUNDING = 1e-13


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum of AUCs and the two-sided test that it is zero.

    Attributes:
        estimate: the weighted sum.
        standard_error: of the estimate; NaN with fewer than two patients of either class.
        z: estimate / standard_error; 0 where both are zero.
        p: from the normal distribution. 1 where estimate and standard error are both zero (scores
            that rank alike); NaN where only the standard error is (a perfect model and one that
            gives all radiographs the same score), or where that is NaN.
    """

    estimate: float
    standard_error: float
    z: float
    p: float


@dataclass(frozen=True, slots=True, eq=False)
class CorrelatedAucs:
    """ROC-AUCs of k scores of the same radiographs.

    Attributes:
        values: (k,) areas, Mann-Whitney, ties count half.
        covariance: (k, k) of the areas; NaN with fewer than two patients of either class.
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def contrast(self, coefficients: ArrayLike) -> Contrast:
        """Test a weighted sum of the areas, for instance [1, -1] for a difference of two.

        The mean of several areas less the mean of others is a contrast too: [.5, .5, -1].

        Args:
            coefficients: (k,) finite weights.

        Raises:
            EvaluationError: not k finite numbers.
        """
        weights = _checks.finite_vector(coefficients, "coefficients")
        _checks.same_length(areas=self.values.size, coefficients=weights.size)
        estimate = float(weights @ self.values)
        variance = float(weights @ self.covariance @ weights)
        if not math.isfinite(variance):
            return Contrast(estimate, math.nan, math.nan, math.nan)
        scale = float(np.abs(weights) @ np.abs(self.covariance) @ np.abs(weights))
        if variance <= _ROUNDING * scale:
            same = abs(estimate) <= _ROUNDING * float(np.abs(weights).sum())
            return Contrast(estimate, 0.0, 0.0 if same else math.nan, 1.0 if same else math.nan)
        standard_error = math.sqrt(variance)
        z = estimate / standard_error
        return Contrast(estimate, standard_error, z, float(2.0 * norm.sf(abs(z))))


def correlated_aucs(
    targets: ArrayLike, scores: ArrayLike, patients: Sequence[str] | None = None
) -> CorrelatedAucs:
    """Areas of k scores and their covariance, in O(k n log n) by midranks (Sun & Xu 2014).

    V10 of a positive is the share of negatives that score below it, V01 of a negative the share of
    positives that score above it (ties count half). With a_i the sum of V10 - AUC over the m_i
    positives of patient i, b_i likewise over the negatives, I10, I01 and I the patients with
    positives, with negatives, and all, the covariance is (Obuchowski 1997, section 3)

        I10/(I10-1) sum a a' / m^2 + I01/(I01-1) sum b b' / n^2 + I/(I-1) sum (a b' + b a') / (m n).

    Args:
        targets: (n,) of 0 and 1, both present.
        scores: (k, n) scores of each model, higher for positives.
        patients: (n,) patient of each radiograph; if None each radiograph is a patient of its own,
            which is DeLong's method.

    Raises:
        EvaluationError: empty, lengths that differ, NaN, one class only, or a missing patient.
    """
    y = _checks.target_vector(targets)
    _checks.both_classes(y, "a comparison of ROC-AUCs")
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if table.ndim != 2 or table.shape[0] == 0:
        raise EvaluationError(
            f"scores have shape {table.shape}", remedy="pass one row of scores per model"
        )
    for row in table:
        _checks.same_length(targets=y.size, scores=_checks.finite_vector(row, "scores").size)
    if patients is None:
        codes, n_patients = np.arange(y.size), y.size
    else:
        _checks.same_length(targets=y.size, patients=len(patients))
        codes, n_patients = _checks.patient_codes(patients)
    positive = y == 1
    above, below = _placements(table, positive)
    values = above.mean(axis=1)
    a = _per_patient(above - values[:, None], codes[positive], n_patients)
    b = _per_patient(below - values[:, None], codes[~positive], n_patients)
    m, n = above.shape[1], below.shape[1]
    crossed = a @ b.T / (m * n)
    covariance = (
        _unbiased(np.unique(codes[positive]).size) * (a @ a.T) / m**2
        + _unbiased(np.unique(codes[~positive]).size) * (b @ b.T) / n**2
        + _unbiased(n_patients) * (crossed + crossed.T)
    )
    return CorrelatedAucs(values, covariance)


def _placements(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """V10 (k, m) of the positives and V01 (k, n) of the negatives."""
    m = int(positive.sum())
    n = positive.size - m
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    below = 1.0 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    return above, below


def _per_patient(
    values: NDArray[np.float64], codes: NDArray[np.int64], n_patients: int
) -> NDArray[np.float64]:
    """Sums (k, patients) of values (k, radiographs)."""
    return np.stack([np.bincount(codes, weights=row, minlength=n_patients) for row in values])


def _unbiased(clusters: int) -> float:
    return clusters / (clusters - 1) if clusters > 1 else math.nan
