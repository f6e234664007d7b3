"""The report: every figure, its interval, and its JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import classification_report, expected_calibration_error
from pneumoscope.evaluate.calibration import calibration_slope_intercept

from .cohorts import binormal

NAMES = [
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "mcc",
    "roc_auc",
    "pr_auc",
    "sensitivity_at_specificity_90",
    "brier",
    "ece",
    "calibration_slope",
    "calibration_intercept",
]


def test_report_against_scikit_learn() -> None:
    cohort = binormal(150, per_patient=2, seed=1)
    p, y = cohort.probabilities, cohort.targets
    report = classification_report(cohort, 0.4, n_resamples=200)
    assert list(report.figures) == NAMES
    values = {name: figure.value for name, figure in report.figures.items()}
    called = p >= 0.4
    assert values["accuracy"] == pytest.approx(metrics.accuracy_score(y, called))
    assert values["f1"] == pytest.approx(metrics.f1_score(y, called))
    assert values["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, p))
    assert values["pr_auc"] == pytest.approx(metrics.average_precision_score(y, p))
    assert values["brier"] == pytest.approx(metrics.brier_score_loss(y, p))
    assert values["ece"] == pytest.approx(expected_calibration_error(p, y))
    assert (values["calibration_slope"], values["calibration_intercept"]) == pytest.approx(
        calibration_slope_intercept(p, y)
    )
    tn, fp, fn, tp = metrics.confusion_matrix(y, called).ravel().tolist()
    assert report.confusion == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
    assert (report.n, report.n_patients, report.threshold) == (300, 150, 0.4)
    assert report.prevalence == pytest.approx(y.mean())
    for name, figure in report.figures.items():
        assert figure.low <= figure.value <= figure.high, name
        assert figure.low < figure.high, name


def test_a_probability_equal_to_the_threshold_is_positive() -> None:
    cohort = dataclasses.replace(binormal(4), probabilities=np.array([0.3, 0.5, 0.5, 0.9]))
    report = classification_report(cohort, 0.5, n_resamples=0)
    assert report.confusion["tp"] + report.confusion["fp"] == 3


def test_report_as_json() -> None:
    told = classification_report(binormal(80), 0.5, n_resamples=50).to_dict()
    assert set(told) == {
        "n",
        "n_patients",
        "prevalence",
        "classification",
        "confusion",
        "threshold",
    }
    assert list(told["classification"]) == NAMES
    assert set(told["classification"]["roc_auc"]) == {"value", "low", "high"}
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.parametrize(("label", "stands"), [(0, "specificity"), (1, "sensitivity")])
def test_one_label_leaves_one_figure_and_the_reason(label: int, stands: str) -> None:
    cohort = binormal(60, seed=2)
    alone = dataclasses.replace(cohort, targets=np.full(60, label, dtype=np.int64))
    told = classification_report(alone, 0.5, n_resamples=100).to_dict()["classification"]
    called = (cohort.probabilities >= 0.5).mean()
    assert told[stands]["value"] == pytest.approx(called if label else 1 - called)
    assert told[stands]["low"] is not None and "reason" not in told[stands]
    only = "positive" if label else "negative"
    nothing = {
        "value": None,
        "low": None,
        "high": None,
        "reason": f"all 60 radiographs are {only}: this figure needs both labels",
    }
    assert all(told[name] == nothing for name in NAMES if name != stands)


def test_perfect_predictions_do_not_blow_up() -> None:
    cohort = binormal(40)
    perfect = dataclasses.replace(
        cohort,
        logits=np.where(cohort.targets == 1, 100.0, -100.0),
        probabilities=cohort.targets.astype(np.float64),
    )
    report = classification_report(perfect, 0.5, n_resamples=100)
    told = report.to_dict()["classification"]
    assert told["roc_auc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert told["calibration_slope"]["value"] is None
    assert report.figures["calibration_slope"].skipped == 100
    assert abs(told["calibration_intercept"]["value"]) < 1.0


def test_saturated_probabilities_are_ranked_by_logit() -> None:
    cohort = binormal(200, seed=3)
    saturated = dataclasses.replace(
        cohort, probabilities=np.where(cohort.logits > 0, 1.0, cohort.probabilities)
    )
    report = classification_report(saturated, 0.5, n_resamples=0)
    assert report.figures["roc_auc"].value == pytest.approx(
        metrics.roc_auc_score(cohort.targets, cohort.logits)
    )


def test_stated_prevalence_moves_predictive_values_alone() -> None:
    cohort = binormal(300, seed=6)
    sample = classification_report(cohort, 0.5, n_resamples=50)
    rare = classification_report(cohort, 0.5, n_resamples=50, prevalence=0.02)
    same = classification_report(cohort, 0.5, n_resamples=50, prevalence=sample.prevalence)
    assert rare.prevalence == 0.02
    assert rare.figures["ppv"].value < 0.3 < sample.figures["ppv"].value
    assert same.figures["ppv"].value == pytest.approx(sample.figures["ppv"].value)
    assert same.figures["npv"].value == pytest.approx(sample.figures["npv"].value)
    moved = {name for name in NAMES if rare.figures[name] != sample.figures[name]}
    assert moved == {"ppv", "npv"}


def test_same_seed_same_report() -> None:
    cohort = binormal(100, per_patient=2, seed=8)
    first = classification_report(cohort, 0.5, n_resamples=100, seed=1)
    assert first == classification_report(cohort, 0.5, n_resamples=100, seed=1)
    assert first != classification_report(cohort, 0.5, n_resamples=100, seed=2)


@pytest.mark.slow
def test_coverage_of_the_intervals() -> None:
    """Independent patients, true figures known: about 95 % of intervals hold them."""
    truth = {
        "sensitivity": float(norm.sf(1.0 - 2.0)),
        "specificity": float(norm.cdf(1.0)),
        "roc_auc": float(norm.cdf(math.sqrt(2.0))),
        "sensitivity_at_specificity_90": float(norm.sf(norm.ppf(0.9) - 2.0)),
        "calibration_slope": 1.0,
        "calibration_intercept": 0.0,
    }
    held = dict.fromkeys(truth, 0)
    repeats = 120
    for seed in range(repeats):
        figures = classification_report(
            binormal(250, seed=1000 + seed), 0.5, n_resamples=200, seed=seed
        ).figures
        for name, true in truth.items():
            held[name] += figures[name].low <= true <= figures[name].high
        assert figures["ece"].low <= figures["ece"].value <= figures["ece"].high
    assert all(0.87 <= count / repeats <= 0.995 for count in held.values()), held


def test_a_thousand_resamples_take_seconds() -> None:
    cohort = binormal(2500, per_patient=2, seed=9)
    start = time.process_time()
    classification_report(cohort, 0.5, n_resamples=1000)
    assert time.process_time() - start < 15.0


@pytest.mark.parametrize(
    ("threshold", "prevalence", "said"),
    [(1.5, None, "threshold"), (math.nan, None, "threshold"), (0.5, 5.0, "prevalence")],
)
def test_faults_are_named(threshold: float, prevalence: float | None, said: str) -> None:
    with pytest.raises(EvaluationError, match=said) as caught:
        classification_report(binormal(10), threshold, prevalence=prevalence)
    assert caught.value.remedy
