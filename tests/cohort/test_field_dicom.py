"""Annotations in DICOM, made with highdicom: Segmentations and presentation states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.pr import GraphicAnnotation, GraphicLayer, GraphicObject
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.dicom_objects import film_uid
from pneumoscope.cohort.formats.drawings import Drawings
from pneumoscope.cohort.formats.reading import read_drawings
from pneumoscope.dicom.presentation_state import presentation_state
from pneumoscope.dicom.segmentation import segmentation
from pneumoscope.errors import CohortError
from tests.dicom.films import BOX, film, result

HEIGHT, WIDTH = 80, 60


def on_film(drawings: Drawings, path: Path) -> Any:
    found = drawings.match([path.name], lambda image: film_uid(path.with_name(image)))
    return found[path.name].on(HEIGHT, WIDTH)


def segment(number: int, label: str) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Mass,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name="drawn", family=codes.DCM.ArtificialIntelligence, version="1"
        ),
    )


def test_a_segmentation_names_its_film_by_uid(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm")
    drawn = np.zeros((1, HEIGHT, WIDTH), dtype=np.uint8)
    drawn[0, 10:20, 5:25], drawn[0, 40:50, 30:40] = 1, 2
    Segmentation(
        [dcmread(path)],
        drawn,
        segmentation_type="BINARY",
        segment_descriptions=[segment(1, "Pneumonia"), segment(2, "Heart")],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    ).save_as(tmp_path / "objects.dcm")
    drawings = read_drawings(tmp_path / "objects.dcm")
    np.testing.assert_array_equal(on_film(drawings, path), drawn[0] == 1)
    assert drawings.summary() == (
        "DICOM Segmentations: 1 radiographs; lesions: 1 Pneumonia; left out: 1 Heart"
    )
    heart = read_drawings(tmp_path / "objects.dcm", Choice(positive="heart"))
    np.testing.assert_array_equal(on_film(heart, path), drawn[0] == 2)
    # A radiograph that was exported as a picture may be called by its UID.
    assert list(drawings.match([f"{film_uid(path)}.png"])) == [f"{film_uid(path)}.png"]
    # The project's own heatmap is a fractional one.
    segmentation(result(path)).save_as(tmp_path / "heat.dcm")
    heat = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    heat[BOX.y : BOX.y + BOX.height, BOX.x : BOX.x + BOX.width] = True
    np.testing.assert_array_equal(on_film(read_drawings(tmp_path / "heat.dcm"), path), heat)
    with pytest.raises(CohortError, match="neither Segmentations nor"):
        read_drawings(path)


def test_presentation_states_hold_boxes_and_outlines(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm")
    state = presentation_state(result(path))
    (tmp_path / "state").mkdir()
    state.save_as(tmp_path / "state" / "a")
    drawings = read_drawings(tmp_path / "state")
    np.testing.assert_allclose(on_film(drawings, path), [[BOX.x, BOX.y, BOX.width, BOX.height]])

    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for graphic, area in (
        (
            GraphicObject("CIRCLE", np.array([[30.0, 40.0], [40.0, 40.0]]), units="PIXEL"),
            (columns - 30) ** 2 + (rows - 40) ** 2 <= 100,
        ),
        (
            GraphicObject(
                "ELLIPSE",
                np.array([[10.0, 40.0], [50.0, 40.0], [30.0, 30.0], [30.0, 50.0]]),
                units="PIXEL",
            ),
            ((columns - 30) / 20) ** 2 + ((rows - 40) / 10) ** 2 <= 1,
        ),
        (
            GraphicObject(
                "POLYLINE",
                np.array([[10.0, 10.0], [50.0, 10.0], [10.0, 50.0], [10.0, 10.0]]),
                units="PIXEL",
            ),
            (columns >= 10) & (rows >= 10) & (columns + rows <= 60),
        ),
    ):
        state.GraphicAnnotationSequence = [annotation(path, graphic)]
        state.save_as(tmp_path / "state" / "a")
        drawn = on_film(read_drawings(tmp_path / "state"), path)
        assert (drawn & area).sum() / (drawn | area).sum() > 0.95

    line = GraphicObject("POLYLINE", np.array([[1.0, 1.0], [9.0, 1.0], [9.0, 9.0]]), units="PIXEL")
    state.GraphicAnnotationSequence = [annotation(path, line)]
    state.save_as(tmp_path / "state" / "a")
    assert on_film(read_drawings(tmp_path / "state"), path) is None
    state.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicFilled = "Y"
    state.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicAnnotationUnits = "DISPLAY"
    state.save_as(tmp_path / "state" / "a")
    with pytest.raises(CohortError, match="units of the display"):
        read_drawings(tmp_path / "state")


def annotation(path: Path, graphic: GraphicObject) -> GraphicAnnotation:
    return GraphicAnnotation(
        [dcmread(path)],
        graphic_layer=GraphicLayer("A", order=1),
        graphic_objects=[graphic],
    )
