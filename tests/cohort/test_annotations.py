"""Lesion annotations as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.cohort.annotations import read_boxes, read_mask
from pneumoscope.errors import CohortError

HEADER = "image,x,y,width,height\n"


def table(folder: Path, text: str) -> Path:
    path = folder / "boxes.csv"
    path.write_text(text)
    return path


def test_boxes_are_gathered_by_radiograph(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "image,note,x,y,width,height\na/1.png,left,1.5,2,3,4\nb.png,,0,0,10,10\n"
        "./a/1.png,right,7,8,9,10\nhealthy.png,,,,,\n",
    )
    boxes = read_boxes(path)
    assert list(boxes) == ["a/1.png", "b.png", "healthy.png"]
    np.testing.assert_array_equal(boxes["a/1.png"], [[1.5, 2, 3, 4], [7, 8, 9, 10]])
    assert boxes["healthy.png"].shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,x,y\na.png,1,2\n", "lacks the columns width, height"),
        (HEADER + "a.png,1,2,three,4\n", "line 2 has a coordinate that is no number"),
        (HEADER + "a.png,1,2,3,4\na.png,1,2,,4\n", "line 3 has a coordinate"),
        (HEADER + "a.png,1,2,0,4\n", "line 2 has a box without area"),
        (HEADER + "a.png,1,2,inf,4\n", "line 2 has a box without area"),
        (HEADER + "../a.png,1,2,3,4\n", "leads out of"),
        ("", "cannot be read as a table"),
    ],
)
def test_what_is_no_box_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_boxes(table(tmp_path, text))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="does not exist"):
        read_boxes(tmp_path / "boxes.csv")


def test_masks_may_be_black_and_white_or_gray(tmp_path: Path) -> None:
    drawn = np.zeros((6, 8), dtype=np.uint8)
    drawn[2:4, 3:7] = 255
    drawn[0, 0] = 9
    for mode, cut, count in (("L", 0, 9), ("L", 127, 8), ("1", 0, 8)):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(drawn).convert(mode, dither=Image.Dither.NONE).save(path)
        mask = read_mask(path, 6, 8, above=cut)
        assert mask.dtype == np.bool_ and mask.sum() == count and mask[2, 3]
    with pytest.raises(CohortError, match="the mask is 8 x 6 pixels, its radiograph 9 x 6"):
        read_mask(path, 6, 9)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(CohortError, match="cannot be read as a mask"):
        read_mask(tmp_path / "bad.png", 6, 8)
