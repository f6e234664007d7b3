"""Masks as pictures, found by the name of their radiograph: of lesions, and of lungs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.errors import CohortError, ImageError
from pneumoscope.imaging import DEFAULT_LIMITS


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


def read_mask(path: Path, height: int, width: int, *, above: int = 0) -> NDArray[np.bool_]:
    """Read a mask, black and white or gray.

    Args:
        path: an image file.
        height, width: of the radiograph, pixels.
        above: levels of 0 to 255 above this belong to it; by default all that are not black.

    Returns:
        (height, width) bool.

    Raises:
        CohortError: it cannot be read, or is not on the radiograph's pixel grid.
    """
    try:
        DEFAULT_LIMITS.check_bytes(path, path.stat().st_size)
        with Image.open(path) as image:
            size = image.size
            if size == (width, height):
                mask: NDArray[np.bool_] = np.asarray(image.convert("L")) > above
                return mask
    except (OSError, ValueError, SyntaxError, ImageError, Image.DecompressionBombError) as error:
        raise CohortError(
            "cannot be read as a mask", path=path, remedy="give masks as PNG, black and white"
        ) from error
    raise CohortError(
        f"the mask is {size[0]} x {size[1]} pixels, its radiograph {width} x {height}",
        path=path,
        remedy="give masks on the radiograph's own pixel grid",
    )
