"""How pixels are stored: depths, places of the bits, palettes, colours, missing elements."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging import read_header, read_radiograph

from .films import dicom, gray8, ramp, write_dicom
from .test_referee import referee

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
TWELVE = {"BitsStored": 12, **WINDOW}


def agrees_with_dcmtk(path: Path, *options: str) -> None:
    if shutil.which("dcm2pnm") is not None:
        film = read_radiograph(path).pixels
        np.testing.assert_allclose(film, referee(path, *options), atol=1e-3)


@pytest.mark.parametrize("high", [11, 12, 15])
def test_bits_that_lie_higher_are_moved_down(tmp_path: Path, high: int) -> None:
    stored = ramp(top=4095)
    path = write_dicom(tmp_path / "film.dcm", stored << (high - 11), HighBit=high, **TWELVE)
    film = read_radiograph(path)
    np.testing.assert_allclose(film.pixels, stored / 4095, atol=1e-6)
    assert not film.notes
    agrees_with_dcmtk(path, "--use-window", "1")


@pytest.mark.parametrize("high", [11, 15])
def test_an_overlay_in_unused_bits_is_passed_over_and_noted(tmp_path: Path, high: int) -> None:
    stored = ramp(top=4095)
    words = stored << (high - 11)
    words[10:20, 10:20] |= 1 if high == 15 else 0x8000
    path = write_dicom(tmp_path / "film.dcm", words, HighBit=high, **TWELVE)
    film = read_radiograph(path)
    np.testing.assert_allclose(film.pixels, stored / 4095, atol=1e-6)
    assert film.notes == ("Bits of the pixels outside BitsStored are set and were ignored.",)
    agrees_with_dcmtk(path, "--use-window", "1")


def packed12(values: NDArray[np.uint16]) -> bytes:
    """Two samples in three bytes, by hand."""
    first, second = values.ravel()[::2], values.ravel()[1::2]
    triples = [first & 0xFF, (first >> 8) | ((second & 0xF) << 4), second >> 4]
    return np.stack(triples, axis=1).astype(np.uint8).tobytes()


def test_packed_words_of_12_bits(tmp_path: Path) -> None:
    stored = ramp(top=4095)
    dataset = dicom(stored, **TWELVE, BitsAllocated=12)
    dataset.PixelData = packed12(stored)
    path = tmp_path / "film.dcm"
    dataset.save_as(path, enforce_file_format=True)
    np.testing.assert_allclose(read_radiograph(path).pixels, stored / 4095, atol=1e-6)
    agrees_with_dcmtk(path, "--use-window", "1")


def palette(path: Path, colours: NDArray[Any], depth: int = 16, first: int = 0) -> Path:
    dataset = dicom(gray8(), PhotometricInterpretation="PALETTE COLOR", Modality="OT")
    for place, name in enumerate(("Red", "Green", "Blue")):
        table = f"{name}PaletteColorLookupTable"
        setattr(dataset, f"{table}Descriptor", [len(colours), first, depth])
        setattr(dataset, f"{table}Data", colours[:, place].astype("<u2").tobytes())
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_gray_palette_is_read(tmp_path: Path) -> None:
    curve = np.rint(np.sqrt(np.arange(256) / 255) * 65535)
    path = palette(tmp_path / "film.dcm", np.stack([curve] * 3, axis=1))
    film = read_radiograph(path)
    np.testing.assert_allclose(film.pixels, curve[gray8()] / 65535, atol=1e-5)
    agrees_with_dcmtk(path)
    path = palette(path, np.stack([curve[100:] // 257] * 3, axis=1), depth=8, first=100)
    film = read_radiograph(path)
    expected = curve[np.maximum(gray8(), 100)] // 257 / 255
    np.testing.assert_allclose(film.pixels, expected, atol=1e-5)


def test_a_palette_of_colours_or_without_a_table_is_refused(tmp_path: Path) -> None:
    curve = np.arange(256) * 257
    path = palette(tmp_path / "film.dcm", np.stack([curve, curve[::-1], curve], axis=1))
    with pytest.raises(UnsupportedImage, match="colour"):
        read_radiograph(path)
    dataset = dcmread(path)
    del dataset.GreenPaletteColorLookupTableData
    dataset.save_as(path)
    with pytest.raises(UnreadableImage, match="GreenPaletteColorLookupTableData"):
        read_radiograph(path)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("bits", [16, 12])
def test_deep_colour_that_is_gray_is_read(tmp_path: Path, planar: int, bits: int) -> None:
    stored = ramp(top=2**bits - 1)
    rgb = np.dstack([stored] * 3)
    elements = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": planar}
    dataset = dicom(rgb, **elements, BitsStored=bits, Modality="OT")
    if planar:
        dataset.PixelData = np.ascontiguousarray(np.moveaxis(rgb, 2, 0)).tobytes()
    path = tmp_path / "film.dcm"
    dataset.save_as(path, enforce_file_format=True)
    np.testing.assert_allclose(read_radiograph(path).pixels, stored / (2**bits - 1), atol=1e-6)
    agrees_with_dcmtk(path)
    rgb[..., 1] = stored[::-1, ::-1]
    with pytest.raises(UnsupportedImage, match="colour"):
        read_radiograph(write_dicom(path, rgb, **elements, BitsStored=bits))


@pytest.mark.parametrize(
    ("missing", "refused"),
    [
        ("Rows", True),
        ("Columns", True),
        ("BitsAllocated", True),
        ("BitsStored", True),
        ("PixelRepresentation", True),
        ("PhotometricInterpretation", True),
        ("SamplesPerPixel", False),
        ("HighBit", False),
        ("NumberOfFrames", False),
    ],
)
def test_a_missing_element_has_the_default_of_dcmtk_or_is_named(
    tmp_path: Path, missing: str, refused: bool
) -> None:
    path = write_dicom(tmp_path / "film.dcm", ramp(top=4095), **(TWELVE | {missing: None}))
    if not refused:
        np.testing.assert_allclose(read_radiograph(path).pixels, ramp(top=4095) / 4095, atol=1e-6)
        agrees_with_dcmtk(path, "--use-window", "1")
        return
    for reader in (read_header, read_radiograph):
        with pytest.raises(UnreadableImage, match=f"has no {missing}"):
            reader(path)


def test_a_colour_picture_without_its_planar_configuration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    write_dicom(path, np.dstack([gray8()] * 3), PhotometricInterpretation="RGB")
    with pytest.raises(UnreadableImage, match="has no PlanarConfiguration"):
        read_radiograph(path)


@pytest.mark.parametrize("said", ["monochrome2", "Monochrome2", " MONOCHROME2 ", "MONOCHROME 2"])
def test_a_photometric_interpretation_written_carelessly(tmp_path: Path, said: str) -> None:
    path = write_dicom(
        tmp_path / "film.dcm", ramp(top=4095), **TWELVE, PhotometricInterpretation=said
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, ramp(top=4095) / 4095, atol=1e-6)
    path = write_dicom(
        path, ramp(top=4095), **TWELVE, PhotometricInterpretation=said.replace("2", "1")
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, 1 - ramp(top=4095) / 4095, atol=1e-6)


@pytest.mark.parametrize("frames", ["1", "01", " 1", "001", "0", ""])
def test_one_frame_however_it_is_written(tmp_path: Path, frames: str) -> None:
    path = write_dicom(tmp_path / "film.dcm", gray8())
    element = struct.pack("<HH2sH", 0x0028, 0x0008, b"IS", len(frames) + len(frames) % 2)
    element += frames.encode().ljust(len(frames) + len(frames) % 2)
    content = path.read_bytes()
    place = content.index(struct.pack("<HH2s", 0x0028, 0x0010, b"US"))
    path.write_bytes(content[:place] + element + content[place:])
    assert read_radiograph(path).height == read_header(path).height == 48


@pytest.mark.parametrize(
    ("elements", "match"),
    [
        ({"BitsStored": 16, "HighBit": 11}, "BitsStored 16 and HighBit 11"),
        ({"BitsStored": 12, "HighBit": 3}, "BitsStored 12 and HighBit 3"),
        ({"BitsStored": 12, "HighBit": 20}, "BitsStored 12 and HighBit 20"),
        ({"BitsStored": 0, "HighBit": 11}, "BitsStored 0"),
        ({"BitsStored": 20, "HighBit": 19}, "BitsStored 20"),
        ({"SamplesPerPixel": 3}, "SamplesPerPixel 3 and MONOCHROME2"),
        ({"PixelRepresentation": 2}, "PixelRepresentation 2"),
    ],
)
def test_elements_that_contradict_each_other_are_named(
    tmp_path: Path, elements: dict[str, Any], match: str
) -> None:
    path = write_dicom(tmp_path / "film.dcm", ramp(top=4095), **elements)
    for reader in (read_header, read_radiograph):
        with pytest.raises(UnreadableImage, match=f"contradictory elements.*{match}"):
            reader(path)


def test_pixel_data_of_another_size_than_the_header_says(tmp_path: Path) -> None:
    dataset = dicom(ramp(top=4095), **TWELVE)
    path, whole = tmp_path / "film.dcm", dataset.PixelData
    dataset.PixelData = whole + b"\0" * 100
    dataset.save_as(path, enforce_file_format=True)
    assert read_radiograph(path).height == 48
    dataset.PixelData = whole[:-2]
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(UnreadableImage, match="truncated pixels"):
        read_radiograph(path)
    dataset.PixelData = whole * 2
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(UnreadableImage, match="7,680 bytes of pixels, but its header describes"):
        read_radiograph(path)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    dataset = dicom(ramp(top=4095), BitsAllocated=32, BitsStored=32)
    dataset.FloatPixelData = ramp(top=4095).astype("<f4").tobytes()
    del dataset.PixelData
    dataset.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    for reader in (read_header, read_radiograph):
        with pytest.raises(UnsupportedImage, match="floating-point"):
            reader(tmp_path / "film.dcm")


NONSENSE: dict[str, tuple[bytes, bytes]] = {
    "text": (b"LO", b"garb,age\\x "),
    "no number": (b"FD", struct.pack("<d", float("nan"))),
    "infinite": (b"DS", b"1e999 "),
    "odd bytes": (b"OB", b"\1\2\3\4"),
    "a sequence": (b"SQ", b""),
    "control characters": (b"CS", b"\x1b[2J"),
    "not text": (b"LO", b"\xff\xfe\x80\1"),
    "negative": (b"SS", b"\xff\xff"),
    "empty": (b"DS", b""),
}


IN_WORDS = ("Modality", "PhotometricInterpretation", "NumberOfFrames", "Rows", "BitsAllocated")
"""Elements that messages call by their meaning."""


@pytest.mark.parametrize("kind", NONSENSE)
@pytest.mark.parametrize(
    "keyword",
    [
        "Rows", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
        "PhotometricInterpretation", "NumberOfFrames", "PixelSpacing", "PixelPaddingValue",
        "WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept",
        "PresentationLUTShape", "PatientID", "ViewPosition", "Modality", "PatientOrientation",
    ],
)  # fmt: skip
def test_an_element_of_nonsense_gives_a_clear_error_or_the_film(
    tmp_path: Path, keyword: str, kind: str
) -> None:
    """Whatever an element holds, no error of the library below shows, and nothing of the file."""
    from pydicom.datadict import tag_for_keyword

    elements: dict[str, Any] = {**TWELVE, "RescaleSlope": 1, "RescaleIntercept": 0}
    tag = tag_for_keyword(keyword)
    assert tag is not None
    path = write_dicom(tmp_path / "film.dcm", ramp(top=4095), **(elements | {keyword: None}))
    content = path.read_bytes()
    vr, value = NONSENSE[kind]
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = struct.pack("<HI", 0, len(value)) if vr in (b"OB", b"SQ") else None
    nonsense = head + (long or struct.pack("<H", len(value))) + value
    place = content.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))  # order is no matter here
    path.write_bytes(content[:place] + nonsense + content[place:])
    try:
        film = read_radiograph(path)
    except ImageError as error:
        assert "Error" not in str(error) and "\x1b" not in str(error)
        assert keyword in str(error) or keyword in IN_WORDS
        return
    if kind == "negative" and keyword in ("WindowCenter", "RescaleIntercept", "RescaleSlope"):
        return  # a number like any other
    linear = ramp(top=4095) / 4095
    same = np.abs(film.pixels - linear).max() < 1e-6
    assert same or np.abs(film.pixels - (1 - linear)).max() < 1e-6 or film.notes
