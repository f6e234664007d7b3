"""Compressed pixels: the frame out of its fragments, checked, then decoded.

Baseline JPEG is decoded by Pillow, all other kinds by imagecodecs (BSD; libjpeg-turbo, CharLS,
OpenJPEG), RLE by pydicom. Decoders of lossy JPEG differ in the last bit: one order on all machines
makes a radiograph the same everywhere. Pillow comes first, because training read its radiographs
with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pneumoscope.errors import UnreadableImage, UnsupportedImage
from pneumoscope.imaging.codestream import Codestream, Kind, read_codestream
from pneumoscope.imaging.elements import printable
from pneumoscope.imaging.layout import Layout
from pneumoscope.imaging.native import by_pydicom

_KINDS: dict[UID, Kind] = {
    JPEGBaseline8Bit: "JPEG",
    JPEGExtended12Bit: "JPEG",
    JPEGLossless: "JPEG Lossless",
    JPEGLosslessSV1: "JPEG Lossless",
    JPEGLSLossless: "JPEG-LS",
    JPEGLSNearLossless: "JPEG-LS",
    JPEG2000Lossless: "JPEG 2000",
    JPEG2000: "JPEG 2000",
    HTJ2KLossless: "JPEG 2000",
    HTJ2KLosslessRPCL: "JPEG 2000",
    HTJ2K: "JPEG 2000",
    RLELossless: "RLE",
}
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_AGAIN = "export it again from the archive"


def check_syntax(syntax: UID, path: Path) -> None:
    """Refuse a transfer syntax that is not that of a still image.

    Raises:
        UnsupportedImage: it is a video, or unknown.
    """
    if syntax in _KINDS or not (syntax.is_private or syntax.is_encapsulated):
        return
    raise UnsupportedImage(
        f"has transfer syntax {printable(syntax.name)}, which is not a still image",
        path=path,
        remedy="export it uncompressed, as Explicit VR Little Endian",
    )


def read_frame(stream: BinaryIO) -> bytes:
    """The only frame of a pixel sequence, from its first item on.

    The Basic Offset Table is passed over: one frame is all fragments together, whatever it says.
    A missing end of the sequence is no matter, and of a fragment that was cut off the rest is
    given; whether the frame is whole is for its codestream to say.
    """
    fragments: list[bytes] = []
    while (head := stream.read(8))[:4] == _ITEM and len(head) == 8:
        fragments.append(stream.read(int.from_bytes(head[4:], "little")))
    # Some writers leave the table out, and begin with the frame.
    if fragments and read_codestream(fragments[0]) is None:
        fragments = fragments[1:]
    return b"".join(fragments)


def check_frame(frame: bytes, syntax: UID | None, layout: Layout, path: Path) -> Codestream:
    """The head of a frame that is whole, of the kind and of the size that the header says.

    Args:
        frame: what `read_frame` gave.
        syntax: that of the file; None where it has no file meta, and any kind will do.
        layout: of the file.
        path: of the file, for messages.

    Raises:
        UnreadableImage: it is not.
    """
    found = read_codestream(frame)
    if found is None:
        what = "no compressed frame" if not frame else "a frame of no kind that can be read"
        raise UnreadableImage(f"holds {what}, or a truncated one", path=path, remedy=_AGAIN)
    if syntax is not None and found.kind != _KINDS[syntax]:
        raise UnreadableImage(
            f"says that its frame is {_KINDS[syntax]}, but it is {found.kind}",
            path=path,
            remedy=_AGAIN,
        )
    if not found.whole:
        raise _truncated(found.kind, path)
    size = (found.width, found.height)
    if size not in ((None, None), (layout.columns, layout.rows)):
        raise UnreadableImage(
            f"holds a compressed frame of {size[0]} x {size[1]} pixels, "
            f"but its header says {layout.columns} x {layout.rows}",
            path=path,
            remedy=_AGAIN,
        )
    if found.components not in (None, layout.samples):
        raise UnreadableImage(
            f"holds a compressed frame of {found.components} components, "
            f"but its header says {layout.samples}",
            path=path,
            remedy=_AGAIN,
        )
    return found


def decode(frame: bytes, head: Codestream, layout: Layout, path: Path) -> NDArray[Any]:
    """Decode a frame that `check_frame` has passed.

    Returns:
        (rows, columns) words of the depth that the frame has, or (rows, columns, 3) RGB.

    Raises:
        UnreadableImage: the decoder finds it damaged.
        UnsupportedImage: the decoder is not installed.
    """
    if head.kind == "RLE" or (head.kind == "JPEG" and (head.precision or 0) <= 8):
        return _by_pydicom(frame, head, layout, path)
    try:
        import imagecodecs
    except ImportError:
        raise UnsupportedImage(
            f"is compressed as {head.kind}, and the decoder is not installed",
            path=path,
            remedy="run: pip install 'pneumoscope[dicom]'",
        ) from None
    decoders = {
        "JPEG": imagecodecs.jpeg8_decode,
        "JPEG Lossless": imagecodecs.jpeg8_decode,
        "JPEG-LS": imagecodecs.jpegls_decode,
        "JPEG 2000": imagecodecs.jpeg2k_decode,
    }
    try:
        found: NDArray[Any] = decoders[head.kind](frame)
    except Exception:  # each library has errors of its own
        raise _damaged(head.kind, path) from None
    if layout.photometric.startswith("YBR_FULL") and head.kind != "JPEG 2000":
        found = convert_color_space(found, "YBR_FULL", "RGB")
    return found


def _by_pydicom(frame: bytes, head: Codestream, layout: Layout, path: Path) -> NDArray[Any]:
    data = encapsulate([frame])
    try:
        if head.kind == "JPEG":
            return by_pydicom(JPEGBaseline8Bit, data, layout, allocated=8, plugin="pillow")
        allocated = 8 * -(-layout.allocated // 8)
        return by_pydicom(RLELossless, data, layout, allocated=allocated, plugin="pydicom")
    except Exception:  # pydicom and Pillow raise almost anything on damaged frames
        raise (_truncated if head.kind == "RLE" else _damaged)(head.kind, path) from None


def _truncated(kind: Kind, path: Path) -> UnreadableImage:
    return UnreadableImage(f"holds a truncated {kind} frame", path=path, remedy=_AGAIN)


def _damaged(kind: Kind, path: Path) -> UnreadableImage:
    return UnreadableImage(f"holds a damaged {kind} frame", path=path, remedy=_AGAIN)
