"""The pixels of a DICOM file: where they stand, how they are packed, the values they hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from pneumoscope.errors import UnreadableImage, UnsupportedImage
from pneumoscope.imaging.encapsulated import check_frame, check_syntax, decode, read_frame
from pneumoscope.imaging.layout import Layout
from pneumoscope.imaging.native import read_colour, read_native

_PIXEL_DATA, _FLOATS = (0x7FE0, 0x0010), ((0x7FE0, 0x0008), (0x7FE0, 0x0009))
_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN", b"UC", b"UR", b"UT", b"SQ")
_UNDEFINED = 0xFFFFFFFF
_STRAY = "Bits of the pixels outside BitsStored are set and were ignored."
_AGAIN = "export it again from the archive"


@dataclass(frozen=True, slots=True)
class _Stored:
    """Pixel data as it stands in the file; `compressed` where it is a sequence of fragments."""

    data: bytes
    compressed: bool
    is_words: bool


def check_pixels(stream: BinaryIO, dataset: Any, path: Path) -> None:
    """Refuse a file without pixels, or with such as are not those of a radiograph."""
    syntax = syntax_of(dataset)
    if syntax is not None:
        check_syntax(syntax, path)
    if syntax == DeflatedExplicitVRLittleEndian:
        if "PixelData" not in dataset:
            raise no_picture(path)
        return
    start = stream.tell()
    tag, _, _ = _element(stream, dataset)
    stream.seek(start)
    if tag in _FLOATS:
        raise UnsupportedImage(
            "holds floating-point pixels", path=path, remedy="export it with 8 or 16 bits"
        )
    if tag != _PIXEL_DATA:
        raise no_picture(path)


def _element(stream: BinaryIO, dataset: Any) -> tuple[tuple[int, int] | None, bytes, int]:
    """Tag, VR (b"" if implicit) and length of the element at the stream's place."""
    implicit, little = dataset.original_encoding
    order = "<" if little is not False else ">"
    head = stream.read(8)
    if len(head) < 8:
        return None, b"", 0
    group, element = struct.unpack(f"{order}HH", head[:4])
    if implicit:
        return (group, element), b"", struct.unpack(f"{order}I", head[4:])[0]
    if head[4:6] not in _LONG:
        return (group, element), head[4:6], struct.unpack(f"{order}H", head[6:])[0]
    return (group, element), head[4:6], struct.unpack(f"{order}I", stream.read(4))[0]


def _pixels(stream: BinaryIO, dataset: Any) -> _Stored:
    """The pixel data; `check_pixels` has been there."""
    if syntax_of(dataset) == DeflatedExplicitVRLittleEndian:
        return _Stored(dataset.get_item("PixelData").value or b"", False, True)
    _, vr, length = _element(stream, dataset)
    if length == _UNDEFINED:
        return _Stored(read_frame(stream), True, False)
    return _Stored(stream.read(length), False, vr == b"OW")


def read_values(
    stream: BinaryIO, dataset: Any, layout: Layout, path: Path
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The values of the pixels, once `check_pixels` has passed the file.

    Args:
        stream: at the place where pydicom stopped before the pixels.
        dataset: the header.
        layout: of the pixels.
        path: of the file, for messages.

    Returns:
        Integers (rows, columns), or RGB (rows, columns, 3); sentences for `Radiograph.notes`.

    Raises:
        UnreadableImage: truncated or damaged, or not what the header says.
        UnsupportedImage: the decoder is not installed.
    """
    stored, syntax = _pixels(stream, dataset), syntax_of(dataset)
    if syntax is not None and syntax.is_encapsulated != stored.compressed:
        says, holds = ("", "are not") if syntax.is_encapsulated else ("un", "are")
        raise UnreadableImage(
            f"says that its pixels are {says}compressed, but they {holds}", path=path, remedy=_AGAIN
        )
    shift = layout.high + 1 - layout.stored
    if stored.compressed:
        head = check_frame(stored.data, syntax, layout, path)
        words = decode(stored.data, head, layout, path)
        # A frame of no more bits than the value has holds it in its lowest.
        spare = (head.precision or layout.allocated) > layout.stored
        return layout.values(words, shift if spare else 0), ()
    big = dataset.original_encoding[1] is False
    data = stored.data
    if big and stored.is_words and layout.allocated == 8:
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    if layout.samples == 3:
        return layout.values(read_colour(data, layout, path, big=big), shift), ()
    words = read_native(data, layout, path, big=big)
    values = layout.values(words, shift)
    return values, (_STRAY,) if layout.stray_bits(words, values) else ()


def syntax_of(dataset: Any) -> UID | None:
    """The transfer syntax that the file names; None where it has no file meta."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    return UID(str(named).strip(" \0")) if named else None


def no_picture(path: Path) -> UnsupportedImage:
    """The error for a file without pixels."""
    return UnsupportedImage(
        "is a DICOM object without a picture", path=path, remedy="give the image of the study"
    )
