"""DICOM: which objects are frontal radiographs, and their pixels decoded safely.

pydicom parses the header, `elements` reads its values, `native` and `encapsulated` the pixels.
Only the elements listed in `_KEYWORDS`, and those that a caller names, are ever parsed, so a
patient's name never enters the process's memory as text, and no message can repeat it.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
)

from pneumoscope.ages import age_in_years
from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging.colour import gray_of_rgb
from pneumoscope.imaging.elements import MalformedElement, code, items, number, text, texts
from pneumoscope.imaging.layout import COLOUR, PALETTE, Layout
from pneumoscope.imaging.limits import Limits
from pneumoscope.imaging.orientation import Orientation, is_lateral
from pneumoscope.imaging.radiograph import Header, Radiograph, to_unit
from pneumoscope.imaging.spacing import read_spacing
from pneumoscope.imaging.stored import check_pixels, no_picture, read_values
from pneumoscope.imaging.tables import PALETTE_COLOURS, palette_colours
from pneumoscope.imaging.tone import to_gray

_PALETTE = [(colour, what) for colour in PALETTE_COLOURS for what in ("Descriptor", "Data")]
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
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
    "PresentationLUTSequence",
    *(f"{colour}PaletteColorLookupTable{what}" for colour, what in _PALETTE),
    "PixelData",
]

_MODALITIES = ("CR", "DX", "DR", "RG", "OT", "SC")
_LATERAL = ("LL", "RL", "LAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL")
_OBLIQUE = ("RLO", "LLO", "RAO", "LAO", "RPO", "LPO", "OBLIQUE")


def read_dicom(path: Path, limits: Limits) -> Radiograph:
    """Read a frontal radiograph from a DICOM file, with or without preamble and file meta.

    Gray values follow `tone.to_gray`. A colour secondary capture is accepted only when its
    channels hold one gray radiograph.

    Raises:
        UnreadableImage: damaged, truncated, or not a DICOM file.
        UnsupportedImage: no picture, several frames, colour, lateral or oblique view, a modality
            other than CR, DX, RG, OT, SC or none, no decoder, or out of the limits.
    """
    with opened(path, limits) as (stream, dataset, header, layout):
        values, notes = read_values(stream, dataset, layout, path)
        spacing, aspect, spacing_notes = read_spacing(dataset)
        pixels, tone_notes = _gray(values, layout, dataset, path)
        orientation = Orientation.of(directions_of(dataset))
        turned = (orientation.note,) if orientation.note else ()
        return Radiograph(
            pixels=pixels,
            source=path,
            spacing=spacing,
            aspect=aspect,
            modality=header.modality,
            view=header.view,
            patient=header.patient,
            orientation=orientation,
            age=age_in_years((code(dataset, "PatientAge") or "").strip().upper()),
            notes=(*notes, *spacing_notes, *tone_notes, *turned),
        )


def dicom_header(path: Path, limits: Limits) -> Header:
    """Size, patient, view and modality without reading pixels; refuses what can be foreseen.

    Raises:
        UnreadableImage: damaged or not a DICOM file.
        UnsupportedImage: as `read_dicom`, where the header alone tells.
    """
    with opened(path, limits) as (_, _, header, _):
        return header


@contextmanager
def opened(
    path: Path, limits: Limits, *, also: Sequence[str] = ()
) -> Iterator[tuple[BinaryIO, Any, Header, Layout]]:
    """A frontal radiograph's file, checked, with its stream where the pixels begin.

    Args:
        path: the file.
        limits: sizes checked before anything is decoded.
        also: keywords of further elements to parse.

    Raises:
        UnreadableImage, UnsupportedImage: as `read_dicom`, within the block too.
    """
    with _guarded(path), path.open("rb") as stream:
        dataset = _parse(stream, path, limits, also)
        header, layout = _header(dataset, path, limits)
        check_pixels(stream, dataset, path)
        yield stream, dataset, header, layout


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
    except MalformedElement as error:
        raise UnreadableImage(
            f"has a malformed {error.keyword}", path=path, remedy="export it again from the archive"
        ) from None
    except Exception:  # pydicom raises almost anything on damaged files
        raise UnreadableImage(
            "is a damaged or truncated DICOM file",
            path=path,
            remedy="export it again from the archive",
        ) from None


def _parse(stream: BinaryIO, path: Path, limits: Limits, also: Sequence[str]) -> Any:
    """The header, restricted to `_KEYWORDS` and `also`; the stream is left at the pixels.

    A deflated file is inflated whole, its pixel data with it.
    """
    deflated = _is_deflated(stream, path, limits)
    stream.seek(0)
    wanted: list[Any] = [*_KEYWORDS, *also]
    dataset = dcmread(stream, force=True, stop_before_pixels=not deflated, specific_tags=wanted)
    if "Rows" not in dataset and "Columns" not in dataset:
        if _has_preamble(path):
            raise no_picture(path)
        raise UnreadableImage(
            "is not an image that can be read", path=path, remedy="give PNG, JPEG, TIFF or DICOM"
        )
    return dataset


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _is_deflated(stream: BinaryIO, path: Path, limits: Limits) -> bool:
    """Whether a dataset is deflated; pydicom inflates it without bounds, so it is checked here."""
    if stream.read(132)[128:] != b"DICM":
        stream.seek(0)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != 2,
    )
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return False
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(stream.read(), limits.max_bytes)
    if inflater.unconsumed_tail:
        raise UnsupportedImage(
            f"inflates to more than {limits.max_bytes / 2**20:,.0f} MB",
            path=path,
            remedy="export it without deflating",
        )
    return True


def _header(dataset: Any, path: Path, limits: Limits) -> tuple[Header, Layout]:
    modality, view = code(dataset, "Modality"), code(dataset, "ViewPosition")
    _check_kind(dataset, path, modality, view)
    layout = Layout.read(dataset, path)
    limits.check_size(path, layout.columns, layout.rows)
    header = Header(
        width=layout.columns,
        height=layout.rows,
        patient=text(dataset, "PatientID"),
        view=view,
        modality=modality,
    )
    return header, layout


def _check_kind(dataset: Any, path: Path, modality: str | None, view: str | None) -> None:
    """Refuse whatever is not one frame of a frontal radiograph."""
    if modality is not None and modality not in _MODALITIES:
        raise UnsupportedImage(
            f"has modality {modality}, which is not a radiograph",
            path=path,
            remedy=f"give a chest radiograph ({', '.join(_MODALITIES[:2])})",
        )
    side = _side_view(dataset, view)
    if side is not None:
        raise UnsupportedImage(
            f"is {side} view",
            path=path,
            remedy="give the frontal radiograph (PA or AP) of the study",
        )
    frames = number(dataset, "NumberOfFrames") or 1
    if frames > 1:
        raise UnsupportedImage(
            f"holds {frames:.0f} frames", path=path, remedy="export the radiograph as one frame"
        )


def _side_view(dataset: Any, view: str | None) -> str | None:
    """What kind of side view the file says it is, by its view position, else by its view code."""
    if view is None:
        codes = items(dataset, "ViewCodeSequence")
        view = code(codes[0], "CodeMeaning") if codes else None
    if view is None:
        return "a lateral" if is_lateral(directions_of(dataset)) else None
    if "DECUBITUS" in view:
        return None
    if view in _LATERAL or "LATERAL" in view.split():
        return "a lateral"
    return "an oblique" if view in _OBLIQUE or "OBLIQUE" in view.split() else None


def directions_of(dataset: Any) -> list[str] | None:
    """Where the rows and the columns run to in the patient; None if the file does not say."""
    return list(texts(dataset, "PatientOrientation")) or None


def _gray(
    values: NDArray[Any], layout: Layout, dataset: Any, path: Path
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    if layout.photometric == PALETTE:
        colours = palette_colours(dataset, layout)
        rgb = colours[np.clip(values.astype(np.int64) - layout.lowest, 0, len(colours) - 1)]
        gray, full_scale = gray_of_rgb(rgb, 65535), 65535
    elif layout.photometric in COLOUR:
        full_scale = layout.highest
        gray = gray_of_rgb(values, full_scale) if values.dtype.kind == "u" else None
    else:
        return to_gray(values, layout, dataset)
    if gray is None:
        raise UnsupportedImage(
            "is a colour picture", path=path, remedy="export the gray original (MONOCHROME2)"
        )
    return to_unit(gray, full_scale), ()
