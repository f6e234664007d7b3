"""What a compressed frame says of itself: kind, size, depth, and whether its end is there.

Looked at before anything is decoded: decoders allocate what a frame declares, draw noise from a
frame of another kind, and fill the missing part of one that was cut short without a word.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["JPEG", "JPEG Lossless", "JPEG-LS", "JPEG 2000", "RLE"]

_SOI, _EOI, _EOC = b"\xff\xd8", b"\xff\xd9", b"\xff\xd9"
_SOC_SIZ = b"\xff\x4f\xff\x51"
# Start-of-frame markers (ISO/IEC 10918-1 B.1.1.3, 14495-1): DHT, JPG and DAC are none.
_FRAMES: dict[int, Kind] = {
    **dict.fromkeys((0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC9, 0xCA, 0xCD, 0xCE), "JPEG"),
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "JPEG Lossless"),
    0xF7: "JPEG-LS",
}
_SOS = 0xDA
_RLE_HEADER = 64


@dataclass(frozen=True, slots=True)
class Codestream:
    """The head of a compressed frame.

    Args:
        kind: how it is compressed.
        width, height: of the picture; None where it does not say (RLE).
        precision: bits per sample; None where it does not say.
        components: colours; None where it does not say.
        whole: whether its end is there.
    """

    kind: Kind
    width: int | None
    height: int | None
    precision: int | None
    components: int | None
    whole: bool


def read_codestream(frame: bytes) -> Codestream | None:
    """The head of a frame; None if it is of no kind that DICOM knows."""
    if frame.startswith(_SOI):
        return _jpeg(frame)
    start = frame.find(_SOC_SIZ, 0, 4096) if frame[4:8] == b"jP  " else 0  # in a JP2 file
    if frame[start : start + 4] == _SOC_SIZ:
        return _jpeg_2000(frame[start:] if start else frame)
    return _rle(frame)


def _jpeg(frame: bytes) -> Codestream | None:
    found: Codestream | None = None
    for marker, place in _segments(frame):
        if marker in _FRAMES and place + 8 <= len(frame):
            precision, height, width, components = struct.unpack_from(">BHHB", frame, place + 2)
            found = Codestream(_FRAMES[marker], width, height, precision, components, False)
        if marker == _SOS and found is not None:
            # Bytes after FF are stuffed inside a scan, so that this can only be the end.
            whole = frame.find(_EOI, place) > 0
            return Codestream(
                found.kind, found.width, found.height, found.precision, found.components, whole
            )
    return found


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of its length, for each segment up to the first scan."""
    place = 2
    while place + 4 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        yield marker, place + 2
        if marker == _SOS:
            return
        place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big")


def _jpeg_2000(frame: bytes) -> Codestream | None:
    if len(frame) < 43:
        return Codestream("JPEG 2000", None, None, None, None, False)
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)  # ISO/IEC 15444-1 A.5.1
    components = int.from_bytes(frame[40:42], "big")
    precision = (frame[42] & 0x7F) + 1
    return Codestream(
        "JPEG 2000", right - left, bottom - top, precision, components, _has_all_tiles(frame)
    )


def _has_all_tiles(frame: bytes) -> bool:
    """Whether the tile-parts end where they say, and EOC follows or was only left out."""
    place = 2
    while place + 4 <= len(frame) and frame[place : place + 2] != b"\xff\x90":  # SOT
        place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    while frame[place : place + 2] == b"\xff\x90" and place + 12 <= len(frame):
        (length,) = struct.unpack_from(">I", frame, place + 6)
        if length == 0:  # up to EOC
            return frame.find(_EOC, place) > 0
        if length < 14 or place + length > len(frame):
            return False
        place += length
    rest = frame[place : place + 2]
    return place > 2 and (rest == _EOC or not rest.strip(b"\0"))


def _rle(frame: bytes) -> Codestream | None:
    """A frame of PackBits segments (PS3.5 G.5): their number, their places, zeros."""
    if len(frame) < _RLE_HEADER:
        return None
    count, *places = struct.unpack_from("<16I", frame)
    used = places[:count]
    if not 0 < count <= 15 or any(places[count:]) or used[0] != _RLE_HEADER:
        return None
    if any(after <= before for before, after in pairwise(used)):
        return None
    return Codestream("RLE", None, None, None, None, used[-1] < len(frame))
