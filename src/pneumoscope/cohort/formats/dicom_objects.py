"""Annotations in DICOM: Segmentations, and outlines in Grayscale Softcopy Presentation States."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.cohort.formats.marks import Box, FieldFile, Mark, Mask, Outline, Shape
from pneumoscope.cohort.formats.outlines import polygon_mask
from pneumoscope.errors import CohortError, PneumoscopeError
from pneumoscope.extras import require
from pneumoscope.imaging import DEFAULT_LIMITS, is_dicom_start

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
PRESENTATION = "1.2.840.10008.5.1.4.1.1.11.1"
_ROUND = 72
_HEAD = 140
_MOST_PIXELS = 4 * DEFAULT_LIMITS.max_pixels


def read_dicom_objects(path: Path, files: Sequence[Path]) -> FieldFile:
    """Read DICOM Segmentations and presentation states; they name radiographs by SOP Instance UID.

    Args:
        path: the file or folder, for messages.
        files: the DICOM files.

    Raises:
        CohortError: none of the files is such an object, or one is damaged.
        MissingExtra: pycocotools is not installed, and there is an outline other than a box.
    """
    from pydicom import dcmread

    marks: list[Mark] = []
    kinds: set[str] = set()
    for file in files:
        try:
            DEFAULT_LIMITS.check_bytes(file, file.stat().st_size)
            kind = str(dcmread(file, specific_tags=["SOPClassUID"]).get("SOPClassUID", ""))
            if kind in SEGMENTATIONS:
                kinds.add("Segmentations")
                marks += _segments(file)
            elif kind == PRESENTATION:
                kinds.add("presentation states")
                marks += _graphics(file)
        except PneumoscopeError:
            raise
        except Exception as error:  # pydicom raises what it meets
            raise CohortError(
                f"cannot be read as an annotation in DICOM ({error})",
                path=file,
                remedy="export it again",
            ) from error
    if not kinds:
        raise CohortError(
            "holds DICOM, but neither Segmentations nor Grayscale Softcopy Presentation States",
            path=path,
            remedy="give the objects that hold the annotations, not the radiographs",
        )
    named = " and ".join(sorted(kinds))
    return FieldFile(path, f"DICOM {named}", marks, by_uid=True, may_be_empty=True)


def film_uid(path: Path) -> str:
    """The SOP Instance UID of a DICOM radiograph; "" for other and unreadable files."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with path.open("rb") as stream:
            if not is_dicom_start(stream.read(_HEAD)):
                return ""
        film = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"], force=True)
        return str(film.get("SOPInstanceUID", ""))
    except (OSError, ValueError, InvalidDicomError):
        return ""


def _segments(path: Path) -> Iterator[Mark]:
    """One mark for each radiograph and segment.

    Read by pydicom: highdicom refuses what is valid for a projection, such as no slice thickness.
    """
    from pydicom import dcmread

    image = dcmread(path, stop_before_pixels=True)
    if image.Rows * image.Columns * int(image.get("NumberOfFrames", 1)) > _MOST_PIXELS:
        raise CohortError(
            "has too many pixels", path=path, remedy="export it at the radiograph's size"
        )
    labels = {
        int(segment.SegmentNumber): str(segment.get("SegmentLabel", ""))
        for segment in image.SegmentSequence
    }
    frames: dict[tuple[str, int], list[int]] = {}
    for index, (numbers, films) in enumerate(_frames(image, list(labels))):
        if not films:
            raise CohortError(
                "does not say which radiographs its frames are of",
                path=path,
                remedy="export it again",
            )
        for film in films:
            for number in numbers:
                frames.setdefault((film, number), []).append(index)
    for (film, number), own in frames.items():
        outline = Outline(partial(_segment, path, number, tuple(own)))
        yield Mark(film, labels.get(number, ""), shape=outline)


def _frames(image: Any, segments: Sequence[int]) -> Iterator[tuple[Sequence[int], list[str]]]:
    """The segments that each frame shows, and the radiographs it is of."""
    shared = image.get("SharedFunctionalGroupsSequence") or [None]
    listed = [
        str(item.ReferencedSOPInstanceUID)
        for series in image.get("ReferencedSeriesSequence", ())
        for item in series.get("ReferencedInstanceSequence", ())
    ]
    for own in image.PerFrameFunctionalGroupsSequence:
        groups = [group for group in (own, shared[0]) if group is not None]
        named = [
            int(item.ReferencedSegmentNumber)
            for group in groups
            for item in group.get("SegmentIdentificationSequence", ())
        ]
        films = [
            str(source.ReferencedSOPInstanceUID)
            for group in groups
            for item in group.get("DerivationImageSequence", ())
            for source in item.get("SourceImageSequence", ())
        ]
        yield named[:1] or segments, films or listed[: len(listed) == 1]


def _segment(path: Path, number: int, frames: Sequence[int], height: int, width: int) -> Mask:
    from pydicom import dcmread

    try:
        image = dcmread(path)
        pixels = np.asarray(image.pixel_array).reshape(-1, image.Rows, image.Columns)[list(frames)]
    except Exception as error:  # pydicom and its decoders raise what they meet
        raise CohortError(
            f"cannot be read as a Segmentation ({error})", path=path, remedy="export it again"
        ) from error
    kind = str(image.get("SegmentationType", "BINARY"))
    if kind == "LABELMAP":
        return np.asarray((pixels == number).any(axis=0), dtype=np.bool_)
    most = int(image.get("MaximumFractionalValue", 255)) if kind == "FRACTIONAL" else 1
    return np.asarray((2 * pixels.astype(np.int64) >= most).any(axis=0), dtype=np.bool_)


def _graphics(path: Path) -> Iterator[Mark]:
    from pydicom import dcmread

    state = dcmread(path)
    all_films = [
        str(item.ReferencedSOPInstanceUID)
        for series in state.get("ReferencedSeriesSequence", ())
        for item in series.get("ReferencedImageSequence", ())
    ]
    for uid in all_films:
        yield Mark(uid, "", present=False)
    for annotation in state.get("GraphicAnnotationSequence", ()):
        own = [
            str(item.ReferencedSOPInstanceUID)
            for item in annotation.get("ReferencedImageSequence", ())
        ]
        for graphic in annotation.get("GraphicObjectSequence", ()):
            if shape := _shape(graphic, path):
                yield from (Mark(uid, "", shape=shape) for uid in own or all_films)


def _shape(graphic: Any, path: Path) -> Shape | None:
    """The area that a graphic encloses; None for points and open lines."""
    points = np.asarray(graphic.GraphicData, dtype=np.float64).reshape(-1, 2)
    kind = str(graphic.GraphicType)
    if kind == "POINT" or (kind in ("POLYLINE", "INTERPOLATED") and not _closed(graphic, points)):
        return None
    if str(graphic.GraphicAnnotationUnits) != "PIXEL":
        raise CohortError(
            "has graphics in units of the display, which no pixels of the radiograph belong to",
            path=path,
            remedy="draw them in units of PIXEL",
        )
    if kind in ("CIRCLE", "ELLIPSE"):
        points = _round(kind, points)
    low, high = points.min(axis=0), points.max(axis=0)
    corners = {(x, y) for x in (low[0], high[0]) for y in (low[1], high[1])}
    if kind == "POLYLINE" and set(map(tuple, points)) == corners:
        across, down = high - low
        return Box(float(low[0]), float(low[1]), float(across), float(down))
    require("annotations", "an outline in a presentation state")
    outline = points.ravel().tolist()
    return Outline(lambda height, width: polygon_mask(outline, height, width, path))


def _closed(graphic: Any, points: Any) -> bool:
    filled = str(graphic.get("GraphicFilled", "N")) == "Y"
    return len(points) > 2 and (filled or bool(np.allclose(points[0], points[-1])))


def _round(kind: str, points: Any) -> Any:
    """A circle (centre, a point on it) or an ellipse (ends of its axes) as a polygon."""
    angle = np.linspace(0.0, 2.0 * np.pi, _ROUND, endpoint=False)[:, None]
    if kind == "CIRCLE":
        centre, radius = points[0], float(np.hypot(*(points[1] - points[0])))
        return centre + radius * np.hstack([np.cos(angle), np.sin(angle)])
    centre = points[:2].mean(axis=0)
    return centre + np.cos(angle) * (points[1] - centre) + np.sin(angle) * (points[3] - centre)
