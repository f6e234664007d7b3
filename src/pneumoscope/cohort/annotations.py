"""Lesion annotations as files: boxes or masks somebody drew, to measure heatmaps, never to train.

Lung masks are read the same way; they are anatomy, not lesions.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.cohort.tables import safe_image_path
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


BOX_COLUMNS = ("image", "x", "y", "width", "height")


def read_boxes(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read a CSV with the columns `image,x,y,width,height`, a line for each lesion.

    Boxes are in pixels of the stored radiograph from its top-left corner; other columns are
    ignored. A line with an image and no numbers at all says that the radiograph has no lesion.

    Returns:
        Image path (as in a manifest) to (k, 4) x, y, width, height; k is 0 where a line says so.

    Raises:
        CohortError: the file cannot be read, lacks a column, or holds a box that is none.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CohortError("does not exist", path=path, remedy="check the path") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise CohortError(
            f"cannot be read as a table ({error})",
            path=path,
            remedy=f"give a CSV with the columns {','.join(BOX_COLUMNS)}",
        ) from error
    missing = [name for name in BOX_COLUMNS if name not in table.columns]
    if missing:
        raise CohortError(
            f"the box file lacks the columns {', '.join(missing)}",
            path=path,
            remedy=f"give a CSV with the columns {','.join(BOX_COLUMNS)}",
        )
    found: dict[str, list[list[float]]] = {}
    for line, row in enumerate(table[list(BOX_COLUMNS)].itertuples(index=False), start=2):
        image = safe_image_path(row[0], table=path, line=line)
        boxes = found.setdefault(image, [])
        if any(text.strip() for text in row[1:]):
            boxes.append(_box(row[1:], path, line))
    return {image: np.array(boxes).reshape(-1, 4) for image, boxes in found.items()}


def _box(texts: tuple[str, ...], path: Path, line: int) -> list[float]:
    try:
        box = [float(text) for text in texts]
    except ValueError as error:
        raise CohortError(
            f"line {line} has a coordinate that is no number", path=path, remedy="correct it"
        ) from error
    if not np.isfinite(box).all() or min(box[2:]) <= 0:
        raise CohortError(
            f"line {line} has a box without area",
            path=path,
            remedy="give x, y, width, height in pixels, not two corners",
        )
    return box
