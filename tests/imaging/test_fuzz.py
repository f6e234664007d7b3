"""Any file gives a radiograph or an `ImageError`, whatever bytes it holds."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pneumoscope.errors import ImageError
from pneumoscope.imaging import Limits, is_radiograph_file, read_header, read_radiograph

from .films import dicom, gray8, lookup_table, ramp

LIMITS = Limits(max_bytes=2**20, max_pixels=200_000)
STARTS = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"II*\x00\x08\x00\x00\x00",
    b"MM\x00*\x00\x00\x00\x08",
    b"II+\x00",
    b"\0" * 128 + b"DICM",
    b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100",
    b"\x08\x00\x00\x00\x04\x00\x00\x00",
)


def _valid_files() -> dict[str, bytes]:
    files = {}
    for name, pixels, options in (
        ("png", gray8(), {"format": "PNG"}),
        ("png16", ramp(top=4095), {"format": "PNG"}),
        ("jpeg", gray8(), {"format": "JPEG"}),
        ("tiff", ramp(top=4095), {"format": "TIFF"}),
        ("lzw", gray8(), {"format": "TIFF", "compression": "tiff_lzw"}),
    ):
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, **options)
        files[name] = buffer.getvalue()
    buffer = BytesIO()
    tifffile.imwrite(buffer, ramp(top=4095).astype(np.uint32), compression="deflate")
    files["deep tiff"] = buffer.getvalue()
    for name, syntax in (
        ("implicit", ImplicitVRLittleEndian),
        ("lossless", JPEGLosslessSV1),
        ("jpeg-ls", JPEGLSLossless),
        ("deflated", DeflatedExplicitVRLittleEndian),
        ("rle", RLELossless),
        ("jpeg2000", JPEG2000Lossless),
    ):
        files[name] = _dicom_file(syntax)
    return files


def _dicom_file(syntax: Any) -> bytes:
    dataset = dicom(
        ramp(top=4095),
        BitsStored=12,
        WindowCenter=[2000, 1],
        WindowWidth=[4000, 2],
        PixelSpacing=[0.1, 0.1],
        PixelPaddingValue=0,
        VOILUTSequence=[lookup_table(ramp(1, 64, 255)[0], 0, 8)],
    )
    if syntax in (RLELossless, JPEG2000Lossless):
        dataset.compress(syntax)
    if syntax in (JPEGLosslessSV1, JPEGLSLossless):
        lossless = syntax == JPEGLosslessSV1
        pixels = ramp(top=4095)
        frame = (
            imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12)
            if lossless
            else imagecodecs.jpegls_encode(pixels)
        )
        dataset.PixelData = encapsulate([bytes(frame)])
        dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


VALID = _valid_files()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "film"


def attempt(path: Path, content: bytes) -> bool:
    """Read both ways; True when a radiograph came out."""
    path.write_bytes(content)
    is_radiograph_file(path)
    for reader in (read_header, read_radiograph):
        try:
            reader(path, limits=LIMITS)
        except ImageError as error:
            assert error.path == path
            assert error.remedy
            assert "SECRET" not in str(error)
            continue
        if reader is read_radiograph:
            return True
    return False


def fuzz(count: int) -> settings:
    return settings(
        max_examples=count,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.mark.parametrize("name", list(VALID))
def test_the_files_to_be_harmed_are_sound(scratch: Path, name: str) -> None:
    assert attempt(scratch, VALID[name])


@fuzz(200)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=600))
def test_random_bytes(scratch: Path, start: bytes, rest: bytes) -> None:
    attempt(scratch, start + rest)


@fuzz(250)
@given(name=st.sampled_from(list(VALID)), share=st.floats(0, 1))
def test_truncated_files(scratch: Path, name: str, share: float) -> None:
    attempt(scratch, VALID[name][: int(share * len(VALID[name]))])


@fuzz(350)
@given(
    name=st.sampled_from(list(VALID)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    early=st.booleans(),
)
def test_changed_bytes(
    scratch: Path, name: str, changes: list[tuple[float, int]], early: bool
) -> None:
    content = bytearray(VALID[name])
    # Headers are where a changed byte matters most, and pixels are most of the file.
    reach = min(len(content), 1100) if early else len(content)
    for place, value in changes:
        content[min(int(place * reach), reach - 1)] = value
    attempt(scratch, bytes(content))
