"""DICOM through pydicom: which objects are frontal films, and their pixels decoded safely.

Only the elements listed in `_KEYWORDS` are ever parsed, so a patient's name never enters the
process's memory as text, and no message can repeat it.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging.colour import gray_of_rgb
from pneumoscope.imaging.limits import Limits
from pneumoscope.imaging.orientation import Orientation, age_in_years, is_lateral
from pneumoscope.imaging.radiograph import Header, Radiograph, to_unit
from pneumoscope.imaging.tone import first_number, to_gray

_KEYWORDS = [
    "TransferSyntaxUID",
    "Modality",
    "PatientID",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "PatientAge",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
]

_MODALITIES = ("CR", "DX", "DR", "RG", "OT", "SC")
_LATERAL = ("LL", "RL", "LAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL")
_OBLIQUE = ("RLO", "LLO", "RAO", "LAO", "RPO", "LPO", "OBLIQUE")
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_JPEG_DECODER = "pip install pylibjpeg pylibjpeg-libjpeg"
_JPEG2000_DECODER = "pip install pylibjpeg pylibjpeg-openjpeg"
# Start-of-frame markers of JPEG (all but DHT, JPG and DAC) and of JPEG-LS.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}


def read_dicom(path: Path, limits: Limits) -> Radiograph:
    """Read a frontal film from a DICOM file, with or without preamble and file meta.

    Gray values follow `tone.to_gray`. A colour secondary capture is accepted only when its
    channels hold one gray film.

    Raises:
        UnreadableImage: damaged, truncated, or not a DICOM file.
        UnsupportedImage: no picture, several frames, colour, lateral or oblique view, a modality
            other than CR, DX, RG, OT, SC or none, no decoder, or out of the limits.
    """
    with _guarded(path):
        dataset = _parse(path, limits, stop_before_pixels=False)
        header = _header(dataset, path, limits)
        if "PixelData" not in dataset:
            raise _no_picture(path)
        _check_decoder(dataset, path)
        _check_frame(dataset, path, header)
        decoded = _decode(dataset)
        return Radiograph(
            pixels=_gray(decoded, dataset, path),
            source=path,
            spacing=_spacing(dataset),
            modality=header.modality,
            view=header.view,
            patient=header.patient,
            orientation=Orientation.of(_directions(dataset)),
            age=age_in_years(_code(dataset, "PatientAge")),
        )


def dicom_header(path: Path, limits: Limits) -> Header:
    """Size, patient, view and modality without reading pixels; refuses what can be foreseen.

    Raises:
        UnreadableImage: damaged or not a DICOM file.
        UnsupportedImage: as `read_dicom`, where the header alone tells.
    """
    with _guarded(path):
        return _header(_parse(path, limits, stop_before_pixels=True), path, limits)


def has_dicom_start(head: bytes) -> bool:
    """Whether a file's first 140 bytes are those of DICOM.

    Either the standard preamble with "DICM", or, as older archives write, a dataset at once: a
    first element of group 0002 or 0008 with a known value representation or a short length.
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8:
        return False
    group, _, length = struct.unpack("<HHI", head[:8])
    explicit = re.fullmatch(rb"(AE|CS|DA|DT|IS|LO|OB|PN|SH|SQ|ST|TM|UI|UL|US)", head[4:6])
    return group in (0x0002, 0x0008) and (explicit is not None or length <= 256)


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Turn whatever pydicom and the decoders raise into an `ImageError`.

    Their messages can quote values from the file, so only the kind of error is passed on.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except MemoryError:
        raise UnreadableImage(
            "needs more memory than there is", path=path, remedy="export it at a lower resolution"
        ) from None
    except Exception as error:
        raise UnreadableImage(
            f"is a damaged or truncated DICOM file ({type(error).__name__})",
            path=path,
            remedy="export it again from the archive",
        ) from None


def _parse(path: Path, limits: Limits, *, stop_before_pixels: bool) -> Any:
    """The dataset, restricted to `_KEYWORDS`, with a transfer syntax in its file meta."""
    _check_inflated_size(path, limits)
    dataset = dcmread(
        path, force=True, stop_before_pixels=stop_before_pixels, specific_tags=_KEYWORDS
    )
    if "Rows" not in dataset and "Columns" not in dataset:
        if _has_preamble(path):
            raise _no_picture(path)
        raise UnreadableImage(
            "is not an image that can be read", path=path, remedy="give PNG, JPEG, TIFF or DICOM"
        )
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        if implicit:
            syntax = ImplicitVRLittleEndian
        else:
            syntax = ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _check_inflated_size(path: Path, limits: Limits) -> None:
    """Refuse a deflated dataset that would inflate beyond the limit; pydicom inflates unbounded."""
    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            stream.seek(0)
        meta = read_dataset(
            stream,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: tag.group != 2,
        )
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(stream.read(), limits.max_bytes)
    if inflater.unconsumed_tail:
        raise UnsupportedImage(
            f"inflates to more than {limits.max_bytes / 2**20:,.0f} MB",
            path=path,
            remedy="export it without deflating",
        )


def _header(dataset: Any, path: Path, limits: Limits) -> Header:
    modality, view = _code(dataset, "Modality"), _code(dataset, "ViewPosition")
    _check_kind(dataset, path, modality, view)
    width, height = int(dataset.Columns), int(dataset.Rows)
    limits.check_size(path, width, height)
    bits = int(dataset.get("BitsAllocated") or 0)
    if bits not in (8, 16):
        raise UnsupportedImage(
            f"stores {bits} bits per pixel", path=path, remedy="export it with 8 or 16 bits"
        )
    patient = str(dataset.get("PatientID") or "").strip()
    return Header(width=width, height=height, patient=patient or None, view=view, modality=modality)


def _check_kind(dataset: Any, path: Path, modality: str | None, view: str | None) -> None:
    """Refuse whatever is not one frame of a frontal film."""
    if modality is not None and modality not in _MODALITIES:
        raise UnsupportedImage(
            f"has modality {modality}, which is not a radiograph",
            path=path,
            remedy=f"give a chest radiograph ({', '.join(_MODALITIES[:2])})",
        )
    side = _side_view(dataset, view)
    if side is not None:
        raise UnsupportedImage(
            f"is {side} view", path=path, remedy="give the frontal film (PA or AP) of the study"
        )
    frames = first_number(dataset, "NumberOfFrames") or 1
    if frames > 1:
        raise UnsupportedImage(
            f"holds {frames:.0f} frames", path=path, remedy="export the radiograph as one frame"
        )
    photometric = _code(dataset, "PhotometricInterpretation")
    if photometric not in _GRAY + _COLOUR:
        raise UnsupportedImage(
            f"has photometric interpretation {photometric or 'missing'}",
            path=path,
            remedy="export it as MONOCHROME2",
        )


def _side_view(dataset: Any, view: str | None) -> str | None:
    """What kind of side view the file says it is, by its view position, else by its view code."""
    if view is None:
        sequence = dataset.get("ViewCodeSequence")
        view = _code(sequence[0], "CodeMeaning") if sequence else None
    if view is None:
        return "a lateral" if is_lateral(_directions(dataset)) else None
    if "DECUBITUS" in view:
        return None
    if view in _LATERAL or "LATERAL" in view.split():
        return "a lateral"
    return "an oblique" if view in _OBLIQUE or "OBLIQUE" in view.split() else None


def _directions(dataset: Any) -> list[str] | None:
    """Where the rows and the columns run to in the patient; None if the file does not say."""
    value = dataset.get("PatientOrientation")
    return None if value is None or isinstance(value, str) else [str(item) for item in value]


def _check_decoder(dataset: Any, path: Path) -> None:
    """Refuse a transfer syntax that nothing installed here can decode, saying what to install."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise UnsupportedImage(
            f"has transfer syntax {_printable(syntax.name)}, which is not a still image",
            path=path,
            remedy="export it uncompressed, as Explicit VR Little Endian",
        ) from None
    if not available:
        install = _JPEG2000_DECODER if "2000" in syntax.name else _JPEG_DECODER
        raise UnsupportedImage(
            f"has transfer syntax {syntax.name} and no decoder for it is installed",
            path=path,
            remedy=f"run: {install}",
        )


def _check_frame(dataset: Any, path: Path, header: Header) -> None:
    """Refuse a compressed frame that was cut off, or is not of the size that the limits allowed.

    Both before decoding: decoders allocate what the frame declares, and pylibjpeg's libjpeg fills
    the missing part of a truncated film without a word.
    """
    if not UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
        return
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if frame.startswith(b"\xff\xd8") and b"\xff\xd9" not in frame[-64:]:  # SOI without EOI
        raise UnreadableImage(
            "holds a truncated JPEG frame", path=path, remedy="export it again from the archive"
        )
    size = codestream_size(frame)
    if size is not None and size != (header.width, header.height):
        raise UnreadableImage(
            f"holds a compressed frame of {size[0]} x {size[1]} pixels, "
            f"but its header says {header.width} x {header.height}",
            path=path,
            remedy="export it again from the archive",
        )


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, JPEG-LS or JPEG 2000 codestream declares; None if unclear."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # SOC, SIZ: ISO/IEC 15444-1 A.5.1
        right, bottom, left, top = struct.unpack(">4I", frame[8:24])
        return right - left, bottom - top
    if frame[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        if frame[place + 1] in _JPEG_FRAMES:  # ISO/IEC 10918-1 B.2.2
            height, width = struct.unpack(">2H", frame[place + 5 : place + 9])
            return width, height
        if frame[place + 1] == 0xFF:  # fill byte
            place += 1
        else:
            place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None


def _decode(dataset: Any) -> NDArray[Any]:
    """The stored values; by Pillow where it can, then by any other decoder.

    Lossy JPEG decoders differ in the last bit: one that is always installed and tried first makes
    a film the same everywhere. It is also the fastest (1024 x 1024 JPEG: 3 ms, libjpeg 29 ms).
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if "pillow" in get_decoder(syntax).available_plugins:
        try:
            return pixel_array(dataset, index=0, decoding_plugin="pillow")
        except Exception:  # 12-bit or lossless JPEG under a baseline label: others may know it
            return pixel_array(dataset, index=0)
    return pixel_array(dataset, index=0)


def _gray(decoded: NDArray[Any], dataset: Any, path: Path) -> NDArray[np.float32]:
    if decoded.ndim == 2 and decoded.dtype.kind in "iu":
        return to_gray(decoded, dataset)
    gray = gray_of_rgb(decoded) if decoded.dtype == np.uint8 and decoded.ndim == 3 else None
    if gray is None:
        raise UnsupportedImage(
            "is a colour picture", path=path, remedy="export the gray original (MONOCHROME2)"
        )
    return to_unit(gray, 255)


def _spacing(dataset: Any) -> tuple[float, float] | None:
    """Millimetres per pixel, in the patient if calibrated, else at the detector; zero is absent."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        value = dataset.get(keyword)
        if value is not None and not isinstance(value, str) and len(value) == 2:
            row, column = float(value[0]), float(value[1])
            if 0 < row < np.inf and 0 < column < np.inf:
                return row, column
    return None


def _code(dataset: Any, keyword: str) -> str | None:
    """First value of a code string, upper case; None when absent or empty."""
    value = dataset.get(keyword)
    if value is not None and not isinstance(value, str):
        value = value[0] if len(value) else None
    text = str(value or "").strip().upper()
    return _printable(text) or None


def _printable(text: str) -> str:
    """Short text without control characters: a file must not be able to drive the terminal."""
    return re.sub(r"[^\w .,()/\[\]-]", "?", text)[:64]


def _no_picture(path: Path) -> UnsupportedImage:
    return UnsupportedImage(
        "is a DICOM object without a picture", path=path, remedy="give the image of the study"
    )
