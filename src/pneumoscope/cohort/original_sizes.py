"""The shape radiographs had before somebody squashed them into squares, and the way to undo it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pneumoscope.cohort.tables import read_rows
from pneumoscope.errors import CohortError
from pneumoscope.imaging import Letterbox, Radiograph, read_radiograph

Sizes = Mapping[str, tuple[int, int]]
"""Image to the (height, width) in pixels that its radiograph had at first."""
SIZE_COLUMNS = ("orig_width", "orig_height")
_OF_KAGGLE = {"image_id": "image", "dim1": "orig_width", "dim0": "orig_height"}
"""Columns of the sizes that go round with resized copies of SIIM-COVID and VinDr-CXR."""


def read_sizes(path: Path) -> dict[str, tuple[int, int]]:
    """Read a CSV with `image,orig_width,orig_height`, or `image_id,dim0,dim1` (height, width).

    Other columns are passed over.

    Raises:
        CohortError: it cannot be read, a column is missing, or a size is no positive number.
    """
    rows = read_rows(Path(path))
    if _OF_KAGGLE.keys() <= set(rows.header):
        rows = replace(rows, header=[_OF_KAGGLE.get(name, name) for name in rows.header])
    records = rows.records(("image", *SIZE_COLUMNS), path)
    return {row["image"]: original_size(row, path) for row in records}


def original_size(row: Mapping[str, str], path: Path) -> tuple[int, int]:
    """(height, width) from a row's `orig_height` and `orig_width`.

    Raises:
        CohortError: one is no positive number; `path` is the table it stands in.
    """
    width, height = (str(row[name]).strip() for name in SIZE_COLUMNS)
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise CohortError(
            f"the original size of {row['image']} is {width!r} x {height!r}",
            path=path,
            remedy="give whole pixels",
        )
    return int(height), int(width)


def stated_sizes(table: pd.DataFrame) -> list[tuple[int, int] | None]:
    """(height, width) at first of each radiograph of a manifest; None where it does not say.

    Raises:
        CohortError: a size is no positive number.
    """
    if any(name not in table for name in SIZE_COLUMNS):
        return [None] * len(table)
    names = ("image", *SIZE_COLUMNS)
    columns = [table[name].fillna("").astype(str) for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return [
        original_size(row, Path("the manifest")) if row["orig_width"] + row["orig_height"] else None
        for row in rows
    ]


def read_film(
    path: Path, original: tuple[int, int] | None, *, model: int | None = None
) -> Radiograph:
    """Read a radiograph of a cohort in the proportions it had at first.

    Args:
        path: its file.
        original: (height, width) before somebody squashed it; None where it is stored as it was.
        model: as of `imaging.read_radiograph`.

    Raises:
        ImageError: the file cannot be used.
    """
    film = read_radiograph(path, model=model)
    if original is None:
        return film
    height, width = original
    return replace(film, aspect=(height / film.height) / (width / film.width))


def unsquashed(height: int, width: int, original: tuple[int, int] | None, size: int) -> Letterbox:
    """The letterbox, in a square of `size` pixels, of a radiograph in the shape it had at first.

    Args:
        height: rows of the radiograph as it is stored.
        width: columns of the radiograph as it is stored.
        original: (height, width) at first; None when the radiograph is stored as it was.
        size: side of the square.
    """
    if original is None:
        return Letterbox.fit(height, width, size)
    return replace(Letterbox.fit(*original, size), height=height, width=width)
