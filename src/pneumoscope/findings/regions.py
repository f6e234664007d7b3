"""From a heatmap to boxes on the radiograph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.components import connected_parts
from pneumoscope.errors import SettingsError
from pneumoscope.findings.finding import Region


def find_regions(
    heatmap: NDArray[np.floating[Any]],
    *,
    threshold: float = 0.5,
    min_area: float = 0.002,
    max_regions: int = 5,
) -> list[Region]:
    """Tight boxes around the connected parts of a heatmap that reach a threshold.

    Parts touching at a corner are one (8-connectivity). A region's score is the highest heat in
    it, so that the first region always holds the heatmap's peak; equal scores put the larger part
    first. A map that is flat, zero or not finite gives no region: it is no evidence.

    Args:
        heatmap: (h, w) in [0, 1], on the radiograph's grid.
        threshold: heat from which on a pixel belongs to a region, above 0, at most 1.
        min_area: smaller parts are dropped, as a fraction of the radiograph's pixels, 0 to 1.
        max_regions: at most so many regions, the strongest.

    Raises:
        SettingsError: a setting is out of range.
        ValueError: the heatmap is not a two-dimensional array with pixels.
    """
    _check(threshold, min_area, max_regions)
    if heatmap.ndim != 2 or heatmap.size == 0:
        raise ValueError(f"a heatmap is (h, w), not {heatmap.shape}")
    low, high = float(heatmap.min()), float(heatmap.max())
    # NaN propagates through min and max, so these two numbers vouch for every pixel.
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return []

    hot = heatmap >= threshold
    rows, columns = np.flatnonzero(hot.any(axis=1)), np.flatnonzero(hot.any(axis=0))
    if rows.size == 0:
        return []
    top, left = int(rows[0]), int(columns[0])
    window = (slice(top, int(rows[-1]) + 1), slice(left, int(columns[-1]) + 1))
    parts = _parts(hot[window], heatmap[window], pixels=min_area * heatmap.size)
    parts.sort(key=lambda part: (-part[0], -part[1], part[2].start, part[3].start))
    return [
        Region(
            x=left + across.start,
            y=top + down.start,
            width=across.stop - across.start,
            height=down.stop - down.start,
            score=min(score, 1.0),
        )
        for score, _, down, across in parts[:max_regions]
    ]


def positive_regions(heatmap: NDArray[np.floating[Any]], *, threshold: float = 0.5) -> list[Region]:
    """The regions of a radiograph that was called positive.

    They begin at the threshold, or at half the strongest heat where that is lower: somebody who
    decides at a low probability gets regions, too.

    Args:
        heatmap: (h, w) in [0, 1], on the radiograph's grid.
        threshold: heat from which a pixel belongs to a region, above 0, at most 1.
    """
    return find_regions(heatmap, threshold=region_level(heatmap, threshold))


def region_level(heatmap: NDArray[np.floating[Any]], threshold: float) -> float:
    """The heat from which `positive_regions` takes a pixel; arguments as there."""
    half = float(heatmap.max()) / 2 if heatmap.size else 0.0
    return min(threshold, half) if half > 0 else threshold


def _parts(
    hot: NDArray[np.bool_], heat: NDArray[np.floating[Any]], *, pixels: float
) -> list[tuple[float, int, slice, slice]]:
    """(peak, area, rows, columns) of each connected part of at least `pixels` pixels."""
    found = connected_parts(hot, corners=True)
    peaks, boxes = found.highest(heat), found.boxes()
    return [
        (float(peaks[part]), int(found.area[part]), *_slices(*boxes[part].tolist()))
        for part in np.flatnonzero(found.area >= pixels)
    ]


def _slices(top: int, left: int, height: int, width: int) -> tuple[slice, slice]:
    return slice(top, top + height), slice(left, left + width)


def _check(threshold: float, min_area: float, max_regions: int) -> None:
    if not 0 < threshold <= 1:
        raise SettingsError(
            f"the heatmap threshold is {threshold:g}", remedy="give a number above 0, at most 1"
        )
    if not 0 <= min_area <= 1:
        raise SettingsError(
            f"the smallest region is {min_area:g} of the radiograph",
            remedy="give a fraction from 0 to 1",
        )
    if max_regions < 1:
        raise SettingsError(
            f"the number of regions is {max_regions}", remedy="allow at least one region"
        )
