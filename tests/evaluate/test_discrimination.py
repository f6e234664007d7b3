"""ROC-AUC of several scores together."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import bootstrap_patients
from pneumoscope.evaluate.discrimination import roc_aucs

from .cohorts import binormal


def test_areas_are_scikit_learns_ties_included() -> None:
    cohort = binormal(300)
    scores = {"fine": cohort.logits, "coarse": np.round(cohort.logits), "none": np.zeros(300)}
    weights = np.random.default_rng(0).integers(0, 3, (4, 300)).astype(float)
    found = roc_aucs(scores, cohort.targets)(weights)
    for name, score in scores.items():
        expected = [roc_auc_score(cohort.targets, score, sample_weight=w) for w in weights]
        np.testing.assert_allclose(found[name], expected)
    interval = bootstrap_patients(roc_aucs(scores, cohort.targets), cohort.patients)["fine"]
    assert interval.low < interval.value < interval.high


def test_of_several_sets_it_is_the_mean_of_theirs() -> None:
    cohort = binormal(300)
    sets = np.repeat(["a", "b", "ill", "well"], [90, 110, 50, 50])
    targets = np.array(cohort.targets)
    targets[sets == "ill"], targets[sets == "well"] = 1, 0
    which = np.select([sets == "a", sets == "ill"], [2.0, 3.0])
    scores = {"fine": cohort.logits + which, "set": which}
    weights = np.random.default_rng(0).integers(1, 3, (4, 300)).astype(float)
    found = roc_aucs(scores, targets, sets.tolist())(weights)
    for row, w in enumerate(weights):
        each = [
            roc_auc_score(targets[own], cohort.logits[own], sample_weight=w[own])
            for own in (sets == "a", sets == "b")
        ]
        assert found["fine"][row] == pytest.approx(np.mean(each))
    # What tells the set tells nothing more; all together it does.
    np.testing.assert_allclose(found["set"], 0.5)
    assert (roc_aucs(scores, targets)(weights)["set"] > 0.6).all()


def test_sets_of_one_class_each_are_one_set() -> None:
    scores, targets = {"score": [0.1, 0.2, 0.8, 0.9]}, [0, 0, 1, 1]
    found = roc_aucs(scores, targets, ["a", "a", "b", "b"])(np.ones((1, 4)))
    assert found["score"].tolist() == [1.0]


def test_lengths_must_agree() -> None:
    with pytest.raises(EvaluationError):
        roc_aucs({"short": [0.1]}, [0, 1])
    with pytest.raises(EvaluationError):
        roc_aucs({"score": [0.1, 0.2]}, [0, 1], ["a"])
