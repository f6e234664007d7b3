"""The density factor of a heatmap: pneumonia is denser than the lung around it, and than normal."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pneumoscope.density.atlas import Atlas, Frame, read_atlases
from pneumoscope.density.relative import Grid, on_grid, relative_density

# Slopes and exponents, chosen on tuning halves (docs/localization.md).
_FILM_SLOPE, _PLACE_SLOPE = 1.5, 1.2
_FILM_POWER, _PLACE_POWER = 1.0, 0.5


class DensityPrior:
    """Says of each place of a radiograph how likely its density is to be that of an opacity.

    Args:
        atlases: of normal radiographs, by kind; the one nearest to a radiograph is used for it.
    """

    def __init__(self, atlases: Mapping[str, Atlas]) -> None:
        self.atlases = dict(atlases)

    def factor(self, pixels: NDArray[np.uint8], lungs: NDArray[np.floating]) -> Grid:
        """The factor: sigmoid(1.5 V) * sqrt(sigmoid(1.2 A)).

        V is the density relative to the radiograph's own lungs, A the anomaly against the atlas.

        Args:
            pixels: uint8 (S, S), letterboxed, bright = dense.
            lungs: (g, g) probability of lung on a grid that covers the same square.

        Returns:
            float32 (SIDE, SIDE) in (0, 1) covering the square; one everywhere where the lungs are
            too few cells to compare with.
        """
        inside = on_grid(lungs)
        density = relative_density(pixels, inside)
        if density is None:
            return np.ones_like(inside)
        frame = Frame.around(inside)
        place = self.nearest(density, frame).anomaly(density, frame)
        film = _sigmoid(_FILM_SLOPE * density) ** _FILM_POWER
        factor = film * _sigmoid(_PLACE_SLOPE * place) ** _PLACE_POWER
        return np.asarray(factor, dtype=np.float32)

    def nearest(self, density: Grid, frame: Frame) -> Atlas:
        """The atlas whose normal lungs are most like these."""
        return min(self.atlases.values(), key=lambda atlas: atlas.distance(density, frame))


def _sigmoid(values: Grid) -> Grid:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), dtype=np.float32)


@cache
def shipped_prior() -> DensityPrior:
    """The prior with the atlases of the package, loaded once."""
    return DensityPrior(read_atlases())
