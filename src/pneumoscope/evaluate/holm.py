"""Holm's correction for testing many pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError


def holm_correction(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values of Holm's step-down procedure (Holm 1979, Scand. J. Statist. 6:65).

    Rejecting where the adjusted p-value is below .05 keeps the chance of any false rejection among
    all tests below .05, however the tests depend on each other; it rejects whatever Bonferroni's
    correction rejects, and more.

    Args:
        p_values: (k,) in [0, 1]. A NaN marks a test that could not be made: it stays NaN and does
            not count as a test.

    Returns:
        (k,) adjusted p-values in the order given, in [0, 1].

    Raises:
        EvaluationError: not a row of numbers, or one outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or np.any((p < 0.0) | (p > 1.0)):
        raise EvaluationError("p-values are not a row of numbers between 0 and 1")
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
