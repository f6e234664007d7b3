"""Classification figures for many weightings of the same radiographs at once.

Every function takes weights of shape (k, n), one row per weighting (for instance a bootstrap
resample), and returns figures of shape (k,), NaN where a figure is undefined.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Figures = dict[str, Array]


def ratio(numerator: Array, denominator: Array) -> Array:
    """Elementwise quotient; NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0.0, numerator / denominator, np.nan)


def confusion(weights: Array, targets: NDArray[np.int64], decisions: NDArray[np.int64]) -> Figures:
    """Weighted cells tn, fp, fn, tp, each (k,), from targets and decisions (n,) of 0 and 1."""
    cell = 2 * targets + decisions
    cells = weights @ np.eye(4)[cell]
    return {name: cells[:, index] for index, name in enumerate(("tn", "fp", "fn", "tp"))}


def decision_figures(cells: Figures, prevalence: float | None) -> Figures:
    """Figures of a decision at one threshold, from the cells of `confusion`.

    A quotient with an empty denominator is undefined. MCC is 0 when both classes occur but all
    decisions are the same, the limit that scikit-learn returns too (Chicco & Jurman 2020).

    Args:
        cells: tn, fp, fn, tp, each (k,).
        prevalence: if given, PPV and NPV are those that the sensitivity and specificity found
            here imply at this prevalence (Bayes); else those of the sample.
    """
    tn, fp, fn, tp = (cells[name] for name in ("tn", "fp", "fn", "tp"))
    sensitivity = ratio(tp, tp + fn)
    specificity = ratio(tn, tn + fp)
    if prevalence is None:
        ppv, npv = ratio(tp, tp + fp), ratio(tn, tn + fn)
    else:
        ill, well = prevalence, 1.0 - prevalence
        ppv = ratio(sensitivity * ill, sensitivity * ill + (1.0 - specificity) * well)
        npv = ratio(specificity * well, specificity * well + (1.0 - sensitivity) * ill)
    spread = (tp + fn) * (tn + fp) * (tp + fp) * (tn + fn)
    one_class = ((tp + fn) == 0.0) | ((tn + fp) == 0.0)
    mcc = np.where(spread > 0.0, ratio(tp * tn - fp * fn, np.sqrt(spread)), 0.0)
    return {
        "accuracy": ratio(tp + tn, tn + fp + fn + tp),
        "balanced_accuracy": (sensitivity + specificity) / 2.0,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ppv,
        "npv": npv,
        "f1": ratio(2.0 * tp, 2.0 * tp + fp + fn),
        "mcc": np.where(one_class, np.nan, mcc),
    }


class Ranking:
    """Radiographs sorted once by score, for figures that look at all thresholds.

    Radiographs with equal keys are one step: no threshold can tell them apart.

    Args:
        targets: (n,) of 0 and 1.
        keys: scores (n,), the first decides the order, later ones only among its ties.
    """

    def __init__(self, targets: NDArray[np.int64], *keys: Array) -> None:
        self.order = np.lexsort(keys[::-1])[::-1]
        self.positive = targets[self.order].astype(np.float64)
        ordered = [key[self.order] for key in keys]
        changes = np.any([key[1:] != key[:-1] for key in ordered], axis=0)
        self.ends = np.flatnonzero(np.append(changes, True))

    def cumulative(self, weights: Array) -> tuple[Array, Array]:
        """True and false positives (k, steps + 1) as the threshold falls; the first step is 0."""
        ordered = weights[:, self.order]
        below = np.cumsum(ordered, axis=1)[:, self.ends]
        tp = np.cumsum(ordered * self.positive, axis=1)[:, self.ends]
        nothing = np.zeros((weights.shape[0], 1))
        return np.hstack([nothing, tp]), np.hstack([nothing, below - tp])

    def figures(self, weights: Array, specificity: float) -> Figures:
        """ROC-AUC, PR-AUC and the best sensitivity at no less than a specificity.

        ROC-AUC is the trapezoidal area (Mann-Whitney, ties count half). PR-AUC is the average
        precision, the step-wise sum over thresholds of (recall gained) x precision, which does not
        interpolate (Davis & Goadrich 2006). All three are NaN if a class has no weight.
        """
        tp, fp = self.cumulative(weights)
        positives, negatives = tp[:, -1], fp[:, -1]
        gained = np.diff(tp, axis=1)
        area = np.sum(np.diff(fp, axis=1) * (tp[:, 1:] + tp[:, :-1]), axis=1) / 2.0
        flagged = tp[:, 1:] + fp[:, 1:]
        precision = np.divide(tp[:, 1:], flagged, out=np.zeros_like(flagged), where=flagged > 0.0)
        # The tolerance keeps 10 false positives in 100 at a specificity of .90 despite rounding.
        allowed = (1.0 - specificity + 1e-9) * negatives
        reached = np.max(np.where(fp <= allowed[:, None], tp, 0.0), axis=1)
        either = np.where(negatives > 0.0, positives, 0.0)
        return {
            "roc_auc": ratio(area, positives * negatives),
            "pr_auc": ratio(np.sum(gained * precision, axis=1), either),
            "sensitivity": ratio(reached, either),
        }


def brier(weights: Array, probabilities: Array, targets: NDArray[np.int64]) -> Array:
    """Mean squared difference of probability and outcome (Brier 1950), in [0, 1]."""
    return ratio(weights @ np.square(probabilities - targets), weights.sum(axis=1))


def bin_index(probabilities: Array, bins: int) -> NDArray[np.int64]:
    """Equal-width bin of each probability: [0, 1/bins), ..., [1 - 1/bins, 1]; shape (n,)."""
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)


def calibration_error(
    weights: Array, probabilities: Array, targets: NDArray[np.int64], bins: int
) -> Array:
    """Expected calibration error over equal-width bins, see `expected_calibration_error`."""
    members = np.eye(bins)[bin_index(probabilities, bins)]
    gaps = weights @ (members * (targets - probabilities)[:, None])
    return ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))
