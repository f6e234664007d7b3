"""Grayscale Softcopy Presentation State: boxes and text that viewers draw over the radiograph."""

from __future__ import annotations

from typing import Any

import numpy as np

from pneumoscope.dicom.result import NOT_VERIFIED, Result, series
from pneumoscope.dicom.tone import tone_of_result, without_tone
from pneumoscope.findings import Region

_MARGIN = 0.02


def presentation_state(result: Result) -> Any:
    """The presentation state of a result.

    Coordinates are in pixels of the radiograph between pixel edges, as regions are: 0\\0 is the
        top-left
    corner of the top-left pixel (PS3.3 C.10.5.1.2). The gray is what the model read; see `tone`.
    """
    from highdicom.pr import (
        GraphicAnnotation,
        GraphicLayer,
        GrayscaleSoftcopyPresentationState,
    )

    source = without_tone(result.source.dataset)
    layer = GraphicLayer("PNEUMOSCOPE", order=1, description=NOT_VERIFIED)
    annotation = GraphicAnnotation(
        [source],
        graphic_layer=layer,
        graphic_objects=[_box(region) for region in result.finding.regions] or None,
        text_objects=_texts(result),
    )
    return GrayscaleSoftcopyPresentationState(
        [source],
        content_label="PNEUMOSCOPE",
        content_description=NOT_VERIFIED,
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        **tone_of_result(result),
        **series(result, "gsps", 3, "boxes"),
    )


def corners(region: Region) -> Any:
    """(5, 2) column and row of a region's corners, closed, between pixel edges."""
    left, top = float(region.x), float(region.y)
    right, bottom = left + region.width, top + region.height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])


def _box(region: Region) -> Any:
    from highdicom.pr import GraphicObject

    return GraphicObject("POLYLINE", corners(region), units="PIXEL")


def _texts(result: Result) -> list[Any]:
    from highdicom.pr import TextObject

    height, width = result.heatmap.shape
    texts = [
        TextObject(
            f"{region.score:.2f}",
            units="PIXEL",
            anchor_point=(float(region.x), float(region.y)),
            anchor_point_visible=False,
        )
        for region in result.finding.regions
    ]
    box = (width * _MARGIN, height * _MARGIN, width * (1 - _MARGIN), height * 0.2)
    texts.append(
        TextObject(
            "\r\n".join(result.lines()), units="PIXEL", bounding_box=box, text_justification="LEFT"
        )
    )
    return texts
