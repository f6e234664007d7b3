"""ROC-AUC of several scores on the same radiographs, resampled together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.evaluate import _checks, _weighted
from pneumoscope.evaluate.bootstrap import Statistic


def roc_aucs(scores: Mapping[str, ArrayLike], targets: ArrayLike) -> Statistic:
    """The statistic for `bootstrap_patients` that gives each score's ROC-AUC.

    Equal scores count half. All scores see the same resamples, so that differences between them
    may be taken resample by resample.

    Args:
        scores: name to one score per radiograph, shape (n,), higher = more likely positive.
        targets: (n,) of 0 and 1.

    Raises:
        EvaluationError: lengths that differ, NaN, or other targets.
    """
    y = _checks.target_vector(targets)
    rankings = {}
    for name, values in scores.items():
        score = _checks.finite_vector(values, f"scores '{name}'")
        _checks.same_length(targets=y.size, scores=score.size)
        rankings[name] = _weighted.Ranking(y, score)

    def areas(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {
            name: ranking.figures(weights, specificity=0.90)["roc_auc"]
            for name, ranking in rankings.items()
        }

    return areas
