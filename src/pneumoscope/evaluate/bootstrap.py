"""Intervals that know radiographs of one patient resemble each other.

The patient (cluster) bootstrap draws as many patients as there are, with replacement, and takes
all radiographs of each draw (Davison & Hinkley 1997, section 3.8). A resample is held as a weight
per radiograph, its patient's number of draws, so that a figure is computed for a whole block of
resamples with a few array operations and never by copying rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks

Statistic = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
"""Weights (resamples, n) in, figures by name (resamples,) out; NaN where a figure is undefined."""

# Weights of one block of resamples: 2 MiB of float64, so that it stays in the processor's cache.
_BLOCK_ELEMENTS = 2**18


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; NaN where undefined.

    Args:
        value: the figure on all radiographs.
        low: lower end of the interval.
        high: upper end of the interval.
        skipped: resamples left out of the interval because the figure was undefined in them
            (a class is missing, the calibration fit does not exist). Many skipped resamples mean
            that the interval describes only the lucky ones: do not lean on it.
        reason: why the figure is undefined; "" if it is defined, or if nobody said.
    """

    value: float
    low: float
    high: float
    skipped: int = 0
    reason: str = ""

    @classmethod
    def undefined(cls, reason: str) -> Interval:
        """A figure that there is none of."""
        return cls(math.nan, math.nan, math.nan, reason=reason)

    def to_dict(self) -> dict[str, Any]:
        """`value`, `low` and `high` as JSON can hold them: None where undefined, with `reason`."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        told = {name: end if math.isfinite(end) else None for name, end in ends.items()}
        return {**told, "reason": self.reason} if self.reason else told


def figures_json(figures: Mapping[str, Interval]) -> dict[str, dict[str, Any]]:
    """Figures by name as JSON can hold them, see `Interval.to_dict`."""
    return {name: figure.to_dict() for name, figure in figures.items()}


def bootstrap_patients(
    statistic: Statistic,
    patients: Sequence[str],
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    *,
    distances: Collection[str] = (),
) -> dict[str, Interval]:
    """Figures with intervals from a patient-level bootstrap.

    The interval is the percentile one, except for the figures named in `distances`.

    Args:
        statistic: takes weights of shape (resamples, n), whole numbers >= 0 held as float64, and
            returns each figure for each resample, shape (resamples,), NaN where undefined. Weights
            of one give the figure itself.
        patients: (n,) patient of each radiograph.
        n_resamples: how many; 0 computes the figures without intervals.
        seed: the same seed gives the same intervals.
        level: coverage asked for, in (0, 1).
        distances: figures >= 0 that noise can only push up, such as a calibration error. A resample
            adds to them the noise that the sample has already added, so that percentiles lie too
            high, often above the figure itself. They get the basic interval, the percentiles
            reflected at the figure (Davison & Hinkley 1997, eq. 5.6), cut at 0 and never without
            the figure.

    Returns:
        An `Interval` for each figure. Its ends are NaN when there is a single patient, no
        resample, or no resample in which the figure is defined.

    Raises:
        EvaluationError: a missing patient, or a setting out of range.
    """
    codes, n_patients = _checks.patient_codes(patients)
    if n_resamples < 0 or not 0.0 < level < 1.0:
        raise EvaluationError(
            f"{n_resamples} resamples at level {level:g} make no interval",
            remedy="ask for 0 or more resamples and a level between 0 and 1",
        )
    values = statistic(np.ones((1, codes.size)))
    blocks = [statistic(weights) for weights in _resamples(codes, n_patients, n_resamples, seed)]
    return {
        name: _interval(
            float(value[0]),
            np.concatenate([np.empty(0), *(block[name] for block in blocks)]),
            level if n_patients > 1 else None,
            reflect=name in distances,
        )
        for name, value in values.items()
    }


def weighted_means(columns: Mapping[str, ArrayLike]) -> Statistic:
    """The statistic for `bootstrap_patients` that averages columns over radiographs.

    Args:
        columns: name to one value per radiograph, shape (n,). NaN marks a radiograph for which the
            value does not exist: it is left out of that column's mean.

    Raises:
        EvaluationError: no column, or columns of different lengths.
    """
    if not columns:
        raise EvaluationError("there is nothing to average", remedy="pass at least one column")
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns.values()])
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)

    def means(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        totals = weights @ known.astype(np.float64)
        with np.errstate(invalid="ignore"):
            averages = (weights @ filled) / totals
        return {name: averages[:, index] for index, name in enumerate(columns)}

    return means


def _resamples(
    codes: NDArray[np.int64], n_patients: int, n_resamples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Blocks of weights (resamples, n): how often each radiograph's patient was drawn."""
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_ELEMENTS // codes.size)
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        draws = generator.integers(0, n_patients, size=(size, n_patients))
        draws += n_patients * np.arange(size)[:, None]
        counts = np.bincount(draws.ravel(), minlength=size * n_patients)
        yield counts.reshape(size, n_patients)[:, codes].astype(np.float64)


def _interval(
    value: float, resampled: NDArray[np.float64], level: float | None, *, reflect: bool
) -> Interval:
    defined = resampled[np.isfinite(resampled)]
    skipped = int(resampled.size - defined.size)
    # One patient alone, drawn over and over, would give an interval of width zero: a false claim.
    if level is None or defined.size == 0 or not math.isfinite(value):
        return Interval(value, math.nan, math.nan, skipped)
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    if reflect:
        low, high = min(max(2.0 * value - high, 0.0), value), max(2.0 * value - low, value)
    return Interval(value, float(low), float(high), skipped)
