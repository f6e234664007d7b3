"""The pointing game: does the peak of the heatmap lie in a lesion (Zhang et al. 2018)."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks
from pneumoscope.evaluate.bootstrap import Interval, bootstrap_patients, weighted_means

# Relative to the largest absolute value: a spread this small is interpolation noise, no evidence.
_FLAT = 1e-6


class PointingFigures(TypedDict):
    """What `PointingGame.compute` returns.

    `peak_in_lesion` is the hit rate of the heatmaps and `random_point` that of a uniformly random
    point; `n` counts radiographs, among them `flat` heatmaps without evidence and `nan` heatmaps
    with a value that is not finite, both of which count as misses.
    """

    peak_in_lesion: Interval
    random_point: Interval
    n: int
    n_patients: int
    flat: int
    nan: int


class PointingGame:
    """Collects one hit or miss per radiograph that has a lesion.

    Only numbers are kept, no heatmap, so that any number of radiographs fits in memory.

    Args:
        n_resamples: bootstrap resamples for the intervals.
        seed: the same seed gives the same intervals.
        level: coverage asked for, in (0, 1).
    """

    def __init__(self, n_resamples: int = 1000, seed: int = 0, level: float = 0.95) -> None:
        self.n_resamples = n_resamples
        self.seed = seed
        self.level = level
        self._hits: list[float] = []
        self._shares: list[float] = []
        self._patients: list[str] = []
        self._flat = 0
        self._nan = 0

    def accumulate(self, heatmap: ArrayLike, mask: ArrayLike, patient: str) -> None:
        """Add one radiograph.

        The hit is the share of the heatmap's maxima that lie in the lesion: 0 or 1 for a single
        peak, a fraction where several pixels are equally high, which is what picking one of them at
        random scores on average.

        Args:
            heatmap: (h, w), any scale; larger is more evidence.
            mask: (h, w), true inside the lesion annotation, on the same grid.
            patient: whose radiograph it is.

        Raises:
            EvaluationError: the shapes differ or are not two-dimensional, the mask is empty, or the
                patient is missing.
        """
        values = np.asarray(heatmap, dtype=np.float64)
        lesion = np.asarray(mask, dtype=np.bool_)
        if values.ndim != 2 or values.shape != lesion.shape:
            raise EvaluationError(
                f"heatmap has shape {values.shape} but lesion mask {lesion.shape}",
                remedy="bring both to the radiograph's own pixel grid, (height, width)",
            )
        if not lesion.any():
            raise EvaluationError(
                "the lesion mask is empty, so that no point could be a hit",
                remedy="play the pointing game only on radiographs with a lesion annotation",
            )
        _checks.patient_codes([patient])
        self._hits.append(self._hit(values, lesion))
        self._shares.append(float(lesion.mean()))
        self._patients.append(patient)

    def compute(self) -> PointingFigures:
        """Hit rates over all radiographs so far, with patient-level intervals.

        Raises:
            EvaluationError: nothing was accumulated, or a setting is out of range.
        """
        if not self._hits:
            raise EvaluationError(
                "there is no radiograph to play the pointing game on",
                remedy="give lesion annotations for some radiographs of the split",
            )
        figures = bootstrap_patients(
            weighted_means({"peak": self._hits, "random": self._shares}),
            self._patients,
            n_resamples=self.n_resamples,
            seed=self.seed,
            level=self.level,
        )
        return PointingFigures(
            peak_in_lesion=figures["peak"],
            random_point=figures["random"],
            n=len(self._hits),
            n_patients=len(set(self._patients)),
            flat=self._flat,
            nan=self._nan,
        )

    def _hit(self, values: NDArray[np.float64], lesion: NDArray[np.bool_]) -> float:
        if not np.isfinite(values).all():
            self._nan += 1
            return 0.0
        peak, floor = float(values.max()), float(values.min())
        if peak - floor <= _FLAT * max(abs(peak), abs(floor)):
            self._flat += 1
            return 0.0
        return float(lesion[values == peak].mean())
