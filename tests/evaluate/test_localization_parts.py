"""The parts of a map at many thresholds, and the overlap of boxes, against public code."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pneumoscope.evaluate import _parts, _pixels, box_overlap


def labelled(levels: NDArray[np.uint8]) -> Counter[tuple[int, ...]]:
    """Threshold, area and box of each part, by scipy, one threshold after the other."""
    found: Counter[tuple[int, ...]] = Counter()
    for threshold in range(len(_pixels.THRESHOLDS)):
        numbers, _ = ndimage.label(levels > threshold, structure=np.ones((3, 3)))
        areas = np.bincount(numbers.ravel())[1:]
        for area, (y, x) in zip(areas, ndimage.find_objects(numbers), strict=True):
            box = (x.start, y.start, x.stop - x.start, y.stop - y.start)
            found[threshold, int(area), *box] += 1
    return found


def smooth(height: int, width: int, seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).random((height, width))
    heat = ndimage.gaussian_filter(noise, 1.5)
    heat = (heat - heat.min()) / max(float(np.ptp(heat)), 1e-9)
    return np.asarray(heat, dtype=np.float32)


@pytest.mark.parametrize("kind", ["smooth", "noise", "steps", "full", "stripes", "diagonal"])
@pytest.mark.parametrize(("height", "width"), [(40, 57), (1, 30), (30, 1), (1, 1), (64, 64)])
def test_parts_are_those_of_scipy(kind: str, height: int, width: int) -> None:
    noise = np.random.default_rng(1).random((height, width))
    row, column = np.indices((height, width))
    heat = {
        "smooth": smooth(height, width, 0),
        "noise": noise,
        "steps": np.round(noise * 3) / 3,
        "full": np.ones((height, width)),
        "stripes": column % 2,
        "diagonal": (row + column) % 2,  # joined at corners only
    }[kind]
    levels = _pixels.levels(np.asarray(heat, dtype=np.float32))
    threshold, area, boxes = _parts.parts(levels)
    assert boxes.shape == (threshold.size, 4)
    found = Counter(
        (int(t), int(a), *map(int, box)) for t, a, box in zip(threshold, area, boxes, strict=True)
    )
    assert found == labelled(levels)


def test_a_map_without_heat_has_no_part() -> None:
    threshold, area, boxes = _parts.parts(np.zeros((20, 20), dtype=np.uint8))
    assert threshold.size == area.size == 0 and boxes.shape == (0, 4)


def test_fine_grids_are_thinned_by_no_more_than_a_step() -> None:
    heat = np.zeros((1001, 700), dtype=np.float32)
    heat[100:300, 50:450] = 1.0
    heat[900:1001, 600:700] = 0.6
    threshold, _, boxes = _parts.parts(_pixels.levels(heat))
    at_half = boxes[threshold == _pixels.THRESHOLDS.index(0.5)]
    assert np.abs(at_half - [[50, 100, 400, 200], [600, 900, 100, 101]]).max() <= 4
    assert ((at_half[:, :2] + at_half[:, 2:]).max(axis=0) <= [700, 1001]).all()
    strip = _parts.parts(np.ones((1, 1003), dtype=np.uint8))[2]
    assert strip.tolist() == [[0, 0, 1003, 1]]


def test_iou_is_that_of_torchvision() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("pneumoscope.models")  # declares what torchvision misses
    box_iou = pytest.importorskip("torchvision.ops").box_iou
    rng = np.random.default_rng(0)
    boxes, others = (
        np.hstack([rng.random((n, 2)) * 50, 1 + rng.random((n, 2)) * 40]) for n in (7, 9)
    )
    iou, _ = box_overlap.overlaps(boxes, others)
    corners = [torch.tensor(np.hstack([b[:, :2], b[:, :2] + b[:, 2:]])) for b in (boxes, others)]
    assert iou.shape == (7, 9) and 0.0 < iou.max() < 1.0
    np.testing.assert_allclose(iou, box_iou(*corners).numpy(), atol=1e-12)


def test_iobb_is_the_part_of_the_region_that_lies_in_the_lesion() -> None:
    lesion = np.array([[0.0, 0.0, 10.0, 10.0]])
    regions = np.array([[2.0, 2.0, 1.0, 1.0], [5.0, 0.0, 10.0, 10.0], [0.0, 0.0, 20.0, 20.0]])
    iou, iobb = box_overlap.overlaps(lesion, regions)
    assert iobb.tolist() == [[1.0, 0.5, 0.25]]
    assert iou.tolist() == [[0.01, 50 / 150, 0.25]]
    assert box_overlap.overlaps(lesion, np.empty((0, 4)))[0].shape == (1, 0)


def test_centres() -> None:
    lesion = np.array([[0.0, 0.0, 10.0, 10.0]])
    regions = np.array([[8.0, 8.0, 4.0, 4.0], [8.0, 8.0, 4.1, 4.0], [-20.0, -20.0, 50.0, 50.0]])
    assert box_overlap.centred_in(lesion, regions).tolist() == [[True, False, True]]
