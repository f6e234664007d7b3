"""Lung masks: tidied, judged, compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.components import connected_parts

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How well a found mask covers a drawn one; both figures in [0, 1], 1 when both are empty."""

    dice: float
    iou: float


def overlap(found: Mask, drawn: Mask) -> Overlap:
    """Dice coefficient and intersection over union of two masks (height, width)."""
    if found.shape != drawn.shape:
        raise ValueError(f"masks differ in shape: {found.shape} and {drawn.shape}")
    both = int((found & drawn).sum())
    total = int(found.sum()) + int(drawn.sum())
    if total == 0:
        return Overlap(1.0, 1.0)
    return Overlap(2 * both / total, both / (total - both))


def two_largest(probability: NDArray[np.floating[Any]], level: float = 0.5) -> Mask:
    """The two largest connected parts at or above `level`, holes filled.

    Args:
        probability: (height, width) in [0, 1].
        level: what counts as lung.

    Returns:
        (height, width) bool; all False where nothing reaches the level.
    """
    from scipy import ndimage

    labels, count = ndimage.label(probability >= level)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    keep = np.argsort(areas)[::-1][:2]
    kept: Mask = np.isin(labels, keep[areas[keep] > 0])
    filled: Mask = ndimage.binary_fill_holes(kept)
    return filled


MIN_AREA, MAX_AREA = 0.06, 0.7
MIN_SMALLER = 0.35
MIN_SOLIDITY = 0.65


def plausible(mask: Mask) -> bool:
    """Whether a mask on a radiograph may be a frontal chest's two lungs; if not, none were found.

    The limits lie outside what 827 hand-drawn masks of children and adults show, by a margin for
    imperfect answers: area share .09 to .63, smaller lung over larger at least .61, solidity at
    least .75. A chest with one lung (pneumonectomy) is refused on purpose: two are expected.

    It judges the mask's shape, not the picture: noise, blank pictures and most limbs give no such
    mask, but a bright disc on black does. It is no detector of chests.

    Args:
        mask: (height, width) bool on the radiograph's own pixels.

    Returns:
        True when the lungs cover `MIN_AREA` to `MAX_AREA` of the radiograph, the second largest
        part has at least `MIN_SMALLER` of the largest's area, and both fill `MIN_SOLIDITY` of their
        convex hulls (a lung is a compact body, stray patches are not).
    """
    if not MIN_AREA <= np.count_nonzero(mask) / mask.size <= MAX_AREA:
        return False
    parts = connected_parts(mask, corners=False)
    if len(parts.area) < 2:
        return False
    second, first = np.argsort(parts.area)[-2:]
    if parts.area[second] < MIN_SMALLER * parts.area[first]:
        return False
    return all(parts.solidity(int(part)) >= MIN_SOLIDITY for part in (first, second))
