"""The size and the shape of pixels, as files state them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumoscope.imaging import model_input, read_radiograph

from .films import gray8, write_dicom

TAGS = {
    "PixelSpacing": 0x00280030,
    "ImagerPixelSpacing": 0x00181164,
    "PixelAspectRatio": 0x00280034,
}


def film(path: Path, **texts: str) -> Path:
    """A radiograph with elements written as text, however malformed."""
    write_dicom(path, gray8())
    content = path.read_bytes()
    for keyword, text in texts.items():
        tag, vr = TAGS[keyword], b"IS" if keyword == "PixelAspectRatio" else b"DS"
        value = text.encode().ljust(len(text) + len(text) % 2)
        element = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
        place = content.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OB"))
        content = content[:place] + element + content[place:]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("text", ["0,2\\0,2", "0.2", "0.2\\0.2\\0.2", "x\\y", "-1\\-1", "nan\\nan"])
@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
def test_a_malformed_spacing_is_ignored_and_noted(tmp_path: Path, keyword: str, text: str) -> None:
    read = read_radiograph(film(tmp_path / "film.dcm", **{keyword: text}))
    np.testing.assert_array_equal(np.rint(read.pixels * 255), gray8())
    assert (read.spacing, read.aspect) == (None, 1.0)
    assert read.notes == (f"{keyword} is malformed and was ignored.",)


def test_another_spacing_takes_the_place_of_a_malformed_one(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm", PixelSpacing="0,2\\0,2", ImagerPixelSpacing="0.3\\0.15")
    read = read_radiograph(path)
    assert (read.spacing, read.aspect) == ((0.3, 0.15), 2.0)
    assert read.notes == ("PixelSpacing is malformed and was ignored.",)


@pytest.mark.parametrize(
    ("elements", "aspect"),
    [
        ({"PixelSpacing": "0.8\\0.4"}, 2.0),
        ({"PixelSpacing": " 0.4 \\ 0.8 "}, 0.5),
        ({"ImagerPixelSpacing": "0.8\\0.4"}, 2.0),
        ({"PixelAspectRatio": "2\\1"}, 2.0),
        ({"PixelAspectRatio": "10\\20"}, 0.5),
        ({"PixelAspectRatio": "1\\1"}, 1.0),
        ({"PixelSpacing": "0.2\\0.2", "PixelAspectRatio": "2\\1"}, 1.0),
        ({"PixelSpacing": "0\\0", "PixelAspectRatio": "2\\1"}, 2.0),
        ({"PixelSpacing": "0.1430\\0.1431"}, 1.0),
    ],
)
def test_the_shape_of_pixels(tmp_path: Path, elements: dict[str, Any], aspect: float) -> None:
    read = read_radiograph(film(tmp_path / "film.dcm", **elements))
    assert read.aspect == pytest.approx(aspect)
    assert not read.notes
    height, width = gray8().shape
    _, letterbox = model_input(read, 224)
    seen = letterbox.content_height / letterbox.content_width
    assert seen == pytest.approx(height * aspect / width, rel=0.01)


def test_a_shape_that_no_detector_has_is_ignored_and_noted(tmp_path: Path) -> None:
    read = read_radiograph(film(tmp_path / "film.dcm", PixelSpacing="0.2\\0.02"))
    assert (read.spacing, read.aspect) == (None, 1.0)
    assert read.notes == ("The pixel spacing of the file is not plausible and was ignored.",)
