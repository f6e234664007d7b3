"""Ensembles: several trained runs that decide together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluate.model_scores import ModelScores, check_comparable

UNIFORM = "ensemble (mean)"
WEIGHTED = "ensemble (val-AUC weighted)"


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """A weighted mean of runs.

    Attributes:
        name: `UNIFORM` or `WEIGHTED`.
        weights: (runs,) >= 0, summing to 1.
        probabilities: (n,) weighted mean of the runs' calibrated probabilities. It is not
            calibrated again, so that it may be less sure than it could be.
        threshold: weighted mean of the runs' thresholds, with the same weights. A threshold of its
            own would have to be fitted on val, where the runs' probabilities are not given here;
            fitting it on test would flatter the ensemble.
    """

    name: str
    weights: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    threshold: float


def ensembles_of(runs: Sequence[ModelScores]) -> list[Ensemble]:
    """The uniform mean of all runs, and the mean weighted by ROC-AUC on val less .5.

    Every run counts, all seeds of a backbone included: a backbone with more seeds counts more. A
    run that is no better than chance on val has weight 0; if all are, the weights are uniform.

    Args:
        runs: of the same radiographs in the same order.

    Returns:
        Both ensembles, or none where there are fewer than two backbones.

    Raises:
        EvaluationError: as `check_comparable`.
    """
    check_comparable(runs)
    if len({run.backbone for run in runs}) < 2:
        return []
    uniform = np.full(len(runs), 1.0 / len(runs))
    skill = np.maximum([run.val_roc_auc - 0.5 for run in runs], 0.0)
    weighted = skill / skill.sum() if skill.sum() > 0.0 else uniform
    probabilities = np.stack([run.probabilities for run in runs])
    thresholds = np.array([run.threshold for run in runs])
    return [
        Ensemble(
            name,
            weights,
            # Without its last digits, which differ between machines and would break ties.
            np.round(weights @ probabilities, 12),
            round(float(weights @ thresholds), 12),
        )
        for name, weights in ((UNIFORM, uniform), (WEIGHTED, weighted))
    ]
