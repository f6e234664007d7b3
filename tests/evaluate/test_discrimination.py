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


def test_lengths_must_agree() -> None:
    with pytest.raises(EvaluationError):
        roc_aucs({"short": [0.1]}, [0, 1])
