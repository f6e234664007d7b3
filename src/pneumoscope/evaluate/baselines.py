"""Heatmaps that look at no radiograph: what a method must beat before it says anything."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError

Heat = NDArray[np.float32]


def random_map(height: int, width: int, seed_text: str) -> Heat:
    """White noise, (height, width) in [0, 1]; the same text gives the same noise.

    Its peak is a uniformly random point, and its hottest pixels overlap the lesions as much as
    chance does.

    Args:
        height: of the radiograph, pixels.
        width: of the radiograph, pixels.
        seed_text: the image's name, so that each radiograph has noise of its own.
    """
    seed = int.from_bytes(hashlib.sha256(seed_text.encode("utf-8")).digest()[:8], "big")
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


def centre_map(height: int, width: int) -> Heat:
    """A Gaussian around the radiograph's centre, (height, width) in [0, 1].

    Its standard deviation is a quarter of each side.
    """
    down, across = ((np.arange(side) + 0.5) / side - 0.5 for side in (height, width))
    heat = np.exp(-0.5 * (np.square(down[:, None]) + np.square(across)) / 0.25**2)
    return np.asarray(heat / heat.max(), dtype=np.float32)


class UsualLocation:
    """Where lesions usually are: the mean of the tuning half's lesion masks.

    It knows the cohort but not the radiograph. Radiographs of any shape are brought to one square
    grid, as if their sides meant the same.

    Args:
        size: pixels a side of that grid.
    """

    def __init__(self, size: int = 128) -> None:
        self.n = 0
        self._sum = np.zeros((size, size))

    def accumulate(self, mask: ArrayLike) -> None:
        """Add the lesions of one radiograph of the tuning half, never of the test half.

        Args:
            mask: (h, w), true in a lesion.

        Raises:
            EvaluationError: not two-dimensional, or empty.
        """
        lesion = np.asarray(mask, dtype=np.bool_)
        if lesion.ndim != 2 or not lesion.any():
            raise EvaluationError(
                f"a lesion mask of shape {lesion.shape} holds no lesion",
                remedy="add radiographs with lesions only",
            )
        size = len(self._sum)
        down, across = (_area_weights(side, size) for side in lesion.shape)
        self._sum += down @ lesion.astype(np.float64) @ across.T
        self.n += 1

    def map(self, height: int, width: int) -> Heat:
        """The mean mask on a radiograph's grid, (height, width) in [0, 1], its largest value 1.

        Raises:
            EvaluationError: no mask was added.
        """
        if self.n == 0:
            raise EvaluationError(
                "there is no lesion annotation to learn the usual location from",
                remedy="add masks of the tuning half, or leave this baseline out",
            )
        size = len(self._sum)
        heat = _linear_weights(size, height) @ self._sum @ _linear_weights(size, width).T
        # Rounding must not leave specks of evidence where there was none.
        return np.asarray(np.clip(heat / heat.max(), 0.0, 1.0), dtype=np.float32)


def _area_weights(side: int, size: int) -> NDArray[np.float64]:
    """(size, side): the part of each cell of a coarse grid that each pixel covers."""
    edges = np.arange(size + 1)[:, None] * (side / size)
    covered = np.clip(edges - np.arange(side), 0.0, 1.0)
    return np.asarray(np.diff(covered, axis=0) * (size / side), dtype=np.float64)


def _linear_weights(size: int, side: int) -> NDArray[np.float64]:
    """(side, size): linear interpolation between the centres of cells, constant beyond them."""
    place = np.clip((np.arange(side)[:, None] + 0.5) * (size / side) - 0.5, 0.0, size - 1.0)
    return np.asarray(np.maximum(1.0 - np.abs(place - np.arange(size)), 0.0), dtype=np.float64)
