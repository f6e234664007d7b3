from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import (
    HTJ2K,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging import Limits, read_header, read_radiograph
from pneumoscope.imaging.codestream import read_codestream

from .films import CR_STORAGE, dicom, gray8, ramp, write_dicom


def test_the_header_and_the_film_agree(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "film", gray8(), PixelSpacing=[0.2, 0.1], ImagerPixelSpacing=[0.4, 0.3]
    )
    header, film = read_header(path), read_radiograph(path)
    assert (header.height, header.width) == (film.height, film.width) == gray8().shape
    assert (header.modality, header.view, header.patient) == ("CR", "PA", "P-17")
    assert (film.modality, film.view, film.patient) == ("CR", "PA", "P-17")
    assert film.spacing == (0.2, 0.1)
    assert film.source == path
    np.testing.assert_array_equal(np.rint(film.pixels * 255), gray8())


@pytest.mark.parametrize(
    ("pixel", "imager", "expected"),
    [
        (None, [0.4, 0.3], (0.4, 0.3)),
        ([0, 0], [0.4, 0.3], (0.4, 0.3)),
        (None, None, None),
        ([0, 0], None, None),
    ],
)
def test_spacing_falls_back_to_the_detector(
    tmp_path: Path, pixel: list[float] | None, imager: list[float] | None, expected: object
) -> None:
    path = write_dicom(
        tmp_path / "film.dcm", gray8(), PixelSpacing=pixel, ImagerPixelSpacing=imager
    )
    assert read_radiograph(path).spacing == expected


def test_missing_and_empty_descriptions_are_none(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "film.dcm", gray8(), Modality=None, ViewPosition="", PatientID="  "
    )
    film = read_radiograph(path)
    assert (film.modality, film.view, film.patient) == (None, None, None)


def bare(dataset: Dataset, *, implicit: bool, little: bool = True) -> bytes:
    """The dataset alone: no preamble, no file meta."""
    buffer = BytesIO()
    del dataset.file_meta
    dataset.save_as(buffer, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    return buffer.getvalue()


@pytest.mark.parametrize("implicit", [True, False])
def test_a_dataset_without_preamble_and_meta_is_read(tmp_path: Path, implicit: bool) -> None:
    path = tmp_path / "film"
    path.write_bytes(bare(dicom(ramp(top=1023), BitsStored=10, HighBit=9), implicit=implicit))
    assert read_radiograph(path).height == 48
    assert read_header(path).width == 40


def test_a_bare_dataset_without_a_picture_is_not_an_image(tmp_path: Path) -> None:
    dataset = dicom(gray8())
    del dataset.Rows, dataset.Columns
    path = tmp_path / "film"
    path.write_bytes(bare(dataset, implicit=True))
    with pytest.raises(UnreadableImage, match="not an image"):
        read_radiograph(path)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_uncompressed_transfer_syntaxes(tmp_path: Path, syntax: UID) -> None:
    stored = ramp(top=4095)
    dataset = dicom(stored, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = stored.astype(">u2").tobytes()
    dataset.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    film = read_radiograph(tmp_path / "film.dcm")
    np.testing.assert_allclose(film.pixels, stored / 4095, atol=1e-5)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_lossless_compression_gives_the_same_film(tmp_path: Path, syntax: UID) -> None:
    plain = read_radiograph(write_dicom(tmp_path / "plain.dcm", ramp(top=4095), BitsStored=12))
    dataset = dicom(ramp(top=4095), BitsStored=12, HighBit=11)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "packed.dcm")
    packed = read_radiograph(tmp_path / "packed.dcm")
    np.testing.assert_array_equal(packed.pixels, plain.pixels)


def write_jpeg(path: Path, frame: bytes, syntax: UID = JPEGBaseline8Bit, **elements: Any) -> Path:
    dataset = dicom(gray8(), **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return path


def jpeg(height: int = 48, width: int = 40) -> bytes:
    buffer = BytesIO()
    Image.fromarray(gray8(height, width)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


DEEP = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}


def encoded(pixels: NDArray[Any], syntax: UID) -> bytes:
    """A frame of 12 bits as imagecodecs compresses it."""
    if syntax in (JPEGLosslessSV1, JPEGExtended12Bit):
        lossless = syntax == JPEGLosslessSV1
        level = None if lossless else 95
        return bytes(imagecodecs.jpeg8_encode(pixels, level, lossless=lossless, bitspersample=12))
    if syntax == JPEGLSLossless:
        return bytes(imagecodecs.jpegls_encode(pixels))
    if syntax == HTJ2K:
        return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))
    return bytes(
        imagecodecs.jpeg2k_encode(
            pixels, level=0, reversible=True, bitspersample=12, codecformat="j2k"
        )
    )


@pytest.mark.parametrize(
    "syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2K, JPEGExtended12Bit]
)
@pytest.mark.parametrize("signed", [False, True])
def test_deep_frames(tmp_path: Path, syntax: UID, signed: bool) -> None:
    stored = ramp(top=4095)
    # Codestreams but JPEG 2000's know no sign; the header says what the sign bit means.
    elements = {**DEEP, "PixelRepresentation": int(signed), "WindowWidth": 4096}
    path = write_jpeg(
        tmp_path / "film.dcm", encoded(stored, syntax), syntax, **elements, WindowCenter=2048
    )
    values = np.where(stored >= 2048, stored.astype(int) - 4096, stored) if signed else stored
    expected = np.clip((values - 2047.5) / 4095 + 0.5, 0, 1)
    film = read_radiograph(path)
    if syntax == JPEGExtended12Bit:  # lossy: around the sign change its error is as large as may be
        assert np.mean(np.abs(film.pixels - expected) > 0.01) < 0.05
    else:
        np.testing.assert_allclose(film.pixels, expected, atol=1e-6)


def test_jpeg_baseline(tmp_path: Path) -> None:
    film = read_radiograph(write_jpeg(tmp_path / "film.dcm", jpeg()))
    assert np.abs(film.pixels * 255 - gray8()).max() <= 4


@pytest.mark.parametrize(
    "syntax",
    [JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2K, RLELossless],
)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_truncated_frame_is_refused_in_every_codec(
    tmp_path: Path, syntax: UID, share: float
) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (48, 40)).astype(np.uint16)
    if syntax == RLELossless:
        dataset = dicom(pixels, **DEEP)
        dataset.compress(syntax)
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    else:
        frame = jpeg() if syntax == JPEGBaseline8Bit else encoded(pixels, syntax)
    elements = {} if syntax == JPEGBaseline8Bit else DEEP
    whole = write_jpeg(tmp_path / "whole.dcm", frame, syntax, **elements)
    assert read_radiograph(whole).height == 48
    path = write_jpeg(tmp_path / "cut.dcm", frame[: int(share * len(frame))], syntax, **elements)
    with pytest.raises(UnreadableImage, match="truncated"):
        read_radiograph(path)
    # A file that ends there, as after a broken transfer.
    content = whole.read_bytes()
    path.write_bytes(content[: content.index(frame[:64]) + int(share * len(frame))])
    with pytest.raises(UnreadableImage, match="truncated"):
        read_radiograph(path)


def sequence(frame: bytes, *, table: bytes | None = b"", end: bool = True) -> bytes:
    """Pixel Data from its tag on, with any Basic Offset Table (or none), its end or none."""
    item = struct.Struct("<HHI")
    content = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    if table is not None:
        content += item.pack(0xFFFE, 0xE000, len(table)) + table
    half = len(frame) // 4 * 2
    for part in (frame[:half], frame[half:] + b"\0" * (len(frame) % 2)):
        content += item.pack(0xFFFE, 0xE000, len(part)) + part
    return content + (item.pack(0xFFFE, 0xE0DD, 0) if end else b"")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"end": False},
        {"table": struct.pack("<I", 7777)},
        {"table": struct.pack("<III", 0, 8, 99999)},
        {"table": b"\1\2\3\4\5\6"},
        {"table": None},
        {"table": None, "end": False},
    ],
)
def test_a_whole_frame_is_read_whatever_stands_around_it(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    frame = jpeg()
    path = write_jpeg(tmp_path / "film.dcm", frame)
    expected = read_radiograph(path).pixels
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\x00")] + sequence(frame, **options))
    np.testing.assert_array_equal(read_radiograph(path).pixels, expected)
    assert read_header(path).height == 48


@pytest.mark.parametrize(
    ("label", "content"),
    [
        (JPEGBaseline8Bit, JPEG2000Lossless),
        (JPEGBaseline8Bit, JPEGLosslessSV1),
        (JPEGLosslessSV1, JPEGLSLossless),
        (JPEGLSLossless, JPEGExtended12Bit),
        (JPEG2000Lossless, JPEGLosslessSV1),
        (RLELossless, JPEG2000Lossless),
    ],
)
def test_a_frame_of_another_kind_than_the_transfer_syntax_is_refused(
    tmp_path: Path, label: UID, content: UID
) -> None:
    frame = encoded(ramp(top=4095), content)
    path = write_jpeg(tmp_path / "film.dcm", frame, label, **DEEP)
    with pytest.raises(UnreadableImage, match=r"says that its frame is .*, but it is JPEG"):
        read_radiograph(path)


def test_compressed_and_uncompressed_are_not_mixed_up(tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    for label, other, says in (
        (JPEGBaseline8Bit, ExplicitVRLittleEndian, "says that its pixels are uncompressed"),
        (ExplicitVRLittleEndian, JPEGBaseline8Bit, "says that its pixels are compressed"),
    ):
        if label == JPEGBaseline8Bit:
            write_jpeg(path, jpeg())
        else:
            write_dicom(path, gray8())
        for syntax in (label, other):
            content = path.read_bytes()
            old, new = (f"{each}".encode() for each in (label, syntax))
            place = content.index(old)
            assert content[place - 2] == len(old) + len(old) % 2
            padded = new + b"\0" * (len(new) % 2)
            head = content[: place - 2] + bytes([len(padded), 0]) + padded
            path.write_bytes(head + content[place + len(old) + len(old) % 2 :])
        with pytest.raises(UnreadableImage, match=says):
            read_radiograph(path)


def test_without_file_meta_the_frame_says_what_it_is(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "film.dcm", jpeg())
    expected = read_radiograph(path).pixels
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\x08\0\x16\0") :])
    np.testing.assert_array_equal(read_radiograph(path).pixels, expected)


def test_a_frame_larger_than_the_header_says_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jpeg(tmp_path / "film.dcm", jpeg(4000, 3000))
    monkeypatch.setattr(Decoder, "as_array", None)
    with pytest.raises(UnreadableImage, match="3000 x 4000 pixels, but its header says 40 x 48"):
        read_radiograph(path)


def codestream_size(frame: bytes) -> tuple[int | None, int | None] | None:
    found = read_codestream(frame)
    return None if found is None else (found.width, found.height)


def test_codestream_sizes() -> None:
    assert codestream_size(jpeg(48, 40)) == (40, 48)
    for mode in ("jp2", "j2k"):
        buffer = BytesIO()
        Image.fromarray(gray8()).save(buffer, "JPEG2000", no_jp2=mode == "j2k")
        assert codestream_size(buffer.getvalue()) == (40, 48)
    jpeg_ls = b"\xff\xd8\xff\xf7\x00\x0b\x08" + struct.pack(">HH", 48, 40) + b"\x01\x01\x11\x00"
    assert codestream_size(jpeg_ls) == (40, 48)
    assert codestream_size(b"\xff\xd8\xff\xff\xff\xc3" + jpeg_ls[4:]) == (40, 48)
    assert codestream_size(b"") is codestream_size(b"\xff\xd8\xff") is None


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2K])
def test_a_missing_decoder_is_named_by_the_extra_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: UID
) -> None:
    path = write_jpeg(tmp_path / "film.dcm", encoded(ramp(top=4095), syntax), syntax, **DEEP)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(UnsupportedImage, match="JPEG") as caught:
        read_radiograph(path)
    assert caught.value.remedy == "run: pip install 'pneumoscope[dicom]'"


def test_a_video_or_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    for syntax in ("1.2.840.10008.1.2.4.102", "1.2.3.4"):
        path = write_jpeg(tmp_path / "film.dcm", b"\0\0\0\1", syntax=UID(syntax))
        with pytest.raises(UnsupportedImage, match="transfer syntax"):
            read_radiograph(path)


@pytest.mark.parametrize(
    ("elements", "match"),
    [
        ({"Modality": "CT"}, "modality CT"),
        ({"Modality": "US"}, "modality US"),
        ({"ViewPosition": "LL"}, "lateral"),
        ({"ViewPosition": "RL"}, "lateral"),
        ({"ViewPosition": "lateral"}, "lateral"),
        ({"ViewPosition": "LAO"}, "oblique"),
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"PhotometricInterpretation": "HSV"}, "photometric interpretation HSV"),
        ({"BitsAllocated": 64}, "64 bits"),
        ({"BitsAllocated": 1}, "black and white"),
        ({"Rows": 20}, "too small"),
        ({"Rows": 60000, "Columns": 60000}, "too many pixels"),
    ],
)
def test_what_the_header_rules_out(tmp_path: Path, elements: dict[str, Any], match: str) -> None:
    path = write_dicom(tmp_path / "film.dcm", gray8(), **elements)
    for reader in (read_radiograph, read_header):
        with pytest.raises(UnsupportedImage, match=match):
            reader(path)


@pytest.mark.parametrize("modality", ["CR", "DX", "DR", "RG", "OT", "SC", None])
@pytest.mark.parametrize("view", ["PA", "AP", "LLD", None])
def test_frontal_radiographs_are_accepted(
    tmp_path: Path, modality: str | None, view: str | None
) -> None:
    path = write_dicom(tmp_path / "film.dcm", gray8(), Modality=modality, ViewPosition=view)
    assert read_radiograph(path).view == view


def test_the_view_code_is_asked_when_the_position_is_empty(tmp_path: Path) -> None:
    code = Dataset()
    for meaning, refused in (("left lateral", True), ("postero-anterior", False)):
        code.CodeMeaning = meaning
        path = write_dicom(tmp_path / "film.dcm", gray8(), ViewPosition="", ViewCodeSequence=[code])
        if refused:
            with pytest.raises(UnsupportedImage, match="lateral"):
                read_header(path)
        else:
            assert read_header(path).view is None


def test_an_object_without_a_picture_is_refused(tmp_path: Path) -> None:
    report = dicom(gray8(), Modality=None)
    del report.PixelData, report.Rows, report.Columns
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    for reader in (read_radiograph, read_header):
        with pytest.raises(UnsupportedImage, match="without a picture"):
            reader(tmp_path / "report.dcm")
    empty = dicom(gray8())
    del empty.PixelData
    empty.save_as(tmp_path / "empty.dcm", enforce_file_format=True)
    with pytest.raises(UnsupportedImage, match="without a picture"):
        read_radiograph(tmp_path / "empty.dcm")


def test_colour_captures_are_read_only_when_gray(tmp_path: Path) -> None:
    gray = np.dstack([gray8()] * 3)
    options = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "Modality": "SC"}
    film = read_radiograph(write_dicom(tmp_path / "gray.dcm", gray, **options))
    np.testing.assert_array_equal(np.rint(film.pixels * 255), gray8())
    ybr = np.dstack([gray8(), np.full_like(gray8(), 128), np.full_like(gray8(), 128)])
    options["PhotometricInterpretation"] = "YBR_FULL"
    film = read_radiograph(write_dicom(tmp_path / "ybr.dcm", ybr, **options))
    np.testing.assert_array_equal(np.rint(film.pixels * 255), gray8())
    ybr[..., 1] = 255
    with pytest.raises(UnsupportedImage, match="colour"):
        read_radiograph(write_dicom(tmp_path / "colour.dcm", ybr, **options))


def truncated(content: bytes) -> bytes:
    return content[:-200]


def headless_noise(content: bytes) -> bytes:
    return content[:132] + b"\xab" * 400


@pytest.mark.parametrize("harm", [truncated, headless_noise])
def test_damage_is_reported_without_a_patient(
    tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    path = write_dicom(tmp_path / "film.dcm", gray8())
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(ImageError) as caught:
        read_radiograph(path)
    assert caught.value.remedy
    assert "SECRET" not in str(caught.value)
    assert "P-17" not in str(caught.value)


def test_a_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "film.dcm", gray8(), Modality="\x1b[2J")
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(path)
    assert "\x1b" not in str(caught.value)


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path) -> None:
    dataset = dicom(gray8())
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    content = (tmp_path / "film.dcm").read_bytes()
    start = 144 + struct.unpack("<I", content[140:144])[0]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = packer.compress(bytes(20_000_000)) + packer.flush()
    (tmp_path / "bomb.dcm").write_bytes(content[:start] + bomb)
    limits = Limits(max_bytes=10_000_000)
    with pytest.raises(UnsupportedImage, match="inflates to more than 10 MB"):
        read_header(tmp_path / "bomb.dcm", limits=limits)
    assert read_header(tmp_path / "film.dcm", limits=limits).width == 40


def test_the_storage_class_does_not_matter(tmp_path: Path) -> None:
    capture = UID("1.2.840.10008.5.1.4.1.1.7")
    assert capture != CR_STORAGE
    path = write_dicom(tmp_path / "film.dcm", gray8(), SOPClassUID=capture)
    assert read_header(path).modality == "CR"
