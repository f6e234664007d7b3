"""Uncompressed pixels: bytes to the words that stand in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from pneumoscope.errors import UnreadableImage
from pneumoscope.imaging.layout import Layout

_CHUNK = 2**18  # samples; a multiple of 8, so that every chunk begins with a byte


def read_native(data: bytes, layout: Layout, path: Path, *, big: bool) -> NDArray[np.integer]:
    """The words of an uncompressed gray frame.

    Args:
        data: the pixel data; padding after the frame is passed over.
        layout: of the frame; any even depth, packed or not.
        path: of the file, for messages.
        big: whether words are big-endian.

    Returns:
        uint8, uint16 or uint32 (rows, columns).

    Raises:
        UnreadableImage: there are fewer pixels than the header says, or several times as many.
    """
    _check_length(len(data), layout, path)
    count = layout.rows * layout.columns
    if layout.allocated in (8, 16, 32):
        order = ">" if big else "<"
        words = np.frombuffer(data, f"{order}u{layout.allocated // 8}", count)
        words = words.astype(words.dtype.newbyteorder("="), copy=False)
    else:
        whole = data[: layout.frame_bytes + layout.frame_bytes % 2]
        if big:  # samples run through 16-bit words from their lowest bit on
            whole = np.frombuffer(whole, ">u2").astype("<u2").tobytes()
        words = _unpacked(np.frombuffer(whole, np.uint8), count, layout.allocated)
    return words.reshape(layout.rows, layout.columns)


def read_colour(data: bytes, layout: Layout, path: Path, *, big: bool) -> NDArray[Any]:
    """RGB (rows, columns, 3) of an uncompressed colour picture, in words of BitsAllocated.

    Arguments and errors as of `read_native`.
    """
    _check_length(len(data), layout, path)
    if layout.planar not in (0, 1):
        raise UnreadableImage(
            "has no PlanarConfiguration, without which its pixels mean nothing",
            path=path,
            remedy="export it again from the archive",
        )
    return by_pydicom(ExplicitVRBigEndian if big else ExplicitVRLittleEndian, data, layout)


def by_pydicom(
    syntax: UID, data: bytes, layout: Layout, *, allocated: int | None = None, plugin: str = ""
) -> NDArray[Any]:
    """The frame as pydicom decodes it: whole words, whatever of them is the value.

    Args:
        syntax: of the data.
        data: as in the file.
        layout: of the frame.
        allocated: bits of a word, where they are not those of the layout.
        plugin: which decoder; any if empty.

    Raises:
        Exception: of any kind; pydicom and its decoders are not particular.
    """
    bits = allocated or layout.allocated
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar or 0,
        "number_of_frames": 1,
        "bits_allocated": bits,
        "bits_stored": bits,
        "pixel_representation": 0,
        "pixel_keyword": "PixelData",
    }
    decoded: NDArray[Any]
    decoded, _ = get_decoder(syntax).as_array(data, index=0, decoding_plugin=plugin, **options)
    return decoded


def _check_length(length: int, layout: Layout, path: Path) -> None:
    """Refuse pixel data of another size than the header says; some bytes of padding are usual.

    Raises:
        UnreadableImage: it is shorter, or at least twice as long.
    """
    expected = layout.frame_bytes
    if length < expected:
        raise UnreadableImage(
            f"holds truncated pixels ({length:,} bytes instead of {expected:,})",
            path=path,
            remedy="export it again from the archive",
        )
    if length >= 2 * expected:
        raise UnreadableImage(
            f"holds {length:,} bytes of pixels, but its header describes {expected:,}",
            path=path,
            remedy="export it again from the archive, as one frame",
        )


def _unpacked(data: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.integer]:
    """Samples of `bits` bits that follow each other without gaps, lowest bit first."""
    words: NDArray[np.integer] = np.zeros(count, np.uint16 if bits <= 16 else np.uint32)
    for start in range(0, count, _CHUNK):
        some = min(_CHUNK, count - start)
        first = start * bits // 8
        stream = np.unpackbits(data[first : first - (-some * bits // 8)], bitorder="little")
        places = stream[: some * bits].reshape(some, bits).astype(words.dtype)
        words[start : start + some] = (places << np.arange(bits, dtype=words.dtype)).sum(axis=1)
    return words
