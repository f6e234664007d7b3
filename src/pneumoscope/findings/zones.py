"""Where in the lungs a region is: the third of a lung that holds its centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.findings.finding import Region, Zone

_THIRDS = ("upper", "middle", "lower")
# Without lungs to go by: a frontal radiograph's lungs lie about in these rows, both sides of its
# middle.
_USUAL_TOP, _USUAL_BOTTOM = 0.12, 0.82
# A region of which less than this share is lung lies outside.
_MOSTLY_OUTSIDE = 0.1


@dataclass(frozen=True, slots=True)
class _Chest:
    """Where a radiograph's lungs are.

    Attributes:
        middle: the column between them.
        left, right: top and bottom row of the lung on the radiograph's left and on its right.
    """

    middle: float
    left: tuple[float, float]
    right: tuple[float, float]


def with_zones(
    regions: Sequence[Region], lungs: NDArray[np.bool_] | None, shape: tuple[int, int]
) -> tuple[Region, ...]:
    """Regions with the zone of each.

    Each lung is cut into three parts of equal height between its own top and bottom. The patient's
    right lung is the one on the radiograph's left: the radiograph has to be hung the usual way.

    Args:
        regions: on the radiograph's pixels.
        lungs: (height, width), where lung is; None if none were found, and then the zones are those
            of the radiograph: its left and right half, and thirds of the height that lungs usually
            take.
        shape: height and width of the radiograph.
    """
    if not regions:
        return ()
    if lungs is not None and not lungs.any():
        lungs = None
    chest = _usual_chest(*shape) if lungs is None else _chest_of(lungs)
    return tuple(
        region.model_copy(update={"zone": _zone_of(region, lungs, chest)}) for region in regions
    )


def _zone_of(region: Region, lungs: NDArray[np.bool_] | None, chest: _Chest) -> Zone:
    if lungs is not None:
        rows = slice(region.y, region.y + region.height)
        inside = lungs[rows, region.x : region.x + region.width]
        if np.count_nonzero(inside) < _MOSTLY_OUTSIDE * inside.size:
            return "outside_lungs"
    x, y = region.x + region.width / 2, region.y + region.height / 2
    on_left = x < chest.middle
    top, bottom = chest.left if on_left else chest.right
    return _named(on_left, (y - top) / (bottom - top))


def _usual_chest(height: int, width: int) -> _Chest:
    rows = _USUAL_TOP * height, _USUAL_BOTTOM * height
    return _Chest(width / 2, rows, rows)


def _chest_of(lungs: NDArray[np.bool_]) -> _Chest:
    middle = _between(lungs)
    column = round(middle)
    left, right = np.any(lungs[:, :column], axis=1), np.any(lungs[:, column:], axis=1)
    # What lies on one side of the middle alone counts for both.
    return _Chest(
        middle,
        _extent(left if left.any() else right),
        _extent(right if right.any() else left),
    )


def _extent(rows: NDArray[np.bool_]) -> tuple[float, float]:
    inside = np.flatnonzero(rows)
    return float(inside[0]), float(inside[-1]) + 1


def _between(lungs: NDArray[np.bool_]) -> float:
    """The column between the two lungs: of those near their middle the one with the least lung."""
    columns = np.flatnonzero(lungs.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    quarter = (right - left) // 4
    if quarter == 0:
        return (left + right) / 2
    near = lungs[:, left + quarter : right - quarter].sum(axis=0, dtype=np.int32)
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
