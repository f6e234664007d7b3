"""The two ways in: a whole radiograph, or only its header. Content decides, not the suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pneumoscope.errors import UnreadableImage
from pneumoscope.imaging.limits import DEFAULT_LIMITS, Limits
from pneumoscope.imaging.radiograph import Header, Radiograph
from pneumoscope.imaging.raster import raster_header, read_raster

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
"""Suffixes, lower case, of files taken for radiographs when a folder is scanned."""

_HEAD = 140
_RASTER_STARTS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)
_OTHER_STARTS = {
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"RIFF": "a WebP picture or a video",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive (NIfTI perhaps)",
    b"version https://git-lfs": "a Git LFS pointer, not the file it stands for",
    b"<": "a web page or XML",
}


def read_radiograph(
    path: Path, *, limits: Limits = DEFAULT_LIMITS, model: int | None = None
) -> Radiograph:
    """Read one frontal chest radiograph from PNG, JPEG, TIFF or DICOM.

    Args:
        path: the file; its first bytes say what it is.
        limits: sizes checked before anything is decoded.
        model: side of a model's input in pixels, if the radiograph is wanted for this alone. A JPEG
            is then decoded at a half, a quarter or an eighth of its size, as far as its longest
            side stays at least twice the model's. None for all pixels.

    Raises:
        UnreadableImage: missing, a folder, empty, truncated, or not an image.
        UnsupportedImage: an image, but not a single gray frontal radiograph within the limits.
    """
    path = Path(path)
    if _kind(path, limits) == "raster":
        return read_raster(path, limits, model)
    from pneumoscope.imaging.dicom import read_dicom

    return read_dicom(path, limits)


def read_header(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Read a radiograph's size, patient, view and modality without decoding its pixels.

    Refuses what `read_radiograph` would, as far as the header tells: whether pixels are coloured,
    transparent or truncated shows only when they are decoded.

    Raises:
        UnreadableImage, UnsupportedImage: as `read_radiograph`.
    """
    path = Path(path)
    if _kind(path, limits) == "raster":
        return raster_header(path, limits)
    from pneumoscope.imaging.dicom import dicom_header

    return dicom_header(path, limits)


def is_dicom_file(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether a file would be read as DICOM.

    Raises:
        UnreadableImage, UnsupportedImage: as `read_radiograph`.
    """
    return _kind(Path(path), limits) == "dicom"


def is_radiograph_file(path: Path) -> bool:
    """Whether a scan of a folder should take `path` for a radiograph.

    True for the suffixes in `SUFFIXES`, and for every other file that begins as DICOM does,
    whatever its suffix (.IMA, .img, a number, none). Hidden files (".DS_Store", the "._name" twins
    that macOS writes) and DICOMDIR are not radiographs.
    """
    path = Path(path)
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return is_dicom_start(stream.read(_HEAD))
    except OSError:
        return False


def is_dicom_start(head: bytes) -> bool:
    """Whether a file's first 140 bytes are those of a DICOM file."""
    from pneumoscope.imaging.dicom import has_dicom_start

    return has_dicom_start(head)


def _kind(path: Path, limits: Limits) -> Literal["raster", "dicom"]:
    """What the file is by its first bytes, after its size has been checked."""
    head = _head(path, limits)
    if head[128:132] != b"DICM" and head.startswith(_RASTER_STARTS):
        return "raster"
    from pneumoscope.imaging.dicom import has_dicom_start

    if has_dicom_start(head):
        return "dicom"
    known = next((name for start, name in _OTHER_STARTS.items() if head.startswith(start)), None)
    raise UnreadableImage(
        f"is {known}" if known else "is not an image that can be read",
        path=path,
        remedy="give PNG, JPEG, TIFF or DICOM",
    )


def _head(path: Path, limits: Limits) -> bytes:
    try:
        if path.is_dir():
            raise UnreadableImage("is a folder", path=path, remedy="give an image file")
        if not path.exists():
            raise UnreadableImage("does not exist", path=path, remedy="check the path")
        if not path.is_file():
            raise UnreadableImage("is not a regular file", path=path, remedy="give an image file")
        limits.check_bytes(path, path.stat().st_size)
        with path.open("rb") as stream:
            return stream.read(_HEAD)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise UnreadableImage(
            f"cannot be read ({getattr(error, 'strerror', None) or error})",
            path=path,
            remedy="check the path and its permissions",
        ) from error
