"""Holm's correction against published adjusted p-values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import holm_correction


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        # R: p.adjust(p, "holm").
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.2, 0.9, 0.6], [0.6, 1.0, 1.0]),
        ([0.04], [0.04]),
        ([], []),
    ],
)
def test_published_values(given: list[float], adjusted: list[float]) -> None:
    assert holm_correction(given).tolist() == pytest.approx(adjusted)


def test_a_test_that_could_not_be_made_does_not_count() -> None:
    """As R's p.adjust treats NA."""
    found = holm_correction([0.01, math.nan, 0.04, 0.03, 0.005])
    assert found[[0, 2, 3, 4]].tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert math.isnan(found[1])


def test_family_wise_error() -> None:
    """Under five true nulls any rejection is false: at most 5 %, and between p and Bonferroni."""
    p = np.random.default_rng(0).uniform(size=(2000, 5))
    adjusted = np.array([holm_correction(row) for row in p])
    assert np.all(adjusted >= p) and np.all(adjusted <= np.minimum(5.0 * p, 1.0) + 1e-15)
    assert np.mean(adjusted.min(axis=1) < 0.05) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("wrong", [[1.2], [-0.1, 0.5], [[0.1]]])
def test_errors(wrong: list[float]) -> None:
    with pytest.raises(EvaluationError, match="between 0 and 1"):
        holm_correction(wrong)
