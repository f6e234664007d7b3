"""Annotations in DICOM: Segmentations, and outlines in Grayscale Softcopy Presentation States."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.cohort.formats.marks import Box, FieldFile, Mark, Mask, Outline, Shape
from pneumoscope.cohort.formats.outlines import polygon_mask
from pneumoscope.errors import CohortError
from pneumoscope.extras import require
from pneumoscope.imaging import DEFAULT_LIMITS

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
PRESENTATION = "1.2.840.10008.5.1.4.1.1.11.1"
_ROUND = 72


def read_dicom_objects(path: Path, files: Sequence[Path]) -> FieldFile:
    """Read DICOM Segmentations and presentation states; they name films by SOP Instance UID.

    Args:
        path: the file or folder, for messages.
        files: the DICOM files.

    Raises:
        CohortError: none of the files is such an object, or one is damaged.
        MissingExtra: highdicom is not installed, and there is a Segmentation.
    """
    from pydicom import dcmread

    marks: list[Mark] = []
    kinds: set[str] = set()
    for file in files:
        try:
            DEFAULT_LIMITS.check_bytes(file, file.stat().st_size)
            kind = str(dcmread(file, specific_tags=["SOPClassUID"]).get("SOPClassUID", ""))
            if kind == SEGMENTATION:
                kinds.add("Segmentations")
                marks += _segments(file)
            elif kind == PRESENTATION:
                kinds.add("presentation states")
                marks += _graphics(file)
        except (CohortError, ImportError):
            raise
        except Exception as error:  # pydicom and highdicom raise what they meet
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


def _segments(path: Path) -> Iterator[Mark]:
    require("hospital", "a DICOM Segmentation")
    from highdicom.seg import segread

    image: Any = segread(path)
    if image.Rows * image.Columns > DEFAULT_LIMITS.max_pixels:
        raise CohortError("has too many pixels", path=path, remedy="export it at the film's size")
    for _, _, uid in image.get_source_image_uids():
        for number in image.segment_numbers:
            label = str(image.get_segment_description(number).segment_label)
            yield Mark(str(uid), label, shape=Outline(partial(_segment, path, str(uid), number)))


def _segment(path: Path, uid: str, number: int, height: int, width: int) -> Mask:
    from highdicom.seg import segread

    try:
        image: Any = segread(path)
        values = image.get_pixels_by_source_instance(
            [uid],
            segment_numbers=[number],
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
    except Exception as error:  # highdicom raises what it meets
        raise CohortError(
            f"cannot be read as a Segmentation ({error})", path=path, remedy="export it again"
        ) from error
    return np.asarray(values[0, :, :, 0] >= 0.5, dtype=np.bool_)


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
            "has graphics in units of the display, which no pixels of the film belong to",
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
    outline = [(float(x), float(y)) for x, y in points]
    return Outline(lambda height, width: polygon_mask([outline], height, width))


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
