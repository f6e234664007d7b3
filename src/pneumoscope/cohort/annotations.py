"""Lesion annotations: masks somebody drew. They measure heatmaps and are never used in training."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import CohortError, ImageError
from pneumoscope.imaging import read_radiograph


def find_mask(folder: Path, image: str) -> Path | None:
    """The mask of a radiograph: same relative path, or same file name, below `folder`, as PNG.

    Args:
        folder: where the masks are.
        image: the radiograph's path in the manifest.
    """
    relative = PurePosixPath(image).with_suffix(".png")
    for candidate in (folder / relative, folder / relative.name):
        if candidate.is_file():
            return candidate
    return None


def read_mask(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """Read a mask; every pixel that is not black belongs to the lesion.

    Returns:
        (height, width) bool.

    Raises:
        CohortError: it cannot be read, or is not on the radiograph's pixel grid.
    """
    try:
        pixels = read_radiograph(path).pixels
    except ImageError as error:
        raise CohortError(error.problem, path=path, remedy=error.remedy) from error
    if pixels.shape != (height, width):
        raise CohortError(
            f"the mask is {pixels.shape[1]} x {pixels.shape[0]} pixels, its radiograph "
            f"{width} x {height}",
            path=path,
            remedy="give masks on the radiograph's own pixel grid",
        )
    mask: NDArray[np.bool_] = pixels > 0
    return mask
