"""Correlated AUCs: a published example, brute force, patients as clusters, and the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Contrast, bootstrap_patients, correlated_aucs
from pneumoscope.evaluate._weighted import Ranking

# The 43 complete records of the ovarian cancer study that DeLong et al. 1988 analyse: albumin,
# total protein, Krebs-Goplerud score, and whether surgery helped. As printed in the SAS/STAT user's
# guide, PROC LOGISTIC, example "Comparing Receiver Operating Characteristic Curves", whose output
# is what the test expects.
ALBUMIN = (
    "3.0 3.2 3.9 2.8 3.2 0.9 2.5 1.6 3.8 3.7 3.2 3.8 4.1 3.6 4.3 3.6 2.3 4.2 4.0 3.5 3.8 3.0 "
    "4.5 3.7 3.1 4.1 4.3 4.3 3.2 2.6 3.3 1.7 3.7 3.3 4.2 3.5 2.9 2.1 2.8 4.0 3.3 3.7 3.6"
)
PROTEIN = (
    "5.8 6.3 6.8 4.8 5.8 4.0 5.7 5.6 5.7 6.7 5.4 6.6 6.6 5.7 7.0 6.7 4.4 7.6 6.6 5.8 6.8 4.7 "
    "7.4 7.4 6.6 8.2 7.0 6.5 5.1 4.7 6.8 4.0 6.1 6.3 7.7 6.2 5.7 4.8 6.2 7.0 5.7 6.9 6.6"
)
KG_SCORE = "10 5 3 6 3 5 8 5 5 6 4 6 5 5 4 4 6 4 6 6 7 8 5 5 6 6 5 4 5 6 6 7 5 7 6 5 9 7 8 7 6 5 5"
HELPED = "0 1 1 0 1 0 0 1 1 1 1 1 1 1 1 0 1 0 0 1 1 0 1 1 1 1 1 1 1 1 0 0 1 1 1 1 0 1 0 1 1 1 1"

Scores = NDArray[np.float64]
Targets = NDArray[np.int64]


def column(text: str) -> Scores:
    return np.array([float(word) for word in text.split()])


def test_published_example() -> None:
    scores = np.stack([column(ALBUMIN), 10.0 - column(KG_SCORE), column(PROTEIN)])
    found = correlated_aucs(column(HELPED), scores)
    assert found.values == pytest.approx([0.7366, 0.7258, 0.6478], abs=5e-5)
    errors = np.sqrt(np.diag(found.covariance))
    assert errors == pytest.approx([0.0927, 0.1028, 0.1000], abs=5e-5)
    albumin = found.contrast([1.0, -1.0, 0.0])
    protein = found.contrast([0.0, -1.0, 1.0])
    assert albumin.z**2 == pytest.approx(0.0127, abs=5e-5)
    assert albumin.p == pytest.approx(0.9102, abs=5e-5)
    assert protein.z**2 == pytest.approx(0.5554, abs=5e-5)
    assert protein.p == pytest.approx(0.4561, abs=5e-5)
    both = np.array([[1.0, -1.0, 0.0], [0.0, -1.0, 1.0]])
    gaps = both @ found.values
    joint = gaps @ np.linalg.solve(both @ found.covariance @ both.T, gaps)
    assert joint == pytest.approx(2.5340, abs=5e-5)


def simulated(
    n_patients: int, per_patient: int, k: int, seed: int, *, mixed: bool, shared: float = 0.5
) -> tuple[Targets, Scores, list[str]]:
    """k scores of equal AUC; `shared` is the part of each score's own noise common to a patient.

    With `mixed` patients have radiographs of both classes.
    """
    rng = np.random.default_rng(seed)
    n = n_patients * per_patient
    targets = np.repeat(rng.integers(0, 2, n_patients), per_patient)
    if mixed:
        targets = rng.integers(0, 2, n)
    targets[:per_patient], targets[-per_patient:] = 0, 1
    patient = np.repeat(np.arange(n_patients), per_patient)
    common = 1.5 * targets + rng.normal(size=n)
    own = math.sqrt(shared) * rng.normal(size=(k, n_patients))[:, patient]
    own = own + math.sqrt(1.0 - shared) * rng.normal(size=(k, n))
    return targets, common + own, [f"p{index}" for index in patient]


def brute_force(targets: Targets, scores: Scores, patients: list[str]) -> tuple[Scores, Scores]:
    """Obuchowski 1997, section 3, by comparing all pairs of a positive and a negative."""
    positives, negatives = np.flatnonzero(targets == 1), np.flatnonzero(targets == 0)
    m, n, k = positives.size, negatives.size, len(scores)
    wins = np.zeros((k, m, n))
    for model in range(k):
        for i, ill in enumerate(positives):
            for j, well in enumerate(negatives):
                gap = scores[model, ill] - scores[model, well]
                wins[model, i, j] = 1.0 if gap > 0 else 0.5 if gap == 0 else 0.0
    areas = wins.mean(axis=(1, 2))
    names = sorted(set(patients))
    ill_sums, well_sums = np.zeros((k, len(names))), np.zeros((k, len(names)))
    for i, ill in enumerate(positives):
        ill_sums[:, names.index(patients[ill])] += wins[:, i].mean(axis=1) - areas
    for j, well in enumerate(negatives):
        well_sums[:, names.index(patients[well])] += wins[:, :, j].mean(axis=1) - areas
    with_ill = len({patients[row] for row in positives})
    with_well = len({patients[row] for row in negatives})
    covariance = np.zeros((k, k))
    for r in range(k):
        for s in range(k):
            s10 = with_ill / (with_ill - 1) / m * (ill_sums[r] * ill_sums[s]).sum()
            s01 = with_well / (with_well - 1) / n * (well_sums[r] * well_sums[s]).sum()
            correct = len(names) / (len(names) - 1)
            s11 = correct * (ill_sums[r] * well_sums[s]).sum()
            s11_back = correct * (ill_sums[s] * well_sums[r]).sum()
            covariance[r, s] = s10 / m + s01 / n + (s11 + s11_back) / (m * n)
    return areas, covariance


@pytest.mark.parametrize("per_patient", [1, 3])
@pytest.mark.parametrize("mixed", [False, True])
def test_against_all_pairs(per_patient: int, mixed: bool) -> None:
    targets, scores, patients = simulated(24, per_patient, 3, seed=1, mixed=mixed)
    scores = np.round(scores, 1)  # ties
    areas, covariance = brute_force(targets, scores, patients)
    found = correlated_aucs(targets, scores, patients)
    assert found.values == pytest.approx(areas, abs=1e-12)
    assert found.covariance == pytest.approx(covariance, abs=1e-12)
    assert found.values == pytest.approx([roc_auc_score(targets, row) for row in scores])


def test_one_radiograph_per_patient_is_delong() -> None:
    targets, scores, patients = simulated(60, 1, 4, seed=2, mixed=False)
    single, grouped = correlated_aucs(targets, scores), correlated_aucs(targets, scores, patients)
    assert grouped.covariance == pytest.approx(single.covariance, rel=1e-12)
    # Written with numpy's sample covariances, as DeLong et al. define it.
    ill, well = scores[:, targets == 1], scores[:, targets == 0]
    wins = (ill[:, :, None] > well[:, None, :]).astype(np.float64)
    expected = np.cov(wins.mean(axis=2)) / ill.shape[1] + np.cov(wins.mean(axis=1)) / well.shape[1]
    assert single.covariance == pytest.approx(expected, abs=1e-14)


def test_copies_of_a_radiograph_bring_no_knowledge() -> None:
    targets, scores, patients = simulated(40, 1, 2, seed=3, mixed=False)
    once = correlated_aucs(targets, scores, patients)
    twice = correlated_aucs(np.tile(targets, 2), np.tile(scores, 2), patients * 2)
    assert twice.values == pytest.approx(once.values)
    assert twice.covariance == pytest.approx(once.covariance)
    careless = correlated_aucs(np.tile(targets, 2), np.tile(scores, 2))
    assert np.all(np.diag(careless.covariance) < 0.55 * np.diag(once.covariance))


def test_contrast_of_means_against_the_bootstrap() -> None:
    """Two seeds of one model against one of another, patients with both classes."""
    targets, scores, patients = simulated(150, 2, 3, seed=4, mixed=True)
    found = correlated_aucs(targets, scores, patients).contrast([0.5, 0.5, -1.0])
    rankings = [Ranking(targets, row) for row in scores]
    differences: list[Scores] = []

    def difference(weights: Scores) -> dict[str, Scores]:
        areas = [ranking.figures(weights, 0.9)["roc_auc"] for ranking in rankings]
        differences.append((areas[0] + areas[1]) / 2.0 - areas[2])
        return {"difference": differences[-1]}

    bootstrap_patients(difference, patients, n_resamples=2000)
    assert found.estimate == pytest.approx(float(differences[0][0]))
    spread = float(np.concatenate(differences[1:]).std())
    assert found.standard_error == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("mixed", [False, True])
def test_p_values_are_uniform_when_there_is_no_difference(mixed: bool) -> None:
    grouped, careless = [], []
    for seed in range(300):
        targets, scores, patients = simulated(80, 4, 2, seed, mixed=mixed, shared=0.9)
        grouped.append(correlated_aucs(targets, scores, patients).contrast([1.0, -1.0]).p)
        careless.append(correlated_aucs(targets, scores).contrast([1.0, -1.0]).p)
    assert kstest(grouped, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(grouped) < 0.05) < 0.085
    if not mixed:
        assert np.mean(np.array(careless) < 0.05) > 0.15


def test_without_clusters_p_values_are_uniform_too() -> None:
    p = []
    for seed in range(300):
        targets, scores, _ = simulated(120, 1, 2, seed, mixed=False)
        p.append(correlated_aucs(targets, scores).contrast([1.0, -1.0]).p)
    assert kstest(p, "uniform").pvalue > 0.01


def test_scores_that_rank_alike() -> None:
    targets, scores, patients = simulated(40, 2, 1, seed=5, mixed=True)
    alike = np.stack([scores[0], np.exp(scores[0]), scores[0]])
    found = correlated_aucs(targets, alike, patients)
    assert found.contrast([1.0, -1.0, 0.0]) == Contrast(0.0, 0.0, 0.0, 1.0)
    mean = found.contrast([1 / 3, 1 / 3, -2 / 3])
    assert (mean.standard_error, mean.p) == (0.0, 1.0)


def test_perfect_and_constant_scores() -> None:
    targets = np.array([0, 0, 0, 1, 1, 1])
    perfect, constant = targets.astype(np.float64), np.full(6, 0.5)
    found = correlated_aucs(targets, [perfect, 2.0 * perfect, constant])
    assert found.values.tolist() == [1.0, 1.0, 0.5]
    assert found.contrast([1.0, -1.0, 0.0]).p == 1.0
    apart = found.contrast([1.0, 0.0, -1.0])
    assert apart.estimate == 0.5 and math.isnan(apart.p)


def test_the_smallest_real_difference_is_not_rounding() -> None:
    """One pair of 5,000 x 5,000 in another order: variance 1e-15, far below the areas' own."""
    rng = np.random.default_rng(6)
    targets = np.repeat([0, 1], 5000)
    score = np.argsort(np.argsort(rng.normal(size=10_000) + targets)).astype(np.float64)
    ranks = np.argsort(score)
    swap = next(i for i in range(5000, 10_000) if targets[ranks[i]] != targets[ranks[i + 1]])
    other = score.copy()
    other[ranks[[swap, swap + 1]]] = score[ranks[[swap + 1, swap]]]
    found = correlated_aucs(targets, [score, other]).contrast([1.0, -1.0])
    assert found.standard_error > 0.0
    assert found.p == pytest.approx(0.4795, abs=2e-3)  # z = 1 / sqrt(2) for a single swap


def test_one_patient_of_a_class_has_no_variance() -> None:
    scores = [[0.1, 0.7, 0.4, 0.9], [0.6, 0.1, 0.3, 0.2]]
    found = correlated_aucs([0, 0, 1, 1], scores, ["a", "b", "c", "c"])
    assert np.isfinite(found.values).all() and np.isnan(found.covariance).all()
    assert math.isnan(found.contrast([1.0, -1.0]).p)


def test_errors() -> None:
    with pytest.raises(EvaluationError, match="needs both classes"):
        correlated_aucs([1, 1], [[0.1, 0.2]])
    with pytest.raises(EvaluationError, match="lengths differ: 2 targets, 3 scores"):
        correlated_aucs([0, 1], [[0.1, 0.2, 0.3]])
    with pytest.raises(EvaluationError, match="lengths differ: 2 targets, 1 patients"):
        correlated_aucs([0, 1], [[0.1, 0.2]], ["a"])
    with pytest.raises(EvaluationError, match="NaN"):
        correlated_aucs([0, 1], [[0.1, math.nan]])
    with pytest.raises(EvaluationError, match="scores have shape"):
        correlated_aucs([0, 1], np.zeros((1, 1, 2)))
    with pytest.raises(EvaluationError, match="2 areas, 1 coefficients"):
        correlated_aucs([0, 1], [[0.1, 0.2], [0.2, 0.1]]).contrast([1.0])
