"""Ensembles: weights, probabilities and thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import ModelScores, ensembles_of


def run(
    backbone: str,
    probabilities: list[float],
    seed: int = 0,
    threshold: float = 0.5,
    val_roc_auc: float = 0.9,
) -> ModelScores:
    n = len(probabilities)
    return ModelScores(
        backbone=backbone,
        seed=seed,
        targets=np.arange(n) % 2,
        probabilities=np.array(probabilities),
        patients=[f"p{row}" for row in range(n)],
        images=[f"{row}.png" for row in range(n)],
        threshold=threshold,
        val_roc_auc=val_roc_auc,
    )


def test_weights_probabilities_and_thresholds() -> None:
    uniform, weighted = ensembles_of(
        [
            run("a", [0.2, 0.8], threshold=0.3, val_roc_auc=0.9),
            run("b", [0.6, 0.4], threshold=0.7, val_roc_auc=0.7),
            run("b", [0.1, 0.9], seed=1, threshold=0.5, val_roc_auc=0.4),
        ]
    )
    assert (uniform.name, weighted.name) == ("ensemble (mean)", "ensemble (val-AUC weighted)")
    assert uniform.weights == pytest.approx([1 / 3] * 3)
    assert uniform.probabilities == pytest.approx([0.3, 0.7])
    assert uniform.threshold == pytest.approx(0.5)
    assert weighted.weights == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert weighted.probabilities == pytest.approx([1 / 3, 2 / 3])
    assert weighted.threshold == pytest.approx(0.3 * 2 / 3 + 0.7 / 3)


def test_runs_no_better_than_chance_weigh_the_same() -> None:
    runs = [run("a", [0.2, 0.8], val_roc_auc=0.5), run("b", [0.6, 0.4], val_roc_auc=0.3)]
    assert ensembles_of(runs)[1].weights.tolist() == [0.5, 0.5]


def test_rounding_neither_breaks_ties_nor_leaves_the_range() -> None:
    ones = [run(name, [1.0] * 7, threshold=1.0) for name in "abcdefghijk"]
    for found in ensembles_of(ones):
        assert found.probabilities.tolist() == [1.0] * 7 and found.threshold == 1.0


def test_one_backbone_is_no_ensemble() -> None:
    assert ensembles_of([run("a", [0.2, 0.8]), run("a", [0.3, 0.7], seed=1)]) == []


def test_runs_of_different_radiographs_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"a \(seed 0\) and b \(seed 0\) cannot be compared"):
        ensembles_of([run("a", [0.2, 0.8]), run("b", [0.2, 0.8, 0.4])])
