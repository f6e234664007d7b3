from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging import Limits, read_header, read_radiograph
from pneumoscope.imaging.dicom import codestream_size

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


def test_jpeg_baseline(tmp_path: Path) -> None:
    film = read_radiograph(write_jpeg(tmp_path / "film.dcm", jpeg()))
    assert np.abs(film.pixels * 255 - gray8()).max() <= 4


def test_a_frame_larger_than_the_header_says_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jpeg(tmp_path / "film.dcm", jpeg(4000, 3000))
    monkeypatch.setattr(Decoder, "as_array", None)
    with pytest.raises(UnreadableImage, match="3000 x 4000 pixels, but its header says 40 x 48"):
        read_radiograph(path)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_frame_is_refused(tmp_path: Path, share: float) -> None:
    frame = jpeg()
    path = write_jpeg(tmp_path / "film.dcm", frame[: int(share * len(frame))])
    with pytest.raises(UnreadableImage, match="truncated JPEG frame"):
        read_radiograph(path)


def test_a_frame_under_the_wrong_label_is_still_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", None)  # as if the frame were of a kind unknown to Pillow
    film = read_radiograph(write_jpeg(tmp_path / "film.dcm", jpeg()))
    assert np.abs(film.pixels * 255 - gray8()).max() <= 4


def test_codestream_sizes() -> None:
    assert codestream_size(jpeg(48, 40)) == (40, 48)
    for mode in ("jp2", "j2k"):
        buffer = BytesIO()
        Image.fromarray(gray8()).save(buffer, "JPEG2000", no_jp2=mode == "j2k")
        assert codestream_size(buffer.getvalue()) == ((40, 48) if mode == "j2k" else None)
    jpeg_ls = b"\xff\xd8\xff\xf7\x00\x0b\x08" + struct.pack(">HH", 48, 40) + b"\x01\x01\x11\x00"
    assert codestream_size(jpeg_ls) == (40, 48)
    assert codestream_size(b"\xff\xd8\xff\xff\xff\xc3" + jpeg_ls[4:]) == (40, 48)
    assert codestream_size(b"") is codestream_size(b"\xff\xd8\xff") is None


@pytest.mark.parametrize(
    ("syntax", "install"),
    [
        (JPEGLosslessSV1, "pip install pylibjpeg pylibjpeg-libjpeg"),
        (JPEG2000Lossless, "pip install pylibjpeg pylibjpeg-openjpeg"),
        (HTJ2KLossless, "pip install pylibjpeg pylibjpeg-openjpeg"),
    ],
)
def test_a_missing_decoder_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: UID, install: str
) -> None:
    path = write_jpeg(tmp_path / "film.dcm", b"\xff\xd8\xff\xd9", syntax=syntax)
    monkeypatch.setattr(Decoder, "is_available", False)
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(path)
    assert syntax.name in str(caught.value)
    assert caught.value.remedy == f"run: {install}"


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
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"PhotometricInterpretation": None}, "missing"),
        ({"BitsAllocated": 32}, "32 bits"),
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
