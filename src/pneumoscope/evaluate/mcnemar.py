"""McNemar's test: do two models decide equally many radiographs rightly.

Only radiographs on which the models disagree tell. Under the null hypothesis that the models could
change places, each is as likely to favour one as the other (McNemar 1947), and the p-value follows
from coin tosses without an approximation.

Radiographs of one patient are not separate coins. Here a coin is tossed per *patient*: with d the
patient's radiographs that the first model alone has right less those that the second alone has
right, the statistic is |sum of d|, and its distribution under the null is that of |sum of +-d|,
computed in full. With one radiograph per patient this is the binomial McNemar test; with many
patients it approaches the clustered chi-square (sum d)^2 / (sum d^2), which Yang et al. 2010
(Biometrical Journal 52:638) derive from Obuchowski 1998 (Statistics in Medicine 17:1495).

A model trained with several seeds counts by the mean over its seeds: d is then the difference of
two means, and the test is of the mean accuracy of these trainings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks


@dataclass(frozen=True, slots=True)
class McNemar:
    """The result of `mcnemar_test`.

    Attributes:
        discordant: radiographs that the first model has right more often over its seeds than the
            second, and the reverse; with one seed each, those only one of them has right.
        exact_p: two-sided, never too small, hence often too large: few discordant patients allow
            few different p-values.
        mid_p: counts the outcome found by half. Fagerland et al. 2013 (BMC Medical Research
            Methodology 13:91) recommend it: hardly ever above the nominal error, and more powerful
            than the exact one. It is the one that `compare_models` reports.

    Both are 1 when no patient tells the models apart.
    """

    discordant: tuple[int, int]
    exact_p: float
    mid_p: float


def mcnemar_test(
    first: ArrayLike, second: ArrayLike, patients: Sequence[str] | None = None
) -> McNemar:
    """Test whether two models have the same accuracy on the same radiographs.

    Args:
        first: (n,) or (seeds, n), true where the first model decides rightly.
        second: likewise; its number of seeds may differ.
        patients: (n,) patient of each radiograph; each its own if None.

    Raises:
        EvaluationError: empty, lengths that differ, values other than 0 and 1, a missing patient.
    """
    one, other = _right(first), _right(second)
    _checks.same_length(first=one.shape[1], second=other.shape[1])
    # Whole numbers: differences of the two means, times their common denominator.
    common = math.lcm(one.shape[0], other.shape[0])
    difference = one.sum(axis=0) * (common // one.shape[0])
    difference -= other.sum(axis=0) * (common // other.shape[0])
    steps = difference
    if patients is not None:
        _checks.same_length(radiographs=difference.size, patients=len(patients))
        codes, n_patients = _checks.patient_codes(patients)
        steps = np.rint(np.bincount(codes, difference, n_patients)).astype(np.int64)
    beyond, equal = _tail(steps)
    return McNemar(
        discordant=(int((difference > 0).sum()), int((difference < 0).sum())),
        exact_p=min(1.0, beyond + equal),
        mid_p=min(1.0, beyond + equal / 2.0) if steps.any() else 1.0,
    )


def _right(values: ArrayLike) -> NDArray[np.int64]:
    """Right decisions as (seeds, n) of 0 and 1."""
    table = np.atleast_2d(np.asarray(values))
    if table.ndim != 2 or table.size == 0:
        raise EvaluationError(
            f"decisions have shape {table.shape}", remedy="pass one row of decisions per seed"
        )
    return np.stack([_checks.target_vector(row, "right decisions") for row in table])


def _tail(steps: NDArray[np.int64]) -> tuple[float, float]:
    """P(|S| > |s|) and P(|S| = |s|), S the sum of `steps` with random signs, s with their own."""
    sizes = np.abs(steps[steps != 0])
    if sizes.size == 0:
        return 0.0, 1.0
    unit = int(np.gcd.reduce(sizes))
    sizes = sizes // unit
    found = abs(int(steps.sum())) // unit
    # Chance of each total that is turned against the observed signs, one patient after another.
    total = int(sizes.sum())
    chance = np.zeros(total + 1)
    chance[0], reach = 1.0, 0
    for size in sizes.tolist():
        reach += size
        turned = chance[: reach + 1 - size].copy()
        chance[size : reach + 1] += turned
        chance[: reach + 1] /= 2.0
    sums = np.abs(total - 2 * np.arange(total + 1))
    return float(chance[sums > found].sum()), float(chance[sums == found].sum())
