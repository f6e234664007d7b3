"""TIFF of more bits than Pillow reads, against what was written and against Pillow's turning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging import read_header, read_radiograph

from .films import ramp

LINEAR = ramp(top=4000).astype(np.float64) / 4000


def write(path: Path, values: Any, **options: Any) -> Path:
    tifffile.imwrite(path, values, **options)
    return path


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "jpeg2000"])
@pytest.mark.parametrize(
    ("dtype", "low", "high", "noted"),
    [
        ("u4", 0, 2**32 - 1, True),
        ("u4", 0, 65535, False),
        ("i2", -1000, 1000, True),
        ("i4", -(2**20), 2**30, True),
        ("f2", 0, 1, False),
        ("f8", 0, 1, False),
        ("f8", -3, 4000, True),
    ],
)
def test_deep_values(
    tmp_path: Path, dtype: str, low: float, high: float, noted: bool, compression: str | None
) -> None:
    if compression == "jpeg2000" and dtype not in ("i2", "u2"):
        pytest.skip("JPEG 2000 holds no such values")
    values = (LINEAR * (high - low) + low).astype(dtype)
    path = write(tmp_path / "film.tif", values, compression=compression)
    film = read_radiograph(path)
    np.testing.assert_allclose(film.pixels, LINEAR, atol=2e-3)
    assert bool(film.notes) is noted
    assert (read_header(path).height, read_header(path).width) == LINEAR.shape


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["u2", "u4"])
def test_deep_colour_that_is_gray(tmp_path: Path, planar: Any, dtype: str) -> None:
    values = (LINEAR * 65535).astype(dtype)
    whole = np.stack([values] * 3, axis=0 if planar == "separate" else 2)
    path = write(tmp_path / "film.tif", whole, photometric="rgb", planarconfig=planar)
    np.testing.assert_allclose(read_radiograph(path).pixels, LINEAR, atol=2e-5)
    whole[(0,) if planar == "separate" else (..., 0)] = values[::-1, ::-1]
    write(path, whole, photometric="rgb", planarconfig=planar)
    with pytest.raises(UnsupportedImage, match="colour"):
        read_radiograph(path)


def test_white_may_be_zero(tmp_path: Path) -> None:
    path = write(tmp_path / "film.tif", (LINEAR * 65535).astype("u4"), photometric="miniswhite")
    np.testing.assert_allclose(read_radiograph(path).pixels, 1 - LINEAR, atol=2e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_files_are_turned_as_pillow_turns_others(tmp_path: Path, orientation: int) -> None:
    tag = [(274, "H", 1, orientation, True)]
    values = np.random.default_rng(0).integers(0, 65536, (48, 40))
    usual = write(tmp_path / "16.tif", values.astype("u2"), extratags=tag)
    deep = write(tmp_path / "32.tif", values.astype("u4"), extratags=tag)
    film = read_radiograph(deep)
    np.testing.assert_array_equal(film.pixels, read_radiograph(usual).pixels)
    assert (read_header(deep).height, read_header(deep).width) == film.pixels.shape


def test_what_is_no_single_gray_picture_is_refused(tmp_path: Path) -> None:
    path, values = tmp_path / "film.tif", (LINEAR * 65535).astype("u4")
    for content, options, match in (
        (np.stack([values] * 2), {"photometric": "minisblack"}, "2 pictures"),
        (values[:20, :20], {}, "too small"),
        (np.where(LINEAR > 0.5, np.nan, LINEAR), {}, "NaN"),
        (np.dstack([values] * 4), {"photometric": "rgb", "extrasamples": [2]}, "alpha"),
    ):
        write(path, content, **options)
        with pytest.raises(UnsupportedImage, match=match):
            read_radiograph(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "film.tif", LINEAR, compression="deflate")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImageError) as caught:
        read_radiograph(path)
    assert isinstance(caught.value, UnreadableImage)
    assert "Error" not in str(caught.value)
