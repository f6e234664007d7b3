"""How boxes x, y, width, height overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def overlaps(boxes: Array, others: Array) -> tuple[Array, Array]:
    """IoU and IoBB of each box with each other one.

    IoU is the intersection over the union. IoBB is the intersection over the area of the *other*
    box, which is the detected one in Wang et al. 2017 (ChestX-ray8, section 4.2): the purity of a
    region, 1 for any region that lies inside the lesion, however small.

    Args:
        boxes: (k, 4) of x, y, width, height, with an area.
        others: (r, 4) likewise.

    Returns:
        Two arrays (k, r) in [0, 1].
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(
        boxes[:, None, :2] + boxes[:, None, 2:], others[None, :, :2] + others[None, :, 2:]
    )
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    area, other = np.prod(boxes[:, 2:], axis=1), np.prod(others[:, 2:], axis=1)
    return shared / (area[:, None] + other - shared), shared / other


def centred_in(boxes: Array, others: Array) -> NDArray[np.bool_]:
    """Whether the centre of each other box (r, 4) lies in each box (k, 4): (k, r)."""
    centres = others[None, :, :2] + others[None, :, 2:] / 2.0
    low = boxes[:, None, :2]
    inside = (centres >= low) & (centres <= low + boxes[:, None, 2:])
    return np.asarray(inside.all(axis=2), dtype=np.bool_)


def best(values: Array) -> Array:
    """Largest of each row of (k, r); 0 where there is no column."""
    return np.asarray(np.max(values, axis=1, initial=0.0), dtype=np.float64)
