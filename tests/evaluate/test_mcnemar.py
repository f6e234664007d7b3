"""McNemar's test: published examples, patients as coins, several seeds, and the null."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest, chi2

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import mcnemar_test


def decisions(only_first: int, only_second: int, both: int = 5) -> tuple[list[int], list[int]]:
    first = [1] * only_first + [0] * only_second + [1] * both
    second = [0] * only_first + [1] * only_second + [1] * both
    return first, second


def test_published_example() -> None:
    """Airway hyper-responsiveness before and after transplantation (Bentur et al. 2009).

    The worked example of Fagerland et al. 2013: 1 and 7 discordant pairs, exact conditional p
    .070, mid-p .039.
    """
    found = mcnemar_test(*decisions(1, 7))
    assert found.discordant == (1, 7)
    assert found.exact_p == pytest.approx(18 / 256)
    assert found.mid_p == pytest.approx(10 / 256)


@pytest.mark.parametrize(("b", "c"), [(3, 0), (4, 4), (5, 12), (40, 22), (1, 0), (700, 820)])
def test_one_radiograph_per_patient_is_binomial(b: int, c: int) -> None:
    found = mcnemar_test(*decisions(b, c))
    assert found.exact_p == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-9)
    patients = [f"p{row}" for row in range(b + c + 5)]
    assert mcnemar_test(*decisions(b, c), patients) == found
    # A mid-p counts the probability of the outcome found by half; for b = c, that of one outcome.
    at = binomtest(b, b + c, alternative="less").pvalue
    at -= binomtest(b - 1, b + c, alternative="less").pvalue if b else 0.0
    assert found.mid_p == pytest.approx(found.exact_p - at * (0.5 if b == c else 1.0), rel=1e-6)


def test_no_disagreement() -> None:
    same = mcnemar_test([1, 0, 1], [1, 0, 1], ["a", "a", "b"])
    assert (same.discordant, same.exact_p, same.mid_p) == ((0, 0), 1.0, 1.0)
    # Two radiographs of one patient that cancel: disagreement, but no patient favours a model.
    cancels = mcnemar_test([1, 0], [0, 1], ["a", "a"])
    assert (cancels.discordant, cancels.exact_p, cancels.mid_p) == ((1, 1), 1.0, 1.0)


def test_against_all_sign_patterns() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, (3, 30)), rng.integers(0, 2, (2, 30))
    patient = rng.integers(0, 11, 30)
    found = mcnemar_test(first, second, [f"p{index}" for index in patient])
    gaps = first.mean(axis=0) - second.mean(axis=0)
    steps = [gaps[patient == index].sum() for index in np.unique(patient)]
    sums = np.abs([np.dot(signs, steps) for signs in itertools.product([-1, 1], repeat=len(steps))])
    seen = abs(sum(steps))
    beyond, equal = np.mean(sums > seen + 1e-9), np.mean(np.abs(sums - seen) < 1e-9)
    assert found.exact_p == pytest.approx(beyond + equal)
    assert found.mid_p == pytest.approx(beyond + equal / 2.0)
    assert found.discordant == (int((gaps > 1e-9).sum()), int((gaps < -1e-9).sum()))


def test_copies_bring_no_knowledge() -> None:
    first, second = decisions(9, 2)
    patients = [f"p{row}" for row in range(len(first))]
    once = mcnemar_test(first, second, patients)
    thrice = mcnemar_test(first * 3, second * 3, patients * 3)
    assert (thrice.exact_p, thrice.mid_p) == (once.exact_p, once.mid_p)
    assert mcnemar_test(first * 3, second * 3).mid_p < 0.01 < once.mid_p
    # Likewise copies of a seed.
    again = mcnemar_test([first] * 3, [second] * 2, patients)
    assert again == once


def cohort(
    seed: int, n_patients: int = 60, per_patient: int = 4
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[str]]:
    """Two models, each right in 4 of 5 radiographs and alike within a patient."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), per_patient)
    noise = 0.9 * rng.normal(size=(2, n_patients))[:, patient]
    noise = noise + np.sqrt(1.0 - 0.81) * rng.normal(size=(2, patient.size))
    right = noise > -0.8416
    return right[0], right[1], [f"p{index}" for index in patient]


def test_many_patients_approach_the_clustered_chi_square() -> None:
    first, second, patients = cohort(1, n_patients=600)
    found = mcnemar_test(first, second, patients)
    steps = (first.astype(int) - second.astype(int)).reshape(600, 4).sum(axis=1)
    yang = steps.sum() ** 2 / np.square(steps).sum()
    assert found.mid_p == pytest.approx(chi2.sf(yang, 1), abs=0.01)


def test_error_rate_when_there_is_no_difference() -> None:
    grouped, careless = [], []
    for seed in range(300):
        first, second, patients = cohort(seed)
        grouped.append(mcnemar_test(first, second, patients).mid_p)
        careless.append(mcnemar_test(first, second).mid_p)
    for level in (0.05, 0.2, 0.5):
        tolerance = 3.0 * np.sqrt(level * (1.0 - level) / 300)
        assert np.mean(np.array(grouped) < level) == pytest.approx(level, abs=tolerance)
    assert np.mean(np.array(careless) < 0.05) > 0.15


def test_tiny_p_values_of_large_sets_are_exact() -> None:
    first, second = decisions(2000, 1000, both=20_000)
    found = mcnemar_test([first] * 3, [second] * 2, [f"p{row}" for row in range(23_000)])
    assert found.exact_p == pytest.approx(binomtest(1000, 3000).pvalue, rel=1e-6)
    assert 0.0 < found.exact_p < 1e-70


def test_errors() -> None:
    with pytest.raises(EvaluationError, match="lengths differ: 2 first, 3 second"):
        mcnemar_test([0, 1], [0, 1, 1])
    with pytest.raises(EvaluationError, match="neither 0 nor 1"):
        mcnemar_test([0.3, 1], [0, 1])
    with pytest.raises(EvaluationError, match="decisions have shape"):
        mcnemar_test([], [])
    with pytest.raises(EvaluationError, match="2 radiographs, 1 patients"):
        mcnemar_test([0, 1], [0, 1], ["a"])
