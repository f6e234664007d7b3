from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.findings import Region
from pneumoscope.report.side_by_side import Panel, side_by_side

Picture = NDArray[np.uint8]
FILM = np.full((50, 100), 0.5, dtype=np.float32)
COLD = np.zeros((50, 100), dtype=np.float32)
MARKED = (255, 214, 92)
RING = (90, 235, 255)


def drawn(*panels: Panel, film: NDArray[np.float32] = FILM, columns: int | None = 2) -> Picture:
    return side_by_side(film, panels, title="a.png", note="0.9", columns=columns, tile=200)


def changed(one: Picture, other: Picture) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of where two pictures differ."""
    rows, columns = np.nonzero((one != other).any(axis=2))
    return (
        int(columns.min()),
        int(rows.min()),
        int(columns.max()) + 1,
        int(rows.max()) + 1,
    )


def tile(picture: Picture, panel: int) -> tuple[int, int]:
    """Left and top of a panel's radiograph, found by painting it hot all over."""
    panels = [Panel("m", "n", COLD) for _ in range(3)]
    plain = drawn(*panels)
    panels[panel] = Panel("m", "n", np.ones_like(COLD))
    left, top, right, bottom = changed(plain, drawn(*panels))
    # The radiograph of 100 x 50 pixels is scaled by 2, whole.
    assert (right - left, bottom - top) == (200, 100)
    assert picture.shape == plain.shape
    return left, top


def test_panels_follow_the_film_in_reading_order() -> None:
    picture = drawn(*[Panel("m", "n", COLD) for _ in range(3)])
    first, second, third = (tile(picture, index) for index in range(3))
    assert second[0] < first[0] and second[1] == third[1] > first[1] and third[0] == first[0]
    # Two columns: the bare radiograph takes the first place, in plain gray.
    assert (picture[first[1] : first[1] + 100, second[0] : second[0] + 200] == 128).all()


def test_heat_regions_and_peak_are_where_they_are_on_the_film() -> None:
    plain = drawn(*[Panel("m", "n", COLD) for _ in range(3)])
    left, top = tile(plain, 0)
    others = [Panel("m", "n", COLD)] * 2

    heat = COLD.copy()
    heat[20:30, 60:80] = 1
    hot = drawn(Panel("m", "n", heat), *others)
    box = changed(plain, hot)
    # Twice as large; linear interpolation reaches half a radiograph's pixel further.
    expected = (left + 120, top + 40, left + 160, top + 60)
    assert np.abs(np.subtract(box, expected)).max() <= 2

    region = Region(x=10, y=20, width=30, height=10, score=0.75)
    boxed = drawn(Panel("m", "n", COLD, [region]), *others)
    assert tuple(boxed[top + 40, left + 20]) == tuple(boxed[top + 59, left + 79]) == (255,) * 3

    ringed = drawn(Panel("m", "n", COLD, peak=(50.0, 25.0)), *others)
    rows, columns = np.nonzero((ringed == RING).all(axis=2))
    assert abs(columns.mean() - (left + 100)) <= 1 and abs(rows.mean() - (top + 50)) <= 1
    assert not (plain == RING).all(axis=2).any()


def test_only_the_own_method_is_framed() -> None:
    plain = drawn(*[Panel("m", "n", COLD) for _ in range(3)])
    left, top = tile(plain, 1)
    marked = drawn(Panel("m", "n", COLD), Panel("m", "n", COLD, marked=True), Panel("m", "n", COLD))
    assert not (plain == MARKED).all(axis=2).any()
    for x, y in ((left - 1, top + 50), (left + 200, top + 50), (left + 100, top + 100)):
        assert tuple(marked[y, x]) == MARKED
    # The frame lies around the radiograph, not on it.
    assert (marked[top : top + 100, left : left + 200] == 128).all()


def test_small_and_large_films_look_alike() -> None:
    small, large = (np.full((50 * k, 100 * k), 0.25, dtype=np.float32) for k in (1, 9))
    heat_small, heat_large = (np.zeros_like(film) for film in (small, large))
    a = drawn(Panel("m", "n", heat_small), film=small)
    b = drawn(Panel("m", "n", heat_large), film=large)
    assert a.shape == b.shape
    # Only the radiograph's size in the caption differs.
    top = changed(a, b)[3]
    assert (a[top:] == b[top:]).all() and (a[top:] == 64).any()


def test_a_tall_narrow_film_and_long_names_fit() -> None:
    film = np.zeros((400, 20), dtype=np.float32)
    picture = drawn(Panel("method " * 50, "note " * 50, film), film=film, columns=None)
    assert picture.shape[1] == 2 * (100 + 14) + 14


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="one \\(h, w\\)"):
        drawn(Panel("m", "n", np.zeros((10, 10), dtype=np.float32)))
    with pytest.raises(ValueError, match="columns"):
        drawn(Panel("m", "n", COLD), columns=0)
