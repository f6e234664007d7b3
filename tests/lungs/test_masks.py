"""Masks tidied, compared and judged: hand-computed cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from pneumoscope.cohort.lung_masks import read_lung_mask, read_lung_table
from pneumoscope.components import connected_parts
from pneumoscope.imaging import read_header
from pneumoscope.lungs import overlap, plausible, two_largest
from pneumoscope.lungs.masks import MIN_SMALLER

Mask = NDArray[np.bool_]


def lungs(left: int = 24, gap: int = 10) -> Mask:
    """Two upright ellipses on 100 x 120 pixels, the second `left` pixels wide."""
    rows, columns = np.mgrid[:100, :120] + 0.5
    first = ((rows - 50) / 36) ** 2 + ((columns - 36) / 18) ** 2 < 1
    centre = 54 + gap + left / 2
    second = ((rows - 50) / 36) ** 2 + ((columns - centre) / (left / 2)) ** 2 < 1
    mask: Mask = first | second
    return mask


def test_overlap_by_hand() -> None:
    found, drawn = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    found[0, :3] = True
    drawn[0, 1:] = True
    drawn[1, :] = True
    agreement = overlap(found, drawn)
    assert agreement.dice == pytest.approx(2 * 2 / (3 + 7))
    assert agreement.iou == pytest.approx(2 / 8)
    empty = np.zeros((4, 4), bool)
    assert (overlap(empty, empty).dice, overlap(empty, empty).iou) == (1, 1)
    assert (overlap(found, empty).dice, overlap(empty, found).iou) == (0, 0)
    assert overlap(found, found).dice == 1
    with pytest.raises(ValueError, match="shape"):
        overlap(found, empty[:3])


def test_the_two_largest_parts_are_kept_and_holes_filled() -> None:
    probability = np.where(lungs(), 0.9, 0.1)
    probability[50, 36] = 0.2
    probability[2:5, 2:5] = 0.8
    np.testing.assert_array_equal(two_largest(probability), lungs())
    assert not two_largest(np.full((9, 9), 0.49)).any()
    one = np.zeros((9, 9))
    one[2:4, 2:4] = 0.5
    np.testing.assert_array_equal(two_largest(one), one > 0)
    assert two_largest(probability, level=0.95).sum() == 0


def test_two_lungs_are_plausible() -> None:
    assert plausible(lungs())
    assert plausible(lungs(left=18, gap=6))
    # On another pixel grid too.
    assert plausible(np.kron(lungs(), np.ones((3, 2), bool)))


def test_what_is_no_pair_of_lungs_is_not() -> None:
    good = lungs()
    first = good.copy()
    first[:, 58:] = False
    assert not plausible(np.zeros_like(good)), "nothing"
    assert not plausible(np.ones_like(good)), "everything"
    assert not plausible(first), "one lung"
    assert not plausible(lungs(gap=-6)), "one part"
    small = lungs(left=8)
    areas = np.sort(np.bincount(ndimage.label(small)[0].ravel())[1:])
    assert areas[0] < MIN_SMALLER * areas[1]
    assert not plausible(small), "a lung and a speck"
    tiny = np.pad(good, 200)
    assert not plausible(tiny), "far too small a share of the picture"
    frame = good & ~ndimage.binary_erosion(good, iterations=5)
    assert frame.mean() > 0.06
    assert not plausible(frame), "outlines"


def _solidity(mask: Mask) -> float:
    return connected_parts(mask, corners=False).solidity(0)


def test_solidity_is_that_of_the_convex_hull() -> None:
    square = np.zeros((9, 9), bool)
    square[2:6, 3:8] = True
    assert _solidity(square) == pytest.approx(1)
    corner = np.zeros((9, 9), bool)
    corner[1:5, 1:3] = corner[3:5, 1:7] = True
    # Area 16; the hull is the 4 x 6 box less the triangle (3, 1), (7, 1), (7, 3): 24 - 4.
    assert _solidity(corner) == pytest.approx(16 / 20)
    part = lungs()
    part[:, 58:] = False
    part[40:60, 30:58] = False
    hull = convex_hull_image(part, offset_coordinates=True)  # type: ignore[no-untyped-call]
    assert _solidity(part) == pytest.approx(part.sum() / hull.sum(), abs=0.02)


@pytest.mark.data
def test_lungs_that_people_drew_are_plausible(data_root: Path) -> None:
    table = data_root / "lungs" / "cohort.csv"
    if not table.is_file():
        pytest.skip("no folder lungs")
    for case in read_lung_table(table)[::10]:
        header = read_header(case.root / case.image)
        drawn = read_lung_mask(case.mask, header.height, header.width)
        assert plausible(two_largest(drawn.astype(np.float32))), case.image
