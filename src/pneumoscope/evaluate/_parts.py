"""The connected parts of a heatmap at many thresholds at once.

Labelling a 512 x 512 map at 19 thresholds one after the other takes 50 ms. Here each threshold's
parts are joined from runs of pixels, all thresholds in one pass over the places where the map
crosses a threshold, which are few in a smooth map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]

# A longer side is thinned to at most so many pixels; wsolevaluation scores boxes on 224.
_FINEST = 256


def parts(levels: NDArray[np.uint8]) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Tight boxes around the parts that reach each threshold.

    Pixels that touch at a side or a corner are one part (8-connectivity). A side of more than 256
    pixels is thinned to every second, third, ... pixel first.

    Args:
        levels: (h, w), how many of the thresholds, in rising order, each pixel reaches.

    Returns:
        For each part, in no order: its threshold's index, its area in (thinned) pixels, and its
        box x, y, width, height on the grid that came in, shapes (p,), (p,), (p, 4).
    """
    down, across = (-(-side // _FINEST) for side in levels.shape)
    thin = levels[down // 2 :: down, across // 2 :: across]
    height, width = thin.shape
    stride = width + 1
    threshold, start, stop = _runs(thin)
    if not start.size:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 4))
    number, count = _joined(threshold * (height + 1) * stride, start, stop, stride)

    row, left, right = start // stride, start % stride, stop - start // stride * stride
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.arange(count))

    def extreme(function: np.ufunc, values: Ints) -> Ints:
        result: Ints = function.reduceat(values[order], first)
        return result

    top, bottom = extreme(np.minimum, row), extreme(np.maximum, row) + 1
    low, high = extreme(np.minimum, left), extreme(np.maximum, right)
    corners = np.column_stack([low, top, high, bottom]) * (across, down, across, down)
    # The last pixel of a thinned row may stand for fewer pixels than the others.
    corners[:, 2:] = np.minimum(corners[:, 2:], levels.shape[::-1])
    boxes = corners.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return threshold[order][first], extreme(np.add, stop - start), boxes


def _runs(levels: NDArray[np.uint8]) -> tuple[Ints, Ints, Ints]:
    """Runs of pixels in a row that reach a threshold: its index, start, stop.

    Sorted by threshold, then place. Places count along the rows, each with one pixel of
    background after its last.
    """
    padded = np.pad(levels, ((0, 0), (0, 1))).ravel()
    before = np.concatenate([np.zeros(1, np.uint8), padded[:-1]])
    place = np.flatnonzero(padded != before)
    old, new = before[place].astype(np.int64), padded[place].astype(np.int64)

    def crossings(lower: Ints, upper: Ints) -> tuple[Ints, Ints]:
        # A step over several thresholds starts (or ends) one run for each.
        times = np.maximum(upper - lower, 0)
        ends = np.cumsum(times)
        index = np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - times, times)
        threshold = index + np.repeat(lower, times)
        # Numbers below 256 are sorted by counting, which is fast, if they are held as bytes.
        order = np.argsort(threshold.astype(np.uint8), kind="stable")
        return threshold[order], np.repeat(place, times)[order]

    threshold, start = crossings(old, new)
    _, stop = crossings(new, old)
    return threshold, start, stop


def _joined(offset: Ints, start: Ints, stop: Ints, stride: int) -> tuple[Ints, int]:
    """Number of the part that each run belongs to, and how many parts there are."""
    first, last = start + offset, stop + offset
    # A run meets those in the next row that begin no later than it stops and stop no sooner than
    # it begins; equality is a touch at a corner. `offset` keeps thresholds apart.
    low = np.searchsorted(last, first + stride, side="left")
    high = np.searchsorted(first, last + stride, side="right")
    times = np.maximum(high - low, 0)
    ends = np.cumsum(times)
    neighbour = np.arange(ends[-1]) - np.repeat(ends - times - low, times)
    run = np.repeat(np.arange(start.size), times)
    graph = coo_array(
        (np.ones(run.size, np.int8), (run, neighbour)), shape=(start.size, start.size)
    )
    count, number = connected_components(graph, directed=False)
    return number.astype(np.int64), int(count)
