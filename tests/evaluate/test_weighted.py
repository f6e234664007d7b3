"""Weighted figures against scikit-learn, including ties and weights of zero."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from pneumoscope.evaluate import _weighted

N = 240
Case = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture(params=[(0, 12), (1, 1), (2, 2)], ids=["smooth", "coarse", "ties"])
def case(request: pytest.FixtureRequest) -> Case:
    """Weights (5, N): ones, multiplicities with zeros, and fractions; probabilities; targets."""
    seed, decimals = request.param
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, N)
    scores: NDArray[np.float64] = rng.normal(0.35 + 0.3 * targets, 0.25)
    probabilities = np.asarray(np.round(np.clip(scores, 0.0, 1.0), decimals), dtype=np.float64)
    weights = np.vstack([np.ones(N), rng.poisson(1.0, (2, N)), rng.random((2, N))])
    return weights, probabilities, targets


def test_decision_figures(case: Case) -> None:
    weights, probabilities, targets = case
    decisions = (probabilities >= 0.4).astype(np.int64)
    cells = _weighted.confusion(weights, targets, decisions)
    figures = _weighted.decision_figures(cells, None)
    for row, w in enumerate(weights):
        given = {"y_true": targets, "y_pred": decisions, "sample_weight": w}
        expected = {
            "accuracy": metrics.accuracy_score(**given),
            "balanced_accuracy": metrics.balanced_accuracy_score(**given),
            "sensitivity": metrics.recall_score(**given),
            "specificity": metrics.recall_score(**given, pos_label=0),
            "ppv": metrics.precision_score(**given),
            "npv": metrics.precision_score(**given, pos_label=0),
            "f1": metrics.f1_score(**given),
            "mcc": metrics.matthews_corrcoef(**given),
        }
        assert {name: figures[name][row] for name in figures} == pytest.approx(expected)
        table = metrics.confusion_matrix(**given).ravel()
        assert [cells[name][row] for name in ("tn", "fp", "fn", "tp")] == pytest.approx(table)


def test_ranking_figures(case: Case) -> None:
    weights, probabilities, targets = case
    figures = _weighted.Ranking(targets, probabilities).figures(weights, 0.90)
    for row, w in enumerate(weights):
        given = {"y_true": targets, "y_score": probabilities, "sample_weight": w}
        fpr, tpr, _ = metrics.roc_curve(**given, drop_intermediate=False)
        assert figures["roc_auc"][row] == pytest.approx(metrics.roc_auc_score(**given))
        assert figures["pr_auc"][row] == pytest.approx(metrics.average_precision_score(**given))
        assert figures["sensitivity"][row] == pytest.approx(tpr[fpr <= 0.1 + 1e-9].max())


def test_brier_and_calibration_error(case: Case) -> None:
    weights, probabilities, targets = case
    brier = _weighted.brier(weights, probabilities, targets)
    ece = _weighted.calibration_error(weights, probabilities, targets, 10)
    for row, w in enumerate(weights):
        assert brier[row] == pytest.approx(
            metrics.brier_score_loss(targets, probabilities, sample_weight=w)
        )
        gap = 0.0
        for index in range(10):
            last = index == 9
            inside = (probabilities >= index / 10) & ((probabilities < (index + 1) / 10) | last)
            if w[inside].sum() > 0:
                observed = np.average(targets[inside], weights=w[inside])
                predicted = np.average(probabilities[inside], weights=w[inside])
                gap += w[inside].sum() / w.sum() * abs(observed - predicted)
        assert ece[row] == pytest.approx(gap)


def test_weights_are_multiplicities(case: Case) -> None:
    """A radiograph of weight 3 counts like three copies of it."""
    _, probabilities, targets = case
    times = np.random.default_rng(5).poisson(1.0, N)
    copies = np.repeat(np.arange(N), times)
    weighted = _weighted.Ranking(targets, probabilities).figures(times[None].astype(float), 0.9)
    copied = _weighted.Ranking(targets[copies], probabilities[copies]).figures(
        np.ones((1, copies.size)), 0.9
    )
    assert {name: value[0] for name, value in weighted.items()} == pytest.approx(
        {name: value[0] for name, value in copied.items()}
    )


def test_later_keys_only_break_ties() -> None:
    targets = np.array([0, 1, 0, 1])
    first, second = np.array([0.2, 1.0, 1.0, 1.0]), np.array([9.0, 8.0, 7.0, 10.0])
    alone = _weighted.Ranking(targets, first).figures(np.ones((1, 4)), 0.9)
    both = _weighted.Ranking(targets, first, second).figures(np.ones((1, 4)), 0.9)
    assert alone["roc_auc"][0] == pytest.approx(0.75)
    assert both["roc_auc"][0] == pytest.approx(1.0)


def test_sensitivity_at_other_specificities() -> None:
    targets = np.array([0] * 10 + [1] * 4)
    scores = np.array([0.1] * 9 + [0.7] + [0.05, 0.6, 0.8, 0.9])
    ranking = _weighted.Ranking(targets, scores)
    for specificity, sensitivity in ((0.90, 0.75), (0.91, 0.5), (0.0, 1.0)):
        figures = ranking.figures(np.ones((1, 14)), specificity)
        assert figures["sensitivity"][0] == sensitivity


def test_specificity_of_exactly_90_percent_is_reached() -> None:
    targets = np.array([0] * 10 + [1] * 2)
    scores = np.array([0.1] * 9 + [0.5] + [0.4, 0.9])
    figures = _weighted.Ranking(targets, scores).figures(np.ones((1, 12)), 0.90)
    assert figures["sensitivity"][0] == 1.0


def test_undefined_is_nan_not_zero() -> None:
    none_positive = _weighted.confusion(np.ones((1, 3)), np.array([0, 0, 0]), np.array([0, 0, 1]))
    figures = _weighted.decision_figures(none_positive, None)
    for name in ("sensitivity", "balanced_accuracy", "mcc"):
        assert np.isnan(figures[name][0]), name
    assert figures["specificity"][0] == pytest.approx(2 / 3)
    never_called = _weighted.confusion(np.ones((1, 3)), np.array([0, 1, 1]), np.array([0, 0, 0]))
    figures = _weighted.decision_figures(never_called, None)
    assert np.isnan(figures["ppv"][0])
    assert figures["mcc"][0] == figures["f1"][0] == 0.0


def test_predictive_values_at_a_stated_prevalence() -> None:
    """Sensitivity .8, specificity .9, prevalence .01: PPV = .008 / (.008 + .099)."""
    cells = {
        name: np.array([count])
        for name, count in zip(("tn", "fp", "fn", "tp"), (90, 10, 20, 80), strict=True)
    }
    figures = _weighted.decision_figures({k: v.astype(float) for k, v in cells.items()}, 0.01)
    assert figures["ppv"][0] == pytest.approx(0.008 / (0.008 + 0.099))
    assert figures["npv"][0] == pytest.approx(0.891 / (0.891 + 0.002))
    sample = _weighted.decision_figures({k: v.astype(float) for k, v in cells.items()}, 0.5)
    assert sample["ppv"][0] == pytest.approx(80 / 90)
