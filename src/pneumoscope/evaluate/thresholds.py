"""Thresholds: fitted on val, stored in the bundle, never tuned on test.

A radiograph is called positive when its probability is *at least* the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.evaluate import _checks, _weighted
from pneumoscope.evaluate.discrimination import sets_of_both_classes

NEUTRAL_THRESHOLD = 0.5
"""Taken when no threshold does better than calling all radiographs the same."""
# Shares of radiographs that differ by less are the same, but for rounding.
_EQUAL = 1e-12


def choose_threshold(
    probabilities: ArrayLike, targets: ArrayLike, sets: Sequence[str] | None = None
) -> float:
    """The threshold with the largest Youden's J = sensitivity + specificity - 1 (Youden 1950).

    This is the one with the largest balanced accuracy. Of several sets it is the one with equal
    errors: there the mean of the sets' sensitivities is that of their specificities, or as near to
    it as can be. It depends neither on how many radiographs a set has nor on how many of them are
    ill. The mean of their J would depend on neither, too, but its peak is flat and a few
    radiographs of the smallest set decide where it is. Sets that hold one class do not count; if
    none holds both, all radiographs are taken as one set.

    All thresholds between two adjacent scores decide alike, so the middle between them is taken: a
    probability that differs in its last digits on another machine is decided the same. If several
    intervals are equally good, adjacent ones are joined and the widest is taken (then the lowest,
    which misses fewer). If none is better than chance, `NEUTRAL_THRESHOLD`.

    Args:
        probabilities: (n,) calibrated probabilities of val.
        targets: (n,) of 0 and 1.
        sets: (n,) the set that each radiograph is of; None for one.

    Returns:
        A threshold in (0, 1].

    Raises:
        EvaluationError: empty, lengths that differ, NaN, out of range, or a single class.
    """
    scores, tp, fp = cuts(probabilities, targets, "choosing a threshold")
    known = _checks.predicted(probabilities, targets)
    rates = None if sets is None else mean_rates(scores, *known, np.asarray(sets))
    if rates is None:
        # Whole numbers, so that equally good cuts compare equal: J x positives x negatives.
        merit = tp * fp[-1] - fp * tp[-1]
        best = merit == merit.max()
    else:
        called_ill, called_well = rates
        gap = np.abs(called_ill - (1 - called_well))
        best, merit = gap <= gap.min() + _EQUAL, called_ill - called_well
    if merit[best].max() <= 0:
        return NEUTRAL_THRESHOLD
    return middle_of_best(scores, best)


def mean_rates(
    scores: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    targets: NDArray[np.int64],
    sets: NDArray[np.str_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Share of the ill and of the healthy that each cut calls positive, mean over sets.

    Args:
        scores: (steps,) as `cuts` gives them.
        probabilities: (n,) of the radiographs.
        targets: (n,) of 0 and 1.
        sets: (n,) the set that each radiograph is of; those of one class are left out.

    Returns:
        Two of (steps + 1,) in 0 to 1, cut i calling the i highest scores positive; None if no set
        holds both classes.
    """
    parts = sets_of_both_classes(targets, sets)
    total = np.zeros((2, scores.size + 1))
    # Cut i calls the i highest scores positive.
    edges = np.concatenate([[np.inf], scores])
    for rows in parts:
        own = probabilities[rows]
        ill, well = (np.sort(own[targets[rows] == label]) for label in (1, 0))
        total += [1 - np.searchsorted(part, edges) / part.size for part in (ill, well)]
    return (total[0] / len(parts), total[1] / len(parts)) if parts else None


def cuts(
    probabilities: ArrayLike, targets: ArrayLike, purpose: str
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct scores (steps,), falling, and positives called (tp, fp), (steps + 1,), at each cut.

    Cut i calls the i highest distinct scores positive: cut 0 calls none, the last calls all.
    """
    p, y = _checks.predicted(probabilities, targets, purpose)
    ranking = _weighted.Ranking(y, p)
    tp, fp = ranking.cumulative(np.ones((1, y.size)))
    scores = p[ranking.order][ranking.ends]
    return scores, np.rint(tp[0]).astype(np.int64), np.rint(fp[0]).astype(np.int64)


def middle_of_best(scores: NDArray[np.float64], best: NDArray[np.bool_]) -> float:
    """The middle of the widest run of best cuts; `scores` fall, `best` has one element more."""
    # Cut i covers the thresholds (edges[i + 1], edges[i]]; the outermost reach to 1 and to 0.
    edges = np.concatenate([[1.0], scores, [0.0]])
    steps = np.diff(np.concatenate([[False], best, [False]]).astype(np.int8))
    upper = edges[np.flatnonzero(steps == 1)]
    lower = edges[np.flatnonzero(steps == -1)]
    widest = upper.size - 1 - int(np.argmax((upper - lower)[::-1]))
    middle = float((upper[widest] + lower[widest]) / 2.0)
    # Neighbouring floats have no number between them; the upper one still decides as the cut does.
    return middle if middle > lower[widest] else float(upper[widest])
