"""How dense a place of lungs usually is: an atlas of normal radiographs, aligned by their lungs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.density.relative import LUNG, SIDE, Grid
from pneumoscope.files import atomic_path

SHIPPED = Path(__file__).with_name("atlas.npz")
"""The atlas that comes with the package."""

# The lungs' bounding box is widened by these shares of its width and height on each side.
_WIDER, _TALLER = 0.08, 0.06
# Added to the spread of a place, so that a place where normal radiographs agree is not all anomaly.
_LEAST_SPREAD = 0.15
# Radiographs that are needed to say what is normal.
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class Frame:
    """The lungs' widened bounding box on the grid, in cells from cell edges."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def around(cls, lungs: Grid) -> Frame:
        """The frame of lungs (SIDE, SIDE); some cell must be lung."""
        inside = lungs >= LUNG
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        width, height = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
        return cls(
            columns[0] - _WIDER * width,
            rows[0] - _TALLER * height,
            width * (1 + 2 * _WIDER),
            height * (1 + 2 * _TALLER),
        )

    def to_atlas(self, values: Grid) -> Grid:
        """Values on the radiograph's grid to the atlas' grid, both (SIDE, SIDE)."""
        centres = (np.arange(SIDE) + 0.5) / SIDE
        return _sampled(
            values,
            self.top + centres * self.height - 0.5,
            self.left + centres * self.width - 0.5,
        )

    def to_film(self, values: Grid) -> Grid:
        """Values on the atlas' grid to the radiograph's; the edge goes on outside the frame."""
        centres = np.arange(SIDE) + 0.5
        return _sampled(
            values,
            (centres - self.top) / self.height * SIDE - 0.5,
            (centres - self.left) / self.width * SIDE - 0.5,
        )


@dataclass(frozen=True, slots=True)
class Atlas:
    """Mean and spread of `relative_density` over normal radiographs of one kind.

    Attributes:
        mean, spread: (SIDE, SIDE) on the aligned grid.
    """

    mean: Grid
    spread: Grid

    @classmethod
    def of(cls, densities: Iterable[tuple[Grid, Grid]]) -> Atlas:
        """The atlas of normal radiographs.

        Args:
            densities: for each radiograph `relative_density` and the lungs, both (SIDE, SIDE).

        Raises:
            ValueError: fewer than 20 radiographs.
        """
        aligned = [Frame.around(lungs).to_atlas(density) for density, lungs in densities]
        if len(aligned) < _FEWEST:
            raise ValueError(f"{len(aligned)} normal radiographs, at least {_FEWEST} are needed")
        films = np.stack(aligned)
        return cls(films.mean(axis=0), films.std(axis=0))

    def anomaly(self, density: Grid, frame: Frame) -> Grid:
        """How much denser each place is than normal, in spreads: (SIDE, SIDE) on the radiograph."""
        expected = frame.to_film(self.mean)
        anomaly: Grid = (density - expected) / (frame.to_film(self.spread) + _LEAST_SPREAD)
        return anomaly

    def distance(self, density: Grid, frame: Frame) -> float:
        """How far a radiograph is from this atlas: mean absolute anomaly on the aligned grid."""
        aligned = frame.to_atlas(density)
        return float((np.abs(aligned - self.mean) / (self.spread + _LEAST_SPREAD)).mean())


def write_atlases(path: Path, atlases: Mapping[str, Atlas]) -> None:
    """Write atlases by kind (`adult`, `child`) as float16 arrays in one NPZ file."""
    arrays = {
        f"{kind}_{name}": getattr(atlas, name).astype(np.float16)
        for kind, atlas in atlases.items()
        for name in ("mean", "spread")
    }
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_atlases(path: Path = SHIPPED) -> dict[str, Atlas]:
    """Atlases by kind; nothing is unpickled."""
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        kinds = sorted({name.rpartition("_")[0] for name in arrays.files})
        return {
            kind: Atlas(
                arrays[f"{kind}_mean"].astype(np.float32),
                arrays[f"{kind}_spread"].astype(np.float32),
            )
            for kind in kinds
        }


def _sampled(values: Grid, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> Grid:
    """Bilinear samples of (SIDE, SIDE) at rows x columns, held constant beyond the edge."""
    upper, lower, below = _neighbours(rows)
    left, right, beside = _neighbours(columns)
    down = values[upper] * (1 - below)[:, None] + values[lower] * below[:, None]
    across = down[:, left] * (1 - beside) + down[:, right] * beside
    return across.astype(np.float32)


def _neighbours(
    places: NDArray[np.floating],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    held = np.clip(places, 0, SIDE - 1)
    before = np.minimum(held.astype(np.intp), SIDE - 2)
    return before, before + 1, (held - before).astype(np.float32)
