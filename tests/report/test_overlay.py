from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pneumoscope.errors import OutputError
from pneumoscope.findings import Region
from pneumoscope.imaging.png import unit_values
from pneumoscope.report.overlay import (
    LESION_COLOUR,
    REGION_COLOUR,
    _colours,
    colour_bar,
    overlay,
    save_heatmap,
    save_overlay,
)

Heat = NDArray[np.float32]


def film(height: int = 90, width: int = 120) -> Heat:
    return np.tile(np.linspace(0.1, 0.9, width, dtype=np.float32), (height, 1))


def test_cold_areas_show_the_bare_film() -> None:
    heat = np.zeros((90, 120), dtype=np.float32)
    heat[40:50, 60:80] = 1
    picture = overlay(film(), heat)
    gray = np.rint(film() * 255)
    cold = heat == 0
    assert picture.shape == (90, 120, 3)
    assert picture.dtype == np.uint8
    for channel in range(3):
        assert np.abs(picture[..., channel][cold] - gray[cold]).max() <= 1
    assert (np.ptp(picture[~cold].astype(int), axis=1) > 20).all()


def test_colour_grows_with_heat() -> None:
    heat = np.tile(np.linspace(0, 1, 120, dtype=np.float32), (90, 1))
    gray = np.full((90, 120), 0.5, dtype=np.float32)
    change = np.abs(overlay(gray, heat).astype(int) - 128).sum(axis=2)[0]
    assert change[0] <= 3
    assert change[-1] > change[60] > change[20]


def test_heat_is_not_stretched() -> None:
    faint = np.full((90, 120), 0.02, dtype=np.float32)
    faint[0, 0] = 0.03
    change = np.abs(overlay(film(), faint).astype(int) - np.rint(film() * 255)[..., None])
    assert change.max() <= 4


def test_the_colour_bar_shows_what_each_heat_looks_like_on_every_film() -> None:
    bar = colour_bar(600)
    middle = bar[bar.shape[0] // 3 - 1].astype(int)
    inside = np.flatnonzero(middle.sum(axis=1) > 0)
    left, right = int(inside[inside > 60].min()), int(inside.max())
    gray = np.full((2, 2), 0.5, dtype=np.float32)
    for heat in (0.1, 0.4, 0.6, 0.9):
        there = middle[round(left + heat * (right - left))]
        drawn = overlay(gray, np.full_like(gray, heat))[0, 0].astype(int)
        assert np.abs(there - drawn).max() <= 3, heat
    # A faint map has the same colours as the faint part of a hot one: nothing is stretched.
    faint, hot = np.full((90, 120), 0.2, np.float32), np.full((90, 120), 0.2, np.float32)
    hot[:45] = 1
    assert np.array_equal(overlay(film(), faint)[45:], overlay(film(), hot)[45:])


def test_opacity_zero_and_nan_heat_leave_the_film() -> None:
    hot = np.ones((90, 120), dtype=np.float32)
    bare = overlay(film(), np.zeros_like(hot))
    assert np.array_equal(overlay(film(), hot, opacity=0), bare)
    assert np.array_equal(overlay(film(), np.full_like(hot, np.nan)), bare)


def test_regions_are_drawn_on_their_own_edge_pixels() -> None:
    region = Region(x=40, y=50, width=30, height=20, score=0.8)
    picture = overlay(film(), np.zeros((90, 120), dtype=np.float32), [region])
    white = np.all(picture == REGION_COLOUR, axis=2)
    assert white[50, 41:69].all() and white[69, 41:69].all()
    assert white[50:70, 40].all() and white[50:70, 69].all()
    assert not white[51:69, 41:69].any()
    assert (picture[49, 40:70] == 0).all()  # the dark halo that makes it stand out


def test_a_region_of_the_whole_film_keeps_its_score_inside() -> None:
    region = Region(x=0, y=0, width=120, height=90, score=1.0)
    picture = overlay(film(), np.zeros((90, 120), dtype=np.float32), [region])
    tag = picture[2:14, 2:30]
    assert (tag == 0).all(axis=2).sum() > 50 and (tag > 200).all(axis=2).sum() > 10


def test_lesion_masks_are_outlined() -> None:
    cold = np.zeros((90, 120), dtype=np.float32)
    mask = np.zeros((90, 120), dtype=np.bool_)
    mask[30:60, 30:60] = True
    blue = np.all(overlay(film(), cold, lesion_mask=mask) == LESION_COLOUR, axis=2)
    assert blue[30, 30:60].all() and blue[59, 30:60].all()
    assert not blue[35:55, 35:55].any() and not blue[~mask].any()


@pytest.mark.parametrize("side", [200, 600, 900])
def test_an_outline_is_the_mask_less_its_erosion(side: int) -> None:
    noise = ndimage.gaussian_filter(
        np.random.default_rng(side).normal(size=(side, side)), side / 30
    )
    mask = noise > 0
    blank = np.zeros((side, side), dtype=np.float32)
    picture = overlay(blank, blank, lesion_mask=mask)
    line = max(1, round(side / 300))
    inner = ndimage.binary_erosion(mask, iterations=line, border_value=1)
    np.testing.assert_array_equal(np.all(picture == LESION_COLOUR, axis=2), mask & ~inner)


def test_wrong_shapes_and_opacity_are_refused() -> None:
    heat = np.zeros((90, 120), dtype=np.float32)
    with pytest.raises(ValueError, match="one \\(h, w\\)"):
        overlay(film(), heat[:-1])
    with pytest.raises(ValueError, match="one \\(h, w\\)"):
        overlay(film(), heat, lesion_mask=np.zeros((9, 12), dtype=np.bool_))
    with pytest.raises(ValueError, match="opacity"):
        overlay(film(), heat, opacity=1.2)


def test_save_overlay_writes_the_same_picture(tmp_path: Path) -> None:
    heat = np.random.default_rng(0).random((90, 120)).astype(np.float32)
    region = Region(x=1, y=2, width=30, height=40, score=0.5)
    save_overlay(tmp_path / "new" / "a.png", film(), heat, [region])
    with Image.open(tmp_path / "new" / "a.png") as image:
        picture = np.asarray(image)
    assert np.array_equal(picture[:90], overlay(film(), heat, [region]))
    assert np.array_equal(picture[90:], colour_bar(120))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_saving_over_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError):
        save_heatmap(tmp_path / "a.png", film())


def test_heatmap_round_trip(tmp_path: Path) -> None:
    heat = np.random.default_rng(1).random((61, 47)).astype(np.float32)
    heat[0, :2] = 0, 1
    save_heatmap(tmp_path / "h.png", heat)
    with Image.open(tmp_path / "h.png") as image:
        loaded = unit_values(image)
    assert loaded.dtype == np.float32
    assert np.abs(loaded - heat).max() <= 0.5 / 65535 + 1e-7
    assert loaded[0, :2].tolist() == [0, 1]
    with Image.open(tmp_path / "h.png") as image:
        assert image.format == "PNG" and image.mode in ("I;16", "I")


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1])
def test_a_heatmap_out_of_range_is_not_saved(tmp_path: Path, value: float) -> None:
    heat = film()
    heat[3, 3] = value
    with pytest.raises(ValueError, match="from 0 to 1"):
        save_heatmap(tmp_path / "h.png", heat)
    with pytest.raises(ValueError, match="is \\(h, w\\)"):
        save_heatmap(tmp_path / "h.png", heat[0])
    assert not list(tmp_path.iterdir())


def test_colours_are_those_of_the_library() -> None:
    from matplotlib import colormaps

    expected = colormaps["inferno"](np.linspace(0, 1, 256))[:, :3] * 255
    np.testing.assert_array_equal(_colours(), np.rint(expected))
