"""How dense a place is for its own radiograph: brightness against the radiograph's lungs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grid = NDArray[np.float32]

SIDE = 64
"""Side of the grid that densities are computed on; it covers the model's whole square."""

LUNG = 0.5
"""Probability from which on a place counts as lung."""

# Blur of 3 pixels of 256: ribs and vessels are finer than opacities.
_BLUR = 3 * SIDE / 256
# Gray levels that are added to a radiograph's spread, so that a flat radiograph is not all noise.
_LEAST_SPREAD = 4.0
# Fewer cells of lung do not tell what the lungs' brightness is.
_FEW = 40


def on_grid(values: NDArray[np.generic]) -> Grid:
    """Resample a square (S, S) to (SIDE, SIDE) as float32: means of cells, or between cells."""
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    if picture.size == (SIDE, SIDE):
        return np.asarray(picture)
    way = Image.Resampling.BOX if picture.width > SIDE else Image.Resampling.BILINEAR
    return np.asarray(picture.resize((SIDE, SIDE), way))


def _blurred(grid: Grid) -> Grid:
    """A Gaussian blur, the edge reflected; without scipy, which takes long to import."""
    radius = int(3 * _BLUR + 0.5)
    places = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (places / _BLUR) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(grid.astype(np.float64), radius, mode="symmetric")
    down = sum(w * padded[i : i + SIDE] for i, w in enumerate(kernel))
    across = sum(w * down[:, i : i + SIDE] for i, w in enumerate(kernel))
    return np.asarray(across, dtype=np.float32)


def relative_density(pixels: NDArray[np.uint8], lungs: Grid) -> Grid | None:
    """Brightness relative to the radiograph's lungs, in their spread.

    The blurred radiograph minus the median over the lungs, divided by their standard deviation plus
    4 gray levels.

    Args:
        pixels: uint8 (S, S), letterboxed, bright = dense.
        lungs: (SIDE, SIDE) probability of lung.

    Returns:
        (SIDE, SIDE), 0 where the radiograph is as dense as its typical lung; None where too few
        cells are lung to tell.
    """
    inside = lungs >= LUNG
    if np.count_nonzero(inside) < _FEW:
        return None
    blurred = _blurred(on_grid(pixels))
    seen = blurred[inside]
    density: Grid = (blurred - np.median(seen)) / (np.float32(seen.std()) + _LEAST_SPREAD)
    return density
