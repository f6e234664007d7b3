"""A written object is read back: by highdicom's reader, and against what it was meant to say."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.dicom.result import Result
from pneumoscope.dicom.source import IDENTITY
from pneumoscope.findings import Region

_HALF_STEP = 0.5 / 255 + 1e-6


def check_file(path: Path, kind: str, result: Result) -> str | None:
    """What is wrong with a written object; None if nothing is.

    Whatever the readers raise is wrong, too: an object that they refuse is no use to anybody.
    """
    checks = {
        "sc": _capture,
        "seg": _segmentation,
        "regions": _region_masks,
        "sr": _report,
        "gsps": _state,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return checks[kind](path, result)
        except Exception as error:  # Messages can quote values, that is names.
            return type(error).__name__


def report_regions(report: Any) -> list[Any]:
    """(n, 2) column and row of the polygons of a report, in its order, between pixel edges."""
    return [
        group.roi.value for group in report.content.get_planar_roi_measurement_groups() if group.roi
    ]


def state_regions(state: Any) -> list[Any]:
    """(n, 2) column and row of the polylines of a presentation state, in its order."""
    return [
        np.asarray(graphic.GraphicData, dtype=np.float64).reshape(-1, 2)
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", [])
    ]


def _capture(path: Path, result: Result) -> str | None:
    from pydicom import dcmread

    image = dcmread(path)
    height, width = result.pixels.shape
    shape = image.pixel_array.shape
    if shape[0] <= height or shape[1:] != (width, 3):
        return f"a picture of {shape}"
    return _identity(image, result)


def _segmentation(path: Path, result: Result) -> str | None:
    from highdicom.seg import segread

    image = segread(path)
    heat = image.pixel_array.reshape(result.heatmap.shape) / image.MaximumFractionalValue
    if np.abs(heat - result.heatmap).max() > _HALF_STEP:
        return "another heatmap"
    return _identity(image, result)


def _region_masks(path: Path, result: Result) -> str | None:
    from highdicom.seg import segread

    image = segread(path)
    height, width = result.heatmap.shape
    masks = image.pixel_array.reshape(-1, height, width)
    outside = [
        mask.sum() - mask[one.y : one.y + one.height, one.x : one.x + one.width].sum()
        for mask, one in zip(masks, result.finding.regions, strict=True)
    ]
    if any(outside) or not masks.any(axis=(1, 2)).all():
        return "other regions"
    return _identity(image, result)


def _report(path: Path, result: Result) -> str | None:
    from highdicom.sr import srread

    report = srread(path)
    if not _same(report_regions(report), result.finding.regions):
        return "other regions"
    if report.VerificationFlag != "UNVERIFIED":
        return "verified"
    return _identity(report, result)


def _state(path: Path, result: Result) -> str | None:
    from pydicom import dcmread

    state = dcmread(path)
    if not _same(state_regions(state), result.finding.regions):
        return "other regions"
    return _identity(state, result)


def _same(polygons: list[Any], regions: tuple[Region, ...]) -> bool:
    boxes = [
        (*points.min(axis=0), *(points.max(axis=0) - points.min(axis=0))) for points in polygons
    ]
    meant = [(region.x, region.y, region.width, region.height) for region in regions]
    return len(boxes) == len(meant) and bool(np.allclose(boxes, meant, atol=0.01))


def _identity(written: Any, result: Result) -> str | None:
    """The object is the radiograph's patient's and study's, and a new one."""
    source = result.source.dataset
    for keyword in IDENTITY:
        if str(written.get(keyword) or "") != str(source.get(keyword) or ""):
            return f"another {keyword}"
    if written.SOPInstanceUID == source.SOPInstanceUID:
        return "the radiograph's own UID"
    return None
