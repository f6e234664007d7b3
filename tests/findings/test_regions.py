from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pneumoscope.errors import SettingsError
from pneumoscope.findings import find_regions

Heat = NDArray[np.float32]


def blank(height: int = 40, width: int = 60) -> Heat:
    return np.zeros((height, width), dtype=np.float32)


def blob(height: int, width: int, row: float, column: float, radius: float) -> Heat:
    rows, columns = np.mgrid[0:height, 0:width]
    distance = ((rows - row) ** 2 + (columns - column) ** 2) / radius**2
    heat: Heat = np.exp(-distance).astype(np.float32)
    return heat


def test_box_is_tight_and_counts_pixels() -> None:
    heat = blank()
    heat[5:9, 10:30] = 0.8
    (region,) = find_regions(heat)
    assert (region.x, region.y, region.width, region.height) == (10, 5, 20, 4)
    assert region.score == pytest.approx(0.8)


def test_a_box_may_touch_every_edge_of_the_film() -> None:
    heat = blank()
    heat[0, :] = heat[-1, :] = heat[:, 0] = heat[:, -1] = 0.9
    (region,) = find_regions(heat)
    assert (region.x, region.y, region.width, region.height) == (0, 0, 60, 40)


def test_parts_touching_at_a_corner_are_one() -> None:
    heat = blank()
    heat[5:10, 5:10] = 0.7
    heat[10:15, 10:15] = 0.7
    heat[30:35, 40:45] = 0.6
    first, second = find_regions(heat)
    assert (first.x, first.y, first.width, first.height) == (5, 5, 10, 10)
    assert (second.x, second.y) == (40, 30)


def test_strongest_first_and_no_more_than_asked_for() -> None:
    heat = blank(60, 60)
    for number, score in enumerate((0.6, 0.9, 0.7, 1.0, 0.8)):
        heat[10 * number : 10 * number + 6, 20:26] = score
    scores = [region.score for region in find_regions(heat, max_regions=3)]
    assert scores == pytest.approx([1.0, 0.9, 0.8])


def test_equal_scores_put_the_larger_part_first() -> None:
    heat = blank()
    heat[2:6, 2:6] = 0.8
    heat[20:30, 20:40] = 0.8
    assert [region.width for region in find_regions(heat)] == [20, 4]


def test_first_region_holds_the_peak() -> None:
    heat = np.maximum(0.9 * blob(80, 80, 20, 20, 15), blob(80, 80, 60, 55, 6))
    first = find_regions(heat)[0]
    assert first.x <= 55 < first.x + first.width
    assert first.y <= 60 < first.y + first.height


def test_small_parts_are_dropped_by_area_not_by_box() -> None:
    heat = blank(100, 100)
    heat[np.arange(50), np.arange(50)] = 0.9  # a thin diagonal: 50 pixels in a box of 2,500
    heat[80:90, 80:90] = 0.8
    (region,) = find_regions(heat, min_area=0.006)
    assert region.x == 80
    assert len(find_regions(heat, min_area=0.005)) == 2


def test_score_is_of_the_part_not_of_its_box() -> None:
    heat = blank()
    heat[5, 5:25] = heat[5:25, 5] = 0.6  # an L whose box encloses the next part
    heat[15:20, 15:20] = 0.9
    assert [round(region.score, 2) for region in find_regions(heat)] == [0.9, 0.6]


@pytest.mark.parametrize("value", [0.0, 0.3, 0.7, 1.0, np.nan])
def test_a_flat_map_is_no_evidence(value: float) -> None:
    assert find_regions(np.full((30, 30), value, dtype=np.float32)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_map_is_no_evidence(value: float) -> None:
    heat = blob(30, 30, 15, 15, 8)
    assert find_regions(heat)
    heat[0, 0] = value
    assert find_regions(heat) == []


def test_threshold_itself_counts() -> None:
    heat = blank()
    heat[5:15, 5:15] = 0.7
    assert len(find_regions(heat, threshold=0.7)) == 1
    assert find_regions(heat, threshold=0.71) == []


@pytest.mark.parametrize(
    "setting",
    [
        {"threshold": 0.0},
        {"threshold": 1.5},
        {"min_area": -0.1},
        {"min_area": 2},
        {"max_regions": 0},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        find_regions(blank(), **setting)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 4), (0, 4)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a heatmap is"):
        find_regions(np.zeros(shape, dtype=np.float32))


@settings(max_examples=60)
@given(st.integers(0, 2**31 - 1), st.floats(0.05, 0.95))
def test_agrees_with_scikit_image(seed: int, threshold: float) -> None:
    from skimage.measure import label, regionprops

    heat = np.random.default_rng(seed).random((12, 17)).astype(np.float32)
    parts = regionprops(label(heat >= threshold, connectivity=2))  # type: ignore[no-untyped-call]
    boxes = [part.bbox for part in parts if part.area >= 3]  # first row, first column, ends
    expected = sorted((box[1], box[0], box[3] - box[1], box[2] - box[0]) for box in boxes)
    found = find_regions(heat, threshold=threshold, min_area=3 / heat.size, max_regions=1000)
    assert sorted((r.x, r.y, r.width, r.height) for r in found) == expected
