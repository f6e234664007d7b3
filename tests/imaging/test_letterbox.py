from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.imaging import Letterbox, Orientation, Radiograph, model_input

SIDE = st.integers(1, 5000)
SIZE = st.integers(1, 1024)
PLACE = st.floats(-1000, 6000)
EXTENT = st.floats(0, 6000)


@given(SIDE, SIDE, SIZE)
def test_the_film_lies_inside_the_square_and_touches_two_sides(h: int, w: int, size: int) -> None:
    box = Letterbox.fit(h, w, size)
    assert max(box.content_height, box.content_width) == size
    assert 0 <= box.top <= box.top + box.content_height <= size
    assert 0 <= box.left <= box.left + box.content_width <= size
    assert abs(2 * box.top + box.content_height - size) <= 1
    scale = size / max(h, w)
    assert abs(box.content_height - max(1, h * scale)) <= 0.5
    assert abs(box.content_width - max(1, w * scale)) <= 0.5


@given(SIDE, SIDE, SIZE, PLACE, PLACE, EXTENT, EXTENT)
def test_boxes_go_there_and_back(
    h: int, w: int, size: int, x: float, y: float, bw: float, bh: float
) -> None:
    letterbox = Letterbox.fit(h, w, size)
    there = letterbox.box_to_model((x, y, bw, bh))
    assert letterbox.box_to_film(there) == pytest.approx((x, y, bw, bh), rel=1e-9, abs=1e-9 * h * w)
    whole = letterbox.box_to_model((0, 0, w, h))
    assert whole == pytest.approx(
        (letterbox.left, letterbox.top, letterbox.content_width, letterbox.content_height)
    )
    assert letterbox.box_to_film(whole) == pytest.approx((0, 0, w, h), abs=1e-9)


@pytest.mark.parametrize("sides", [(0, 4, 4), (4, -1, 4), (4, 4, 0)])
def test_empty_sides_are_refused(sides: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Letterbox.fit(*sides)


def test_a_film_that_fits_passes_through() -> None:
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    assert Letterbox.fit(64, 64, 64).apply(pixels) is pixels


def test_the_margin_is_black_and_the_film_keeps_its_mean() -> None:
    pixels = np.full((100, 50), 0.7, np.float32)
    letterbox = Letterbox.fit(100, 50, 40)
    square = letterbox.apply(pixels)
    assert square.shape == (40, 40)
    assert (letterbox.top, letterbox.left, letterbox.content_width) == (0, 10, 20)
    np.testing.assert_array_equal(square[:, 10:30], np.float32(0.7))
    assert square[:, :10].max() == square[:, 30:].max() == 0


def test_reduction_averages_instead_of_skipping() -> None:
    checkers = (np.indices((512, 512)).sum(axis=0) % 2).astype(np.float32)
    square = Letterbox.fit(512, 512, 64).apply(checkers)
    np.testing.assert_allclose(square[2:-2, 2:-2], 0.5, atol=0.01)


def test_pixels_of_another_film_are_refused() -> None:
    with pytest.raises(ValueError, match="radiograph is 8 x 6"):
        Letterbox.fit(8, 6, 4).apply(np.zeros((6, 8), np.float32))


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64), st.integers(0, 99))
def test_values_stay_within_what_went_in(h: int, w: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.random((h, w), dtype=np.float32)
    letterbox = Letterbox.fit(h, w, size)
    square = letterbox.apply(pixels)
    assert square.min() >= 0
    assert square.max() <= pixels.max()
    grid = random.normal(size=(random.integers(1, 9), random.integers(1, 9)))
    film = letterbox.to_film(grid)
    assert film.shape == (h, w)
    assert film.dtype == np.float32
    assert film.min() >= np.float32(grid.min())
    assert film.max() <= np.float32(grid.max())


def brute_force(letterbox: Letterbox, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear by definition, one radiograph pixel at a time."""
    film = np.zeros((letterbox.height, letterbox.width))
    rows, columns = grid.shape
    for i in range(letterbox.height):
        for j in range(letterbox.width):
            y = (letterbox.top + (i + 0.5) * letterbox.scale_y) * rows / letterbox.size - 0.5
            x = (letterbox.left + (j + 0.5) * letterbox.scale_x) * columns / letterbox.size - 0.5
            y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1)
            above = grid[y0, x0] * (1 - (x - x0)) + grid[y0, x1] * (x - x0)
            below = grid[y1, x0] * (1 - (x - x0)) + grid[y1, x1] * (x - x0)
            film[i, j] = above * (1 - (y - y0)) + below * (y - y0)
    return film


@pytest.mark.parametrize(("h", "w", "size"), [(31, 47, 28), (60, 20, 32), (9, 9, 64), (14, 14, 14)])
@pytest.mark.parametrize("shape", [(7, 7), (1, 1), (2, 5), (14, 14), (1, 6)])
def test_heatmaps_follow_the_definition(h: int, w: int, size: int, shape: tuple[int, int]) -> None:
    grid = np.random.default_rng(1).random(shape)
    letterbox = Letterbox.fit(h, w, size)
    np.testing.assert_allclose(letterbox.to_film(grid), brute_force(letterbox, grid), atol=1e-5)


def test_a_heatmap_on_the_films_own_grid_is_unchanged() -> None:
    grid = np.random.default_rng(2).random((32, 32), dtype=np.float32)
    np.testing.assert_allclose(Letterbox.fit(32, 32, 32).to_film(grid), grid, atol=1e-6)


def test_a_peak_lands_where_its_box_lands() -> None:
    letterbox = Letterbox.fit(300, 200, 224)
    grid = np.zeros((7, 7))
    grid[2, 4] = 1
    x, y, width, height = letterbox.box_to_film((4 * 32, 2 * 32, 32, 32))
    film = letterbox.to_film(grid)
    row, column = np.unravel_index(int(film.argmax()), film.shape)
    assert y <= row < y + height
    assert x <= column < x + width
    assert abs(row + 0.5 - (y + height / 2)) < 1
    assert abs(column + 0.5 - (x + width / 2)) < 1


def test_a_heatmap_without_a_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="heatmap"):
        Letterbox.fit(8, 8, 8).to_film(np.zeros((1, 2, 2)))


@given(st.integers(1, 80))
@settings(max_examples=30)
def test_model_input_keeps_8_bit_films_of_its_size(size: int) -> None:
    stored = np.random.default_rng(size).integers(0, 256, (size, size), dtype=np.uint8)
    film = Radiograph((stored / np.float32(255)).astype(np.float32), Path("film.png"))
    square, _ = model_input(film, size)
    assert np.array_equal(square, stored)


def test_model_input_letterboxes_and_rounds() -> None:
    film = Radiograph(np.full((80, 120), 0.5, np.float32), Path("film.png"))
    square, letterbox = model_input(film, 60)
    assert square.shape == (60, 60)
    assert letterbox == Letterbox.fit(80, 120, 60)
    assert set(np.unique(square)) == {0, 128}


@pytest.mark.parametrize(("height", "width"), [(200, 400), (400, 200), (300, 300)])
@pytest.mark.parametrize("aspect", [2.0, 0.5, 1.3])
def test_pixels_that_are_not_square_keep_the_proportions_of_the_body(
    height: int, width: int, aspect: float
) -> None:
    """A disc on the body is a disc on the model's square, and comes back to its own pixels."""
    rows, columns = np.mgrid[:height, :width]
    middle_row, middle_column = height / 2, width / 2
    radius = 0.3 * min(height * aspect, width)
    disc = np.hypot((rows + 0.5 - middle_row) * aspect, columns + 0.5 - middle_column) <= radius
    film = Radiograph(disc.astype(np.float32), Path("disc"), aspect=aspect)
    square, letterbox = model_input(film, 224)
    seen = np.argwhere(square > 127)
    tall, wide = seen.max(axis=0) - seen.min(axis=0) + 1
    assert abs(tall - wide) <= 2
    assert tall == pytest.approx(2 * radius * letterbox.scale_x, abs=2)
    back = letterbox.to_film(square.astype(np.float32)) > 127
    assert (back & disc).sum() / (back | disc).sum() > 0.95
    box = letterbox.box_to_film(letterbox.box_to_model((10, 20, 30, 40)))
    assert box == pytest.approx((10, 20, 30, 40))


def test_a_film_on_its_side_turns_its_pixels_too() -> None:
    lying = Radiograph(
        np.zeros((100, 50), np.float32),
        Path("film"),
        spacing=(0.4, 0.2),
        aspect=2.0,
        orientation=Orientation(transposed=True, stated=True),
    )
    upright = lying.upright()
    assert (upright.height, upright.width) == (50, 100)
    assert (upright.spacing, upright.aspect) == ((0.2, 0.4), 0.5)


def test_a_large_film_is_averaged_in_blocks_first() -> None:
    rows, columns = np.ogrid[:1600, :1200]
    film = (0.5 + 0.4 * np.sin(rows / 40) * np.cos(columns / 50)).astype(np.float32)
    quick = Letterbox.fit(1600, 1200, 100).apply(film)
    # 16 to 1 by one wide filter, and by blocks of 8 and the same filter of 2 to 1.
    exact = Image.fromarray(film).resize((75, 100), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(quick[:, 12:87], np.asarray(exact), atol=0.01)
    blocks = film.reshape(200, 8, 150, 8).mean(axis=(1, 3))
    expected = Image.fromarray(blocks).resize((75, 100), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(quick[:, 12:87], np.asarray(expected), atol=1e-5)


def test_twice_the_square_is_resampled_at_once() -> None:
    film = np.random.default_rng(0).random((512, 400)).astype(np.float32)
    expected = Image.fromarray(film).resize((200, 256), Image.Resampling.BILINEAR)
    square = Letterbox.fit(512, 400, 256).apply(film)
    np.testing.assert_array_equal(
        square[:, 28:228], np.asarray(expected).clip(film.min(), film.max())
    )


@given(SIDE, SIDE, SIZE, st.integers(1, 2000))
def test_a_part_of_the_size_covers_the_same_places(h: int, w: int, size: int, longest: int) -> None:
    whole = Letterbox.fit(h, w, size)
    part = whole.within(longest)
    assert max(part.height, part.width) == min(longest, max(h, w))
    corner = part.box_to_model((0, 0, part.width, part.height))
    assert corner == pytest.approx(whole.box_to_model((0, 0, w, h)))
    assert (part is whole) == (longest >= max(h, w))
