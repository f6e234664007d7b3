"""Lung masks and their tables; the shape radiographs had before they were squashed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.cohort.lung_masks import read_lung_mask, read_lung_table
from pneumoscope.cohort.original_sizes import read_sizes, unsquashed
from pneumoscope.errors import CohortError
from pneumoscope.imaging import Letterbox


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_masks_of_every_kind_are_read(tmp_path: Path, mode: str) -> None:
    truth = np.zeros((6, 9), bool)
    truth[1:4, 2:7] = True
    image = Image.fromarray(np.where(truth, 255, 0).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_lung_mask(tmp_path / "mask.png", 6, 9), truth)


def test_gray_edges_are_cut_at_half(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "mask.png")
    found = read_lung_mask(tmp_path / "mask.png", 1, 4)
    assert found.tolist() == [[False, False, True, True]]


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("L", (9, 6)).save(path)
    with pytest.raises(CohortError, match="9 x 6 pixels, its radiograph 6 x 9"):
        read_lung_mask(path, 9, 6)
    path.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(CohortError, match="cannot be read as a mask"):
        read_lung_mask(path, 6, 9)
    with pytest.raises(CohortError, match="cannot be read as a mask"):
        read_lung_mask(tmp_path / "absent.png", 6, 9)


def test_a_table_is_read_with_its_extra_columns(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text("image,mask,patient,view\na/1.png,m\\1.png,p1,PA\n./2.png,m/2.png,p2,AP\n")
    first, second = read_lung_table(path)
    assert (first.image, first.mask, first.patient) == ("a/1.png", tmp_path / "m/1.png", "p1")
    assert (second.image, second.extra, second.original) == ("2.png", {"view": "AP"}, None)
    path.write_text("image;mask;patient;orig_width;orig_height\n1.png;1.png;p;300;200\n")
    (only,) = read_lung_table(path)
    assert (only.original, only.extra) == ((200, 300), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,patient\n1.png,p\n", "column mask is missing"),
        ("image,mask,mask,patient\n1.png,m.png,m.png,p\n", "column mask is there twice"),
        ("image,mask,patient\n", "has no rows"),
        ("image,mask,patient\n1.png,m.png, \n", "line 2"),
        ("image,mask,patient\n1.png,m.png,p\n1.png\n", "line 3"),
        ("image,mask,patient\n../1.png,m.png,p\n", "leads out"),
        ("image,mask,patient,orig_width,orig_height\n1.png,m.png,p,0,5\n", "'0' x '5'"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(text)
    with pytest.raises(CohortError, match=message):
        read_lung_table(path)
    with pytest.raises(CohortError, match="cannot be read"):
        read_lung_table(tmp_path / "absent.csv")


def test_sizes_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("image,orig_width,orig_height\na.png,1857,1317\n")
    assert read_sizes(path) == {"a.png": (1317, 1857)}
    path.write_text("image,orig_width\na.png,1857\n")
    with pytest.raises(CohortError, match="orig_height"):
        read_sizes(path)
    path.write_text("image,orig_width,orig_height\na.png,12,-3\n")
    with pytest.raises(CohortError, match=r"a\.png is '12' x '-3'"):
        read_sizes(path)
    with pytest.raises(CohortError, match="cannot be read"):
        read_sizes(tmp_path / "absent.csv")


def test_a_squashed_film_gets_its_shape_back() -> None:
    """A radiograph of 200 x 100, stored as 50 x 50, covers what the radiograph itself would."""
    whole, stored = Letterbox.fit(200, 100, 64), unsquashed(50, 50, (200, 100), 64)
    assert unsquashed(200, 100, None, 64) == whole
    film = np.zeros((200, 100), np.float32)
    film[40:120, 20:60] = 1
    squashed = film[::4, ::2]
    np.testing.assert_allclose(stored.apply(squashed), whole.apply(film), atol=0.35)
    assert np.abs(stored.apply(squashed) - whole.apply(film)).mean() < 0.01
    assert stored.box_to_film(whole.box_to_model((20, 40, 40, 80))) == pytest.approx(
        (10, 10, 20, 20)
    )
    assert stored.to_film(np.ones((8, 8))).shape == (50, 50)
