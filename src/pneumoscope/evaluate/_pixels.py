"""Figures of single pixels: peaks, overlap at many thresholds, histograms of heat."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate._weighted import ratio

Heat = NDArray[np.float32]
Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
Evidence = Literal["heat", "flat", "nan"]

THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Heat thresholds at which maps are scored: 0.05, 0.10, ..., 0.95."""

BINS = 256
"""Bins of heat: [0, 1/256), ..., [255/256, 1]."""

# Relative to the largest value: a spread this small is interpolation noise, no evidence.
_FLAT = 1e-6
# How far rounding may take heat out of [0, 1].
_ROUNDING = 1e-4
# A peak is at the border if it is nearer to the radiograph's edge than this part of the side.
_BORDER = 0.05


def read_heat(heatmap: ArrayLike) -> tuple[Heat, Evidence]:
    """The heatmap as float32 in [0, 1], and what it says.

    A map that is flat or not finite says nothing: it comes back as zeros.

    Raises:
        EvaluationError: not (h, w), empty, or outside [0, 1].
    """
    heat = np.asarray(heatmap, dtype=np.float32)
    if heat.ndim != 2 or heat.size == 0:
        raise EvaluationError(
            f"a heatmap has shape {heat.shape} instead of (height, width)",
            remedy="score one heatmap at a time, on the radiograph's own pixel grid",
        )
    low, high = float(heat.min()), float(heat.max())
    # NaN propagates through min and max, so these two numbers vouch for every pixel.
    if not (np.isfinite(low) and np.isfinite(high)):
        return np.zeros_like(heat), "nan"
    if low < -_ROUNDING or high > 1.0 + _ROUNDING:
        raise EvaluationError(
            f"a heatmap reaches from {low:g} to {high:g}, outside [0, 1]",
            remedy="divide it by its largest value, 0 staying no evidence",
        )
    if high - low <= _FLAT * max(abs(high), abs(low)):
        return np.zeros_like(heat), "flat"
    if low < 0.0 or high > 1.0:
        heat = np.clip(heat, 0.0, 1.0)
    return heat, "heat"


def same_grid(heat: Heat, mask: Mask, name: str) -> None:
    """Refuse a mask on another grid.

    Raises:
        EvaluationError: the shapes differ.
    """
    if heat.shape != mask.shape:
        raise EvaluationError(
            f"heatmap has shape {heat.shape} but {name} {mask.shape}",
            remedy="bring both to the radiograph's own pixel grid, (height, width)",
        )


def peaks(heat: Heat) -> NDArray[np.int64]:
    """Places of the maxima along the rows, (n,)."""
    return np.flatnonzero(heat == heat.max())


def border_share(places: NDArray[np.int64], height: int, width: int) -> float:
    """Part of the pixels whose centre is within 5 % of the side of the radiograph's edge."""
    row, column = (places // width + 0.5) / height, (places % width + 0.5) / width
    edge = np.minimum(np.minimum(row, 1.0 - row), np.minimum(column, 1.0 - column))
    return float(np.mean(edge < _BORDER))


def energy_share(heat: Heat, mask: Mask) -> float:
    """Part of the heat that lies in the mask (energy-based pointing, Wang et al. 2020)."""
    inside = float(heat[mask].sum(dtype=np.float64))
    return inside / float(heat.sum(dtype=np.float64))


def levels(heat: Heat) -> NDArray[np.uint8]:
    """(h, w): how many of `THRESHOLDS` each pixel reaches (is at least)."""
    reached = np.zeros(heat.shape, dtype=np.uint8)
    for threshold in THRESHOLDS:
        reached += heat >= threshold
    return reached


def threshold_ious(reached: NDArray[np.uint8], mask: Mask) -> Array:
    """IoU of the pixels that reach each threshold with the mask, (thresholds,)."""
    bins = len(THRESHOLDS) + 1
    every = np.bincount(reached.ravel(), minlength=bins)
    inside = np.bincount(reached[mask], minlength=bins)
    hot, hit = (np.cumsum(counts[::-1])[::-1][1:] for counts in (every, inside))
    return np.asarray(hit / (hot + inside.sum() - hit), dtype=np.float64)


def otsu_mask(heat: Heat) -> Mask:
    """Pixels above Otsu's threshold of the map stretched to 0 to 255, as CheXlocalize cuts maps.

    The threshold (Otsu 1979) parts the histogram so that the variance between both sides is
    largest; of equals the lowest one, as OpenCV takes. `heat` is not flat.
    """
    low = heat - heat.min()
    levels = (np.float32(255) * (low / low.max())).astype(np.uint8)
    counts = np.bincount(levels.ravel(), minlength=BINS).astype(np.float64) / heat.size
    below, moment = np.cumsum(counts), np.cumsum(counts * np.arange(BINS))
    inner = np.minimum(below, 1.0 - below) > np.finfo(np.float32).eps
    between = np.zeros(BINS)
    gap = moment[-1] * below[inner] - moment[inner]
    between[inner] = gap**2 / (below[inner] * (1.0 - below[inner]))
    return np.asarray(levels > np.argmax(between), dtype=np.bool_)


def mask_iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks, of which one has a pixel."""
    shared = np.count_nonzero(first & second)
    return shared / (np.count_nonzero(first) + np.count_nonzero(second) - shared)


def histograms(heat: Heat, mask: Mask) -> NDArray[np.int64]:
    """Pixels by heat, (2, BINS): outside the mask, and in it."""
    bins = np.minimum((heat * np.float32(BINS)).astype(np.int16), BINS - 1)
    every = np.bincount(bins.ravel(), minlength=BINS)
    inside = np.bincount(bins[mask], minlength=BINS)
    return np.stack([every - inside, inside])


def average_precision(outside: Array, inside: Array) -> Array:
    """Area under the precision-recall curve of pixels, from histograms (k, BINS): (k,).

    The step-wise sum over thresholds of (recall gained) x precision, as PxAP of Choe et al. 2020
    and scikit-learn's average precision of heat rounded down to its bin. NaN without lesion.
    """
    hit = np.cumsum(inside[:, ::-1], axis=1)
    hot = hit + np.cumsum(outside[:, ::-1], axis=1)
    precision = np.divide(hit, hot, out=np.zeros_like(hot), where=hot > 0.0)
    return ratio(np.sum(inside[:, ::-1] * precision, axis=1), hit[:, -1])


def area_matched(heat: Heat, mask: Mask) -> float:
    """Part of the hottest pixels that lie in the mask, as many pixels as the mask has.

    Precision and recall are the same here, so that no threshold has to be chosen. Pixels tied at
    the last place share what is left of it: the expected value of breaking ties at random.
    """
    count = int(np.count_nonzero(mask))
    flat = heat.ravel()
    last = np.partition(flat, flat.size - count)[flat.size - count]
    inside = flat[mask.ravel()]
    surely, tied = int(np.count_nonzero(flat > last)), int(np.count_nonzero(flat == last))
    left = (count - surely) / tied
    hits = np.count_nonzero(inside > last) + left * np.count_nonzero(inside == last)
    return float(hits) / count
