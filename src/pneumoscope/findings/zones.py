"""Where in the lungs a region is: the third of a lung that holds its centre."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pneumoscope.findings.finding import Region, Zone

_THIRDS = ("upper", "middle", "lower")
# Without lungs to go by: a frontal film's lungs lie about in these rows, both sides of its middle.
_USUAL_TOP, _USUAL_BOTTOM = 0.12, 0.82
# A region of which less than this share is lung lies outside.
_MOSTLY_OUTSIDE = 0.1


def with_zones(
    regions: Sequence[Region], lungs: NDArray[np.bool_] | None, shape: tuple[int, int]
) -> tuple[Region, ...]:
    """Regions with the zone of each.

    Each lung is cut into three parts of equal height between its own top and bottom. The patient's
    right lung is the one on the film's left, as frontal films are hung.

    Args:
        regions: on the film's pixels.
        lungs: (height, width), where lung is; None if none were found, and then the zones are those
            of the film: its left and right half, and thirds of the height that lungs usually take.
        shape: height and width of the film.
    """
    return tuple(
        region.model_copy(update={"zone": zone_of(region, lungs, shape)}) for region in regions
    )


def zone_of(region: Region, lungs: NDArray[np.bool_] | None, shape: tuple[int, int]) -> Zone:
    """The zone of one region; arguments as of `with_zones`."""
    height, width = shape
    x, y = region.x + region.width / 2, region.y + region.height / 2
    if lungs is None or not lungs.any():
        top, bottom = _USUAL_TOP * height, _USUAL_BOTTOM * height
        return _named(x < width / 2, (y - top) / (bottom - top))
    rows = slice(region.y, region.y + region.height)
    columns = slice(region.x, region.x + region.width)
    if lungs[rows, columns].mean() < _MOSTLY_OUTSIDE:
        return "outside_lungs"
    middle = _between(lungs)
    on_left = x < middle
    side = lungs[:, : round(middle)] if on_left else lungs[:, round(middle) :]
    inside = np.flatnonzero((side if side.any() else lungs).any(axis=1))
    top, bottom = int(inside[0]), int(inside[-1]) + 1
    return _named(on_left, (y - top) / (bottom - top))


def _between(lungs: NDArray[np.bool_]) -> float:
    """The column between the two lungs: of those near their middle the one with the least lung."""
    columns = np.flatnonzero(lungs.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    quarter = (right - left) // 4
    if quarter == 0:
        return (left + right) / 2
    near = lungs[:, left + quarter : right - quarter].sum(axis=0)
    least = np.flatnonzero(near == near.min())
    return left + quarter + float(least.mean()) + 0.5


def _named(on_left: bool, depth: float) -> Zone:
    third = _THIRDS[min(max(int(depth * 3), 0), 2)]
    zones: dict[tuple[bool, str], Zone] = {
        (True, "upper"): "right_upper",
        (True, "middle"): "right_middle",
        (True, "lower"): "right_lower",
        (False, "upper"): "left_upper",
        (False, "middle"): "left_middle",
        (False, "lower"): "left_lower",
    }
    return zones[on_left, third]
