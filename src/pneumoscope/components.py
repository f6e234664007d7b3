"""Connected parts of a mask, by the runs of its rows; numpy only.

scipy.ndimage finds them too, but takes longer to import than a radiograph takes to be explained.
Used by the rooms that judge masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The connected parts of a mask, in the order of their first pixels, row by row.

    Attributes:
        row, start, end: (R,) of each run: the pixels [start, end) of a row.
        part: (R,) the number of the part it belongs to, from 0.
        area: (P,) pixels of each part.
    """

    row: Integers
    start: Integers
    end: Integers
    part: Integers
    area: Integers

    def boxes(self) -> Integers:
        """(P, 4): first row, first column, rows and columns of each part's tight box."""
        count = len(self.area)
        top, left = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).max)
        below, right = np.zeros(count, np.int64), np.zeros(count, np.int64)
        np.minimum.at(top, self.part, self.row)
        np.minimum.at(left, self.part, self.start)
        np.maximum.at(below, self.part, self.row + 1)
        np.maximum.at(right, self.part, self.end)
        return np.stack([top, left, below - top, right - left], axis=1)

    def highest(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(P,) the largest of the values (height, width) in each part."""
        found = np.full(len(self.area), -np.inf)
        if len(self.row):
            width = values.shape[1]
            ends = np.stack([self.row * width + self.start, self.row * width + self.end], axis=1)
            # Every second segment is a gap; the last one may begin beyond the array.
            edges = ends.ravel()
            each = np.maximum.reduceat(
                values.ravel(), edges[:-1] if edges[-1] == values.size else edges
            )
            np.maximum.at(found, self.part, each[::2].astype(np.float64))
        return found

    def mask(self, number: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """A part's pixels in the mask's shape (height, width)."""
        found, own = np.zeros(shape, dtype=bool), self.part == number
        for row, start, end in zip(self.row[own], self.start[own], self.end[own], strict=True):
            found[row, start:end] = True
        return found

    def solidity(self, number: int) -> float:
        """A part's area over the area of its convex hull, of pixels taken as squares."""
        own = self.part == number
        row = self.row[own] - self.row[own].min()
        height = int(row.max()) + 1
        left, right = np.full(height, np.inf), np.full(height, -np.inf)
        np.minimum.at(left, row, self.start[own])
        np.maximum.at(right, row, self.end[own])
        # A pixel's corners lie on the lines above and below it.
        left = np.minimum(np.append(left, np.inf), np.append(np.inf, left))
        right = np.maximum(np.append(right, -np.inf), np.append(-np.inf, right))
        return float(self.area[number] / (_under(-left) + _under(right)))


def connected_parts(mask: NDArray[np.bool_], *, corners: bool) -> Parts:
    """The connected parts of a mask (height, width).

    Args:
        mask: what is in a part.
        corners: whether pixels that touch at a corner are connected, too.
    """
    height, width = mask.shape
    closed = np.zeros((height, width + 2), dtype=bool)
    closed[:, 1:-1] = mask
    # Where a row changes it begins a run or ends one, in turn.
    at = np.flatnonzero(closed[:, 1:] != closed[:, :-1])
    row, start = np.divmod(at[::2], width + 1)
    end = at[1::2] - row * (width + 1)
    root = _roots(*_touching(row, start, end, width, int(corners)), len(row))
    _, part = np.unique(root, return_inverse=True)
    area = np.bincount(part, weights=end - start).astype(np.int64)
    return Parts(row, start, end, part, area)


def _touching(
    row: Integers, start: Integers, end: Integers, width: int, reach: int
) -> tuple[Integers, Integers]:
    """Pairs of runs in neighbouring rows, by their numbers, of which columns meet."""
    # One number for row and column, with room between rows for what reaches over the edge.
    line = width + 3
    starts, ends = row * line + start, row * line + end
    first = np.searchsorted(ends, starts + line - reach, side="right")
    last = np.searchsorted(starts, ends + line + reach, side="left")
    count = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(row)), count)
    within = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    return upper, np.repeat(first, count) + within


def _roots(one: Integers, other: Integers, count: int) -> Integers:
    """For each of `count` things the lowest number among all that pairs connect it with."""
    root = np.arange(count)
    while True:
        left, right = root[one], root[other]
        apart = left != right
        if not apart.any():
            return root
        left, right = left[apart], right[apart]
        np.minimum.at(root, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(shorter := root[root], root):
            root = shorter
        one, other = one[apart], other[apart]


def _under(heights: NDArray[np.float64]) -> float:
    """The area under the upper convex hull of heights that stand one apart."""
    places, tops = np.arange(len(heights), dtype=np.float64), heights
    while len(places) > 2:
        # Whoever stands on or below the line from its left to its right neighbour is no corner of
        # the hull, whoever else goes with it; where nobody does, all that are left are corners.
        rise = (tops[1:-1] - tops[:-2]) * (places[2:] - places[:-2])
        corner = rise > (tops[2:] - tops[:-2]) * (places[1:-1] - places[:-2])
        if corner.all():
            break
        kept = np.concatenate([[True], corner, [True]])
        places, tops = places[kept], tops[kept]
    return float(((tops[1:] + tops[:-1]) / 2 * np.diff(places)).sum())
