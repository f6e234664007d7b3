"""Connected parts are those that scipy finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from pneumoscope.components import connected_parts

Mask = NDArray[np.bool_]
masks: Any = arrays(
    np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans()
)


def check(mask: Mask, corners: bool) -> None:
    """Everything is as scipy says."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)) if corners else None)
    values = np.random.default_rng(0).random(mask.shape)
    found = connected_parts(mask, corners=corners)
    assert len(found.area) == count
    painted = np.zeros(mask.shape, dtype=int)
    for row, start, end, part in zip(found.row, found.start, found.end, found.part, strict=True):
        painted[row, start:end] = part + 1
    np.testing.assert_array_equal(painted > 0, mask)
    highest, boxes = found.highest(values), found.boxes()
    for number in range(count):
        name = labels[painted == number + 1][0]
        inside = labels == name
        np.testing.assert_array_equal(painted == number + 1, inside)
        assert found.area[number] == inside.sum()
        assert highest[number] == values[inside].max()
        top, left, height, width = boxes[number]
        assert ndimage.find_objects(labels)[name - 1] == (
            slice(top, top + height), slice(left, left + width)
        )  # fmt: skip
        rows, columns = np.nonzero(inside)
        points = [(r + dr, c + dc) for r, c in zip(rows, columns, strict=True)
                  for dr in (0, 1) for dc in (0, 1)]  # fmt: skip
        hull = ConvexHull(np.array(points, dtype=float)).volume
        assert found.solidity(number) == pytest.approx(inside.sum() / hull)


@settings(max_examples=150)
@given(mask=masks, corners=st.booleans())
def test_parts_areas_boxes_peaks_and_solidity(mask: Mask, corners: bool) -> None:
    check(mask, corners)


@pytest.mark.parametrize("corners", [True, False])
def test_shapes_that_join_late(corners: bool) -> None:
    rows, columns = np.mgrid[:60, :70] - 30.5
    angle, radius = np.arctan2(rows, columns), np.hypot(rows, columns)
    spiral = (radius - angle * 4 / np.pi) % 8 < 4
    comb = np.zeros((40, 61), bool)
    comb[:, ::2] = True
    comb[-1] = True
    noise = np.random.default_rng(1).random((80, 90))
    for mask in (spiral, ~spiral, comb, noise > 0.4, noise > 0.6, noise > 0.97, noise > 2):
        check(mask, corners)
    stairs = np.eye(30, dtype=bool)
    assert len(connected_parts(stairs, corners=corners).area) == (1 if corners else 30)
