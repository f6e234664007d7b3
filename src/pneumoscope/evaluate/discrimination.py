"""ROC-AUC of several scores on the same radiographs, resampled together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.evaluate import _checks, _weighted
from pneumoscope.evaluate.bootstrap import Statistic


def roc_aucs(
    scores: Mapping[str, ArrayLike], targets: ArrayLike, sets: Sequence[str] | None = None
) -> Statistic:
    """The statistic for `bootstrap_patients` that gives each score's ROC-AUC.

    Equal scores count half. All scores see the same resamples, so that differences between them
    may be taken resample by resample. Of several sets it is the mean of theirs, so that what only
    tells which set a radiograph is of gains nothing, however ill the sets are.

    Args:
        scores: name to one score per radiograph, shape (n,), higher = more likely positive.
        targets: (n,) of 0 and 1.
        sets: (n,) the set that each radiograph is of; None for one. Sets that hold one class do not
            count; if none holds both, all radiographs are taken as one set.

    Raises:
        EvaluationError: lengths that differ, NaN, or other targets.
    """
    y = _checks.target_vector(targets)
    parts = sets_of_both_classes(y, sets) or [np.arange(y.size)]
    rankings = {}
    for name, values in scores.items():
        score = _checks.finite_vector(values, f"scores '{name}'")
        _checks.same_length(targets=y.size, scores=score.size)
        rankings[name] = [_weighted.Ranking(y[part], score[part]) for part in parts]

    def areas(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        found = {}
        for name, of_sets in rankings.items():
            each = [
                ranking.figures(weights[:, part], specificity=0.90)["roc_auc"]
                for ranking, part in zip(of_sets, parts, strict=True)
            ]
            found[name] = np.mean(each, axis=0)
        return found

    return areas


def sets_of_both_classes(
    targets: ArrayLike, sets: Sequence[str] | NDArray[np.str_] | None
) -> list[NDArray[np.int64]]:
    """Indices of the radiographs of each set that holds both classes, sets in order of name.

    Args:
        targets: (n,) of 0 and 1.
        sets: (n,) the set that each radiograph is of; None for one.

    Raises:
        EvaluationError: lengths that differ.
    """
    y = np.asarray(targets)
    names = np.asarray([""] * y.size if sets is None else sets)
    _checks.same_length(targets=y.size, sets=names.size)
    parts = [np.flatnonzero(names == name) for name in np.unique(names)]
    return [part for part in parts if np.unique(y[part]).size == 2]
