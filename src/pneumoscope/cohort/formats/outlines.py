"""Drawing outlines, with pycocotools; those of CheXlocalize as its authors do, with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pneumoscope.cohort.formats.marks import Grid, Mask
from pneumoscope.errors import CohortError, ImageError
from pneumoscope.extras import require
from pneumoscope.imaging import DEFAULT_LIMITS

Points = Sequence[tuple[float, float]]


def checked_grid(height: Any, width: Any, path: Path) -> Grid:
    """(height, width) of a radiograph as a file states it.

    Raises:
        CohortError: they are no sizes of a radiograph.
    """
    try:
        grid = int(height), int(width)
        DEFAULT_LIMITS.check_size(path, grid[1], grid[0])
    except (TypeError, ValueError, OverflowError, ImageError) as error:
        raise CohortError(
            f"states a radiograph of {width!r} x {height!r} pixels", path=path, remedy="correct it"
        ) from error
    return grid


def polygon_mask(outline: Sequence[float], height: int, width: int, path: Path) -> Mask:
    """Fill a polygon between pixel edges with pycocotools.

    Args:
        outline: x, y, x, y, ... in pixels.
        height: rows of the mask.
        width: columns of the mask.
        path: the file it is from.
    """
    return coco_mask(coco_runs([list(outline)], (height, width), path), path)


def drawn_polygons(polygons: Sequence[Points], height: int, width: int) -> Mask:
    """Fill polygons with Pillow, outlines included, as CheXlocalize makes its segmentations.

    Args:
        polygons: x, y in pixels.
        height: rows of the mask.
        width: columns of the mask.
    """
    picture = Image.new("1", (width, height))
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon(list(polygon), outline=1, fill=1)
    return np.array(picture, dtype=np.bool_)


def coco_runs(segmentation: Any, grid: Grid, path: Path) -> Any:
    """COCO's polygons or run lengths as one compressed run-length code.

    Args:
        segmentation: a list of polygons x, y, x, y, ...; or `size` and `counts`.
        grid: (height, width) of the radiograph.
        path: the file it is from.

    Raises:
        CohortError: it is neither, or not on this grid.
        MissingExtra: pycocotools is not installed.
    """
    require("annotations", "an outline in COCO's format")
    from pycocotools import mask

    try:
        if isinstance(segmentation, list):
            runs = mask.merge(mask.frPyObjects(segmentation, *grid))
        elif isinstance(segmentation["counts"], list):
            if sum(segmentation["counts"]) != grid[0] * grid[1] or min(segmentation["counts"]) < 0:
                raise ValueError("run lengths that do not fill the radiograph")
            runs = mask.frPyObjects(segmentation, *grid)
        else:
            counts = segmentation["counts"]
            runs = {
                "size": list(map(int, segmentation["size"])),
                "counts": counts.encode() if isinstance(counts, str) else counts,
            }
    except Exception as error:  # pycocotools raises bare exceptions
        raise CohortError(
            "holds an outline that cannot be read", path=path, remedy="export it again"
        ) from error
    if tuple(runs["size"]) != grid:
        raise CohortError(
            f"holds an outline on {runs['size'][1]} x {runs['size'][0]} pixels of a radiograph of "
            f"{grid[1]} x {grid[0]}",
            path=path,
            remedy="export it again",
        )
    return runs


def coco_area(runs: Any) -> int:
    """Pixels in a run-length code."""
    from pycocotools import mask

    return int(mask.area(runs))


def coco_mask(runs: Any, path: Path) -> Mask:
    """Decode a run-length code.

    Raises:
        CohortError: it is damaged.
    """
    from pycocotools import mask

    try:
        return np.asarray(mask.decode(runs), dtype=np.bool_)
    except Exception as error:  # pycocotools raises bare exceptions
        raise CohortError(
            "holds an outline that cannot be read", path=path, remedy="export it again"
        ) from error
