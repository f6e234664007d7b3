from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

from pneumoscope.errors import UnreadableImage, UnsupportedImage
from pneumoscope.imaging import (
    SUFFIXES,
    Limits,
    is_radiograph_file,
    model_input,
    read_header,
    read_radiograph,
)

from .films import gray8, ramp, save, write_dicom


def levels(path: Path) -> NDArray[np.int64]:
    return np.rint(read_radiograph(path).pixels * 255).astype(np.int64)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_8_bits_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"film.{suffix}", gray8())
    assert np.array_equal(levels(path), gray8())
    header = read_header(path)
    assert (header.height, header.width) == gray8().shape


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = save(tmp_path / "film.jpeg", gray8(), format="PNG")
    assert np.array_equal(levels(path), gray8())


def test_gray_jpeg_with_one_or_three_channels_reads_the_same(tmp_path: Path) -> None:
    one = save(tmp_path / "one.jpg", gray8(), quality=95)
    three = save(tmp_path / "three.jpg", np.dstack([gray8()] * 3), quality=95)
    assert Image.open(three).mode == "RGB"
    assert np.abs(levels(one) - gray8()).max() <= 4
    assert np.abs(levels(three) - levels(one)).max() <= 2


def test_chroma_noise_and_a_small_coloured_marker_are_tolerated(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-4, 5, (200, 200, 3))
    rgb = np.clip(gray8(200, 200)[..., None] + noise, 0, 255).astype(np.uint8)
    rgb[:10, :10] = (255, 0, 0)
    for quality in (30, 60, 95):
        path = save(tmp_path / f"{quality}.jpg", rgb, quality=quality)
        error = np.abs(levels(path) - gray8(200, 200))[40:, 40:]
        assert error.mean() < 4


def test_colour_is_refused(tmp_path: Path) -> None:
    rgb = np.dstack([gray8(), 255 - gray8(), gray8()])
    for name in ("colour.png", "colour.jpg", "colour.tif"):
        with pytest.raises(UnsupportedImage, match="colour"):
            read_radiograph(save(tmp_path / name, rgb))
    # A two per cent patch of colour is more than a marker.
    patch = np.dstack([gray8(100, 100)] * 3)
    patch[:20, :10] = (255, 0, 0)
    with pytest.raises(UnsupportedImage, match="colour"):
        read_radiograph(save(tmp_path / "patch.png", patch))


def test_opaque_alpha_is_dropped_and_transparency_is_refused(tmp_path: Path) -> None:
    opaque = np.full_like(gray8(), 255)
    for pixels in (np.dstack([gray8(), opaque]), np.dstack([gray8()] * 3 + [opaque])):
        path = save(tmp_path / f"opaque{pixels.shape[2]}.png", pixels)
        assert np.array_equal(levels(path), gray8())
        pixels[5, 5, -1] = 254
        with pytest.raises(UnsupportedImage, match="transparent"):
            read_radiograph(save(tmp_path / "transparent.png", pixels))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_transparent_gray_level_counts_only_if_a_pixel_has_it(tmp_path: Path, dtype: Any) -> None:
    pixels = (ramp() // 2 + 10).astype(dtype)
    pixels[0, 0] = 255
    path = save(tmp_path / "unused.png", pixels, transparency=3)
    assert read_radiograph(path).pixels.max() == 1
    with pytest.raises(UnsupportedImage, match="transparent"):
        read_radiograph(save(tmp_path / "used.png", pixels, transparency=255))


def test_a_gray_palette_is_read_and_a_coloured_one_refused(tmp_path: Path) -> None:
    image = Image.fromarray(gray8())
    image.convert("P").save(tmp_path / "gray.png")
    assert np.array_equal(levels(tmp_path / "gray.png"), gray8())
    image.putpalette([value for level in range(256) for value in (level, 0, 255 - level)])
    image.save(tmp_path / "heat.png")
    with pytest.raises(UnsupportedImage, match="colour"):
        read_radiograph(tmp_path / "heat.png")


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    ("top", "full"), [(65535, 65535), (4095, 4095), (40000, 65535), (900, 1023)]
)
def test_16_bits_are_scaled_by_the_depth_they_use(
    tmp_path: Path, suffix: str, top: int, full: int
) -> None:
    stored = ramp(top=top)
    film = read_radiograph(save(tmp_path / f"deep.{suffix}", stored))
    np.testing.assert_allclose(film.pixels, stored / full, atol=1e-6)


@pytest.mark.parametrize("value", [0, 7, 255, 65535])
def test_a_constant_16_bit_film_is_finite(tmp_path: Path, value: int) -> None:
    film = read_radiograph(save(tmp_path / "flat.png", np.full((40, 40), value, np.uint16)))
    assert film.pixels.min() == film.pixels.max() <= 1
    assert film.pixels.max() == (0 if value == 0 else pytest.approx(1, abs=0.98))


def test_float_tiff(tmp_path: Path) -> None:
    unit = (ramp() / 255).astype(np.float32) * np.float32(0.5)
    film = read_radiograph(save(tmp_path / "unit.tif", unit))
    np.testing.assert_array_equal(film.pixels, unit)
    film = read_radiograph(save(tmp_path / "wide.tif", unit * 3000 - 7))
    np.testing.assert_allclose(film.pixels, unit * 2, atol=1e-6)
    flat = read_radiograph(save(tmp_path / "flat.tif", np.full((40, 40), 9, np.float32)))
    assert flat.pixels.max() == 0
    unit[0, 0] = np.nan
    with pytest.raises(UnsupportedImage, match="NaN"):
        read_radiograph(save(tmp_path / "nan.tif", unit))


def test_a_tiff_that_stores_white_as_zero_is_turned_round(tmp_path: Path) -> None:
    for name, stored, top in (("8.tif", gray8(), 255), ("16.tif", ramp(top=65535), 65535)):
        path = save(tmp_path / name, stored, tiffinfo={262: 0})
        with Image.open(path) as image:
            assert isinstance(image, TiffImagePlugin.TiffImageFile)
            assert image.tag_v2[262] == 0
        as_stored = np.frombuffer(_strip(path), stored.dtype).reshape(stored.shape).astype(float)
        np.testing.assert_allclose(read_radiograph(path).pixels, 1 - as_stored / top, atol=1e-6)


def _strip(path: Path) -> bytes:
    """The single strip of an uncompressed TIFF."""
    with Image.open(path) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        start, length = image.tag_v2[273][0], image.tag_v2[279][0]
    return path.read_bytes()[start : start + length]


def test_32_bit_values_beyond_16_bits_are_stretched_and_noted(tmp_path: Path) -> None:
    fits = read_radiograph(save(tmp_path / "fits.tif", ramp(top=4095).astype(np.int32)))
    assert fits.pixels.max() == 1 and not fits.notes
    for name, shift in (("negative.tif", -5), ("large.tif", 70000)):
        film = read_radiograph(save(tmp_path / name, ramp().astype(np.int32) + shift))
        np.testing.assert_allclose(film.pixels, ramp() / 255, atol=1e-6)
        assert len(film.notes) == 1


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 100} if name.endswith("jpg") else {}
    path = save(tmp_path / name, gray8(), exif=exif, **options)
    turns: dict[int, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).T,
        8: np.rot90,
    }
    upright = turns[orientation](gray8().astype(np.int64))
    assert levels(path).shape == upright.shape
    assert np.abs(levels(path) - upright).max() <= 2
    header = read_header(path)
    assert (header.height, header.width) == upright.shape


def test_a_damaged_exif_block_does_not_spoil_the_film(tmp_path: Path) -> None:
    path = save(tmp_path / "film.jpg", gray8(), exif=b"Exif\0\0rubbish that is no TIFF")
    assert levels(path).shape == gray8().shape


def test_masks_and_several_pictures_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "mask.png", gray8() > 100)
    image = Image.fromarray(gray8())
    image.save(tmp_path / "pages.tif", save_all=True, append_images=[image])
    image.save(tmp_path / "moving.png", save_all=True, append_images=[Image.fromarray(gray8().T)])
    for name, match in (("mask", "mask"), ("pages", "2 pictures"), ("moving", "2 pictures")):
        path = next(tmp_path.glob(f"{name}.*"))
        for reader in (read_radiograph, read_header):
            with pytest.raises(UnsupportedImage, match=match):
                reader(path)


def test_what_is_no_image_says_so_with_path_and_remedy(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png", gray8(100, 100)).read_bytes()
    contents = {
        "empty.png": (b"", "empty"),
        "text.png": (b"hello" * 50, "not an image"),
        "page.jpg": (b"<!DOCTYPE html><html>", "web page"),
        "paper.dcm": (b"%PDF-1.7" + b" " * 300, "PDF"),
        "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        "short.png": (whole[: len(whole) // 2], "truncated"),
        "magic.jpg": (b"\xff\xd8\xff", "damaged"),
    }
    for name, (content, match) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImage, match=match) as caught:
            read_radiograph(tmp_path / name)
        assert caught.value.path == tmp_path / name
        assert caught.value.remedy
    for path, match in ((tmp_path, "is a folder"), (tmp_path / "none.png", "does not exist")):
        with pytest.raises(UnreadableImage, match=match):
            read_radiograph(path)
    with pytest.raises(UnreadableImage, match=r"cannot be read|does not exist"):
        read_radiograph(Path("nul\0byte.png"))


def test_limits_hold_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "film.png", gray8(60, 80))

    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", never)
    for limits, match in (
        (Limits(max_pixels=60 * 80 - 1), "too many pixels"),
        (Limits(min_side=61), "too small"),
        (Limits(max_bytes=50), "too large"),
    ):
        for reader in (read_radiograph, read_header):
            with pytest.raises(UnsupportedImage, match=match):
                reader(path, limits=limits)
    assert read_header(path, limits=Limits(max_pixels=60 * 80, min_side=60)).width == 80


def test_pillows_bomb_guard_stays_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "film.png", gray8(60, 80))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnsupportedImage, match="decompression bomb"):
        read_radiograph(path)


def test_which_files_a_scan_takes(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"a{suffix.upper()}").write_bytes(b"x")
        assert is_radiograph_file(tmp_path / f"a{suffix.upper()}")
    plain = write_dicom(tmp_path / "IM000001", gray8())
    numbered = write_dicom(tmp_path / "1.2.840.77", gray8())
    assert is_radiograph_file(plain)
    assert is_radiograph_file(numbered)
    for name in ("._a.png", ".DS_Store", "DICOMDIR", "notes.txt", "README", "LICENSE"):
        (tmp_path / name).write_bytes(
            plain.read_bytes() if name == "DICOMDIR" else b"some text ..."
        )
        assert not is_radiograph_file(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    assert not is_radiograph_file(tmp_path / "folder.png")


def test_an_8_bit_square_film_reaches_the_model_unchanged(tmp_path: Path) -> None:
    pixels = np.arange(224 * 224, dtype=np.uint32).reshape(224, 224).astype(np.uint8)
    film = read_radiograph(save(tmp_path / "film.png", pixels))
    square, letterbox = model_input(film, 224)
    assert square.dtype == np.uint8
    assert np.array_equal(square, pixels)
    assert (letterbox.top, letterbox.left) == (0, 0)


def test_messages_do_not_repeat_the_path(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 64)
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(tmp_path / "bad.png")
    assert len(re.findall(r"bad\.png", str(caught.value))) == 1


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    """A radiograph with detail on the scale of ribs, and a step at its lower right."""
    rows, columns = np.ogrid[:height, :width]
    waves = 120 + 60 * np.sin(rows / 23) * np.cos(columns / 31) + columns * (40 / width)
    waves[height * 3 // 4 :, width * 3 // 4 :] = 250
    return np.rint(waves).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "model", "reduction"),
    [(511, 300, 128, 1), (512, 300, 128, 2), (777, 1101, 128, 4), (1300, 2050, 100, 8)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_for_a_model_is_decoded_no_finer_than_it_needs(
    tmp_path: Path, height: int, width: int, model: int, reduction: int, channels: int
) -> None:
    film = smooth(height, width)
    picture = film if channels == 1 else np.dstack([film] * 3)
    path = save(tmp_path / "film.jpg", picture, quality=95)
    whole, coarse = read_radiograph(path), read_radiograph(path, model=model)
    assert (whole.reduction, coarse.reduction) == (1, reduction)
    assert coarse.pixels.shape == (-(-height // reduction), -(-width // reduction))
    assert (coarse.height, coarse.width) == (whole.height, whole.width) == (height, width)
    (one, box), (other, same) = model_input(whole, model), model_input(coarse, model)
    assert box == same
    difference = np.abs(one.astype(int) - other)
    assert difference.mean() < 0.4 and np.quantile(difference, 0.98) <= 2


def test_a_turned_jpeg_is_read_whole_for_a_model(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "film.jpg", smooth(601, 800), exif=exif, quality=95)
    whole, same = read_radiograph(path), read_radiograph(path, model=100)
    assert (same.height, same.width, same.reduction) == (800, 601, 1)
    np.testing.assert_array_equal(same.pixels, whole.pixels)


def test_other_formats_are_read_whole_for_a_model(tmp_path: Path) -> None:
    path = save(tmp_path / "film.png", smooth(900, 700))
    assert np.array_equal(read_radiograph(path, model=64).pixels * 255, smooth(900, 700))


def test_a_colour_jpeg_is_refused_for_a_model_too(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    path = save(tmp_path / "cat.jpg", np.kron(colours, np.ones((64, 64, 1), np.uint8)))
    with pytest.raises(UnsupportedImage, match="colour"):
        read_radiograph(path, model=64)
