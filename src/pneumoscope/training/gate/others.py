"""Real pictures that are no frontal chest radiograph, for training and checking the input gate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.cohort.duplicates import near_pairs, thumbnail
from pneumoscope.cohort.tables import read_rows
from pneumoscope.errors import CohortError
from pneumoscope.files import sha256_file
from pneumoscope.gate import KINDS
from pneumoscope.imaging import Radiograph, read_radiograph

Split = Literal["train", "val", "test"]
_COLUMNS = ("image", "kind")
# What a table may call the kinds that have their own reason; every other name is `not_chest`.
_OWN = {"lateral": "lateral", "ct": "ct", "brain": "ct", "mr": "ct"}
# Upper ends of train and val on a hash in [0, 1).
_TRAIN, _VAL = 0.8, 0.9


@dataclass(frozen=True)
class OtherPictures:
    """Pictures with their kinds, in the order of the table.

    Attributes:
        paths: the files.
        names: each picture's kind as the table calls it, for example `lateral` or `teeth`.
        groups: of each picture; copies of one exposure have the same one, in [0, 1).
        films: each picture, gray in [0, 1].
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    groups: NDArray[np.float64]
    films: tuple[Radiograph, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def kinds(self) -> NDArray[np.int64]:
        """Each picture's place in `gate.KINDS`."""
        return np.array([KINDS.index(_OWN.get(name, "not_chest")) for name in self.names])

    @property
    def splits(self) -> NDArray[np.str_]:
        """`train` (.8), `val` or `test` of each picture, by its group alone."""
        return np.where(self.groups < _TRAIN, "train", np.where(self.groups < _VAL, "val", "test"))

    def folds(self, count: int) -> NDArray[np.int64]:
        """The part of each picture, from 0, for cross-validation; kinds are spread evenly."""
        place = np.zeros(len(self), dtype=np.int64)
        for name in set(self.names):
            own = np.array([other == name for other in self.names])
            place[own] = np.unique(self.groups[own], return_inverse=True)[1] % count
        return place

    @property
    def digest(self) -> str:
        """Digest of the files' bytes and kinds, whatever their order."""
        lines = sorted(f"{sha256_file(p)} {n}" for p, n in zip(self.paths, self.names, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def subset(self, chosen: NDArray[np.bool_]) -> OtherPictures:
        """Those chosen.

        Args:
            chosen: bool (n,).
        """
        rows = np.flatnonzero(chosen)
        return OtherPictures(
            tuple(self.paths[row] for row in rows),
            tuple(self.names[row] for row in rows),
            self.groups[rows],
            tuple(self.films[row] for row in rows),
        )

    def small(self, side: int) -> list[Image.Image]:
        """Each picture as 8-bit gray, scaled so that its longest side is `side`."""
        return [_scaled(film, side) for film in self.films]

    @cached_property
    def chances(self) -> NDArray[np.float64]:
        """Chance of each picture within its place in `gate.KINDS`; each place sums to 1.

        A name with four times as many pictures is drawn twice as often.
        """
        count = {name: self.names.count(name) for name in set(self.names)}
        weights = np.array([count[name] ** -0.5 for name in self.names])
        for kind in set(self.kinds):
            weights[self.kinds == kind] /= weights[self.kinds == kind].sum()
        return weights


def read_others(table: Path) -> OtherPictures:
    """Read a CSV with `image,kind`; images are relative to it.

    Raises:
        CohortError: it cannot be read, lacks a column or a value, or has no rows.
        ImageError: a picture cannot be read.
    """
    read = read_rows(Path(table))
    rows = read.records(_COLUMNS, table)
    for row, line in zip(rows, read.lines, strict=True):
        if not all(row[name].strip() for name in _COLUMNS):
            raise CohortError(f"line {line} lacks an image or a kind", path=table, remedy="give it")
    paths = tuple(Path(table).parent / row["image"] for row in rows)
    films = tuple(read_radiograph(path) for path in paths)
    names = tuple(row["kind"].strip().lower() for row in rows)
    return OtherPictures(paths, names, _groups(paths, films), films)


def _groups(paths: tuple[Path, ...], films: tuple[Radiograph, ...]) -> NDArray[np.float64]:
    """A number in [0, 1) of each picture, by its bytes; near duplicates share the smallest."""
    found = np.array([int(sha256_file(path)[:12], 16) / 16**12 for path in paths])
    pairs = near_pairs(np.stack([thumbnail(film.pixels) for film in films]))
    changed = True
    while changed:
        changed = False
        for pair in pairs:
            ends = [pair.first, pair.second]
            if found[ends[0]] != found[ends[1]]:
                found[ends] = found[ends].min()
                changed = True
    return found


def _scaled(film: Radiograph, side: int) -> Image.Image:
    scale = side / max(film.height, film.width)
    size = (max(round(film.width * scale), 1), max(round(film.height * scale), 1))
    levels = Image.fromarray(np.rint(film.pixels * 255).astype(np.uint8))
    return levels.resize(size, Image.Resampling.BILINEAR)
