"""Lung masks: the organ as somebody outlined it. Unlike lesion annotations they may train."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.annotations import read_mask
from pneumoscope.cohort.original_sizes import SIZE_COLUMNS, original_size, unsquashed
from pneumoscope.cohort.tables import read_rows, safe_image_path
from pneumoscope.errors import CohortError, ImageError
from pneumoscope.imaging import Letterbox, read_radiograph

COLUMNS = ("image", "mask", "patient")


@dataclass(frozen=True, slots=True)
class LungCase:
    """A radiograph and the lungs somebody outlined on it.

    Attributes:
        image: path relative to `root`.
        root: folder of the radiograph.
        mask: file of the mask.
        patient: whose radiograph it is.
        original: (height, width) of the radiograph before it was squashed, if it was.
        extra: other columns of the table, by name.
    """

    image: str
    root: Path
    mask: Path
    patient: str
    original: tuple[int, int] | None = None
    extra: dict[str, str] = field(default_factory=dict)


def read_lung_table(path: Path) -> list[LungCase]:
    """Read a CSV with `image,mask,patient`, relative to its own folder.

    `orig_width,orig_height` give the shape of radiographs that were squashed; other columns are
    kept.

    Raises:
        CohortError: it cannot be read, has no rows, lacks a column or leaves one blank.
    """
    path = Path(path)
    table = read_rows(path)
    rows = zip(table.records(COLUMNS, path), table.lines, strict=True)
    return [_case(row, path, line) for row, line in rows]


def _case(row: dict[str, str], path: Path, line: int) -> LungCase:
    if not row["patient"].strip():
        raise CohortError(f"line {line} names no patient", path=path, remedy="name one")
    known = (*COLUMNS, *SIZE_COLUMNS)
    return LungCase(
        image=safe_image_path(row["image"], table=path, line=line),
        root=path.parent,
        mask=path.parent / safe_image_path(row["mask"], table=path, line=line),
        patient=row["patient"].strip(),
        original=original_size(row, path) if all(name in row for name in SIZE_COLUMNS) else None,
        extra={name: value for name, value in row.items() if name not in known},
    )


def read_lung_mask(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """Read a lung mask, black and white or gray: brighter than half the scale is lung.

    Returns:
        (height, width) bool.

    Raises:
        CohortError: it cannot be read, or is not on the radiograph's pixel grid.
    """
    return read_mask(path, height, width, above=127)


def read_lung_film(case: LungCase, side: int) -> tuple[NDArray[np.uint8], Letterbox]:
    """A case's radiograph in a square of `side` pixels, its aspect ratio restored.

    Returns:
        uint8 (side, side), and the letterbox that leads back to the radiograph as it is stored.

    Raises:
        CohortError: it cannot be read.
    """
    path = case.root / case.image
    try:
        pixels = read_radiograph(path).pixels
    except ImageError as error:
        raise CohortError(error.problem, path=path, remedy=error.remedy) from error
    height, width = pixels.shape
    letterbox = unsquashed(height, width, case.original, side)
    return np.rint(letterbox.apply(pixels) * np.float32(255)).astype(np.uint8), letterbox
