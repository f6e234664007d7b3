from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.dicom.deidentify import Pseudonyms
from pneumoscope.dicom.objects import _MAKERS, KINDS, Kind, parse_kinds, write_objects
from pneumoscope.dicom.result import NOT_VERIFIED, Report, Result
from pneumoscope.dicom.source import Source, read_source
from pneumoscope.dicom.validation import check_file, report_regions, state_regions
from pneumoscope.errors import OutputError, SettingsError, UnsupportedImage
from pneumoscope.findings import Gate, Region, Zone
from tests.dicom.films import BOX, CODES, NAME, PATIENT, film, info, result
from tests.imaging.films import lookup_table

PNEUMONIA, FINDING, SITE, SIDE = "233604007", "121071", "363698007", "272741003"
# What a film of each state has, over that of `result`, and what its report answers (SNOMED CT).
STATES: dict[str, tuple[dict[str, Any], str]] = {
    "present": ({}, "52101004"),
    "indeterminate": ({"uncertain": True, "probability": 0.5}, "82334004"),
    "indeterminate below": (
        {
            "uncertain": True,
            "probability": 0.35,
            "label": "NORMAL",
            "regions": (),
            "in_lungs": None,
        },
        "82334004",
    ),
    "absent": (
        {"probability": 0.009, "label": "NORMAL", "regions": (), "in_lungs": None},
        "272519000",
    ),
    "not judged": (
        {
            "gate": Gate(flagged=True, reason="rotated"),
            "uncertain": True,
            "regions": (),
            "summary": "Not assessed: the radiograph seems to be rotated. Please check the "
            "radiograph.",
            **dict.fromkeys(("label", "probability", "in_lungs")),
        },
        "373121007",
    ),
}
REQUESTED = {
    "RequestedProcedureID": "RP-12",
    "RequestedProcedureDescription": "Chest PA",
    "PlacerOrderNumberImagingServiceRequest": "PLACER-3",
}


def request(**changes: Any) -> Dataset:
    """An item of a film's Request Attributes Sequence."""
    item, code = Dataset(), Dataset()
    for keyword, value in {**REQUESTED, **changes}.items():
        setattr(item, keyword, value)
    item.ScheduledProcedureStepID = "STEP-1"
    code.CodeValue, code.CodingSchemeDesignator = "36643-5", "LN"
    code.CodeMeaning = "XR Chest 2 Views"
    item.RequestedProcedureCodeSequence = [code]
    return item


CORNERS = [[12, 30], [29, 30], [29, 39], [12, 39], [12, 30]]


def written(tmp_path: Path, made: Result, *kinds: Kind) -> dict[str, Any]:
    paths = write_objects(made, kinds or KINDS, tmp_path / "out")
    return {path.stem: dcmread(path) for path in paths}


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"PatientOrientation": None, "PixelSpacing": None, "FrameOfReferenceUID": "1.2.3"},
        {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 2000, "WindowWidth": 3000},
        {"SOPClassUID": CODES["DX"], "Modality": "DX", "RescaleSlope": 2, "RescaleIntercept": -1},
        {"PatientName": None, "PatientID": None, "PatientSex": "X", "StudyDate": "yesterday"},
        {"PixelSpacing": None, "ImagerPixelSpacing": [0.15, 0.3], "PatientOrientation": ["P", "H"]},
        {"StudyDescription": "XR \xd6dem PA", "RequestAttributesSequence": [request()]},
        {
            "StudyDescription": "a" * 99,
            "BodyPartExamined": "t\xf3rax",
            "RequestedProcedureID": "R-9",
        },
    ],
    ids=["plain", "bare", "inverse", "dx", "faulty", "rotated", "requested", "odd words"],
)
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_an_independent_validator_finds_no_error(tmp_path: Path, elements: dict[str, Any]) -> None:
    validated(result(film(tmp_path / "film.dcm", **elements)), tmp_path)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_the_validator_finds_no_error_in_any_state(tmp_path: Path, state: str) -> None:
    validated(result(film(tmp_path / "film.dcm"), **STATES[state][0]), tmp_path)


def validated(made: Result, tmp_path: Path) -> None:
    for path in write_objects(made, KINDS, tmp_path / "out"):
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert not re.findall("^Error.*", said, re.MULTILINE), (path.name, said)
        assert re.search("SCImage|Segmentation|ComprehensiveSR|GrayscaleSoftcopy", said)


def test_objects_are_new_ones_of_the_same_study(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm")
    source = dcmread(path)
    objects = written(tmp_path, result(path))
    assert set(objects) == set(KINDS)
    for made in objects.values():
        assert str(made.PatientName) == NAME
        assert made.PatientID == PATIENT
        assert made.StudyInstanceUID == source.StudyInstanceUID
        assert (made.StudyDate, made.AccessionNumber) == ("20260102", "ACC-99")
        assert made.Manufacturer == "Pneumoscope"
        assert "research" in made.SeriesDescription
        assert made.ContributingEquipmentSequence[0].ContributionDescription == NOT_VERIFIED
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        uids = {made[keyword].value for made in objects.values()}
        assert len(uids) == len(KINDS)
        assert source[keyword].value not in uids


def test_objects_name_their_film_study_and_body_part(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm", StudyDescription="XR chest", BodyPartExamined="thorax")
    made = result(path)
    regional = made.info.model_copy(update={"heatmap": "regional+mirror+lungs"})
    objects = written(tmp_path, replace(made, info=regional))
    source = dcmread(path)
    for kind, made in objects.items():
        assert made.StudyDescription == "XR chest"
        assert len(made.SeriesDate) == 8
        assert made.get("BodyPartExamined") == (None if kind == "sr" else "THORAX")
    (image,) = objects["sc"].SourceImageSequence
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    (segment,) = objects["seg"].SegmentSequence
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeValue == PNEUMONIA
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "130402"
    assert "not a probability of tissue" in segment.SegmentDescription


@pytest.mark.parametrize("where", ["series", "beside", "accession alone", "nowhere"])
def test_a_report_refers_to_the_request_of_its_film(tmp_path: Path, where: str) -> None:
    cases: dict[str, dict[str, Any]] = {
        "series": {"RequestAttributesSequence": [request(RequestedProcedureDescription="x" * 90)]},
        "beside": {k: REQUESTED[k] for k in ("RequestedProcedureID",)},
        "accession alone": {},
        "nowhere": {"AccessionNumber": None},
    }
    path = film(tmp_path / "film.dcm", **cases[where])
    report = written(tmp_path, result(path), "sr")["sr"]
    if where == "nowhere":
        assert "ReferencedRequestSequence" not in report
        return
    (item,) = report.ReferencedRequestSequence
    assert item.AccessionNumber == "ACC-99"
    assert item.StudyInstanceUID == dcmread(path).StudyInstanceUID
    assert (item.RequestedProcedureID or None) == (None if "alone" in where else "RP-12")
    assert not item.RequestedProcedureDescription  # Missing, or longer than it may be.
    codes = [code.CodeValue for code in item.RequestedProcedureCodeSequence]
    assert codes == (["36643-5"] if where == "series" else [])


def test_a_report_refers_to_the_one_before_it(tmp_path: Path) -> None:
    made = result(film(tmp_path / "film.dcm"))
    before = Report("1.2.3", "1.2.3.4")
    report = written(tmp_path, replace(made, predecessor=before), "sr")["sr"]
    (study,) = report.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == report.StudyInstanceUID
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    again = written(tmp_path, replace(made, predecessor=made.report), "sr")["sr"]
    assert made.report == Report(str(again.SeriesInstanceUID), str(again.SOPInstanceUID))
    assert "PredecessorDocumentsSequence" not in again


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed")
def test_dcmtk_reads_the_report_without_complaint(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm", RequestAttributesSequence=[request()])
    written(tmp_path, replace(result(path), predecessor=Report("1.2.3", "1.2.3.4")), "sr")
    command = ["dsrdump", "-v", "+Pc", str(tmp_path / "out" / "sr.dcm")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    said = re.findall("^[EW]:.*", done.stdout + done.stderr, re.MULTILINE)
    assert [line for line in said if "ISO_IR 192" not in line] == []  # It checks ASCII alone.
    for code in (PNEUMONIA, "52101004", "281394001", "24028007", "122157", "130403"):
        assert f"({code}," in done.stdout


def test_only_what_a_derived_object_must_carry_is_copied(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm")
    written(tmp_path, result(path))
    for file in (tmp_path / "out").iterdir():
        content = file.read_bytes()
        for private in (b"Somewhere", b"SECOND-ID"):
            assert private not in content, file.name


def test_the_same_film_gives_the_same_uids_and_another_does_not(tmp_path: Path) -> None:
    made = result(film(tmp_path / "film.dcm"))
    again = result(film(tmp_path / "copy.dcm"))
    other = result(film(tmp_path / "other.dcm", SOPInstanceUID=generate_uid()))
    assert made.uid("sr") == again.uid("sr")
    assert len({made.uid("sr"), made.uid("sc"), other.uid("sr")}) == 3
    assert len(made.uid("sr")) <= 64


@pytest.mark.parametrize("turns", range(4))
def test_boxes_and_heat_lie_on_the_stored_pixels(tmp_path: Path, turns: int) -> None:
    """Wherever the film's rows point in the patient, a marked rectangle is where the objects say.

    The film itself is bright in the box: what the polygons and the segment enclose is read from the
    stored pixels of the source, not from what this program displays.
    """
    upright: NDArray[np.uint16] = np.zeros((80, 60), dtype=np.uint16)
    upright[BOX.y : BOX.y + BOX.height, BOX.x : BOX.x + BOX.width] = 4000
    stored = np.rot90(upright, turns)
    rows, columns = np.nonzero(stored)
    top, left = int(rows.min()), int(columns.min())
    region = BOX.model_copy(
        update={
            "x": left,
            "y": top,
            "width": int(columns.max()) + 1 - left,
            "height": int(rows.max()) + 1 - top,
        }
    )
    orientation = (["L", "F"], ["F", "R"], ["R", "H"], ["H", "L"])[turns]
    path = film(
        tmp_path / "film.dcm",
        height=stored.shape[0],
        width=stored.shape[1],
        PatientOrientation=orientation,
        PixelSpacing=[0.3, 0.1],
    )
    dataset = dcmread(path)
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    dataset.save_as(path)
    made = result(path, regions=(region,))
    made.heatmap[:] = stored / np.float32(4000)
    objects = written(tmp_path, made)

    original = dcmread(path).pixel_array > 0
    report: Any = highdicom.sr.srread(tmp_path / "out" / "sr.dcm")
    for polygon in (*report_regions(report), *state_regions(objects["gsps"])):
        first, last = polygon.min(axis=0).astype(int), polygon.max(axis=0).astype(int)
        inside = np.zeros_like(original)
        inside[first[1] : last[1], first[0] : last[0]] = True
        np.testing.assert_array_equal(inside, original)
    segment = highdicom.seg.segread(tmp_path / "out" / "seg.dcm")
    np.testing.assert_array_equal(segment.pixel_array.reshape(original.shape) == 255, original)
    regions = highdicom.seg.segread(tmp_path / "out" / "regions.dcm")
    np.testing.assert_array_equal(regions.pixel_array.reshape(original.shape) == 1, original)
    measures = segment.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(value) for value in measures.PixelSpacing] == [0.3, 0.1]
    capture = objects["sc"]
    assert [float(value) for value in capture.PixelSpacing] == [0.3, 0.1]
    assert list(capture.PatientOrientation) == list(segment.PatientOrientation) == orientation
    colour = capture.pixel_array[: original.shape[0]]
    white = (colour == 255).all(axis=2)
    edges = np.nonzero(white.any(axis=1))[0], np.nonzero(white.any(axis=0))[0]
    assert (edges[0].max(), edges[1].max()) == (rows.max(), columns.max())


def test_regions_are_masks_of_their_own_heat(tmp_path: Path) -> None:
    """A wedge in its box, and the corner of another region that reaches into that box."""
    first = Region(x=10, y=20, width=12, height=12, score=0.9)
    other = Region(x=20, y=28, width=20, height=20, score=0.6)
    made = result(film(tmp_path / "film.dcm"), regions=(first, other))
    heat = np.zeros_like(made.heatmap)
    wedge = np.tril(np.ones((12, 12), dtype=bool))
    wedge[:, 8:] = False
    heat[20:32, 10:22][wedge] = 0.9
    heat[28:48, 20:40] = 0.6
    made.heatmap[:] = heat
    image: Any = written(tmp_path, made, "regions")["regions"]
    assert image.SegmentationType == "BINARY"
    masks = image.pixel_array.reshape(2, *heat.shape) == 1
    np.testing.assert_array_equal(masks[0], heat == np.float32(0.9))
    np.testing.assert_array_equal(masks[1], heat == np.float32(0.6))
    report = dcmread(written(tmp_path, made, "sr")["sr"].filename)
    uids = {item.UID for item in walk(report) if item.ValueType == "UIDREF"}
    assert {segment.TrackingUID for segment in image.SegmentSequence} < uids
    assert [segment.SegmentLabel for segment in image.SegmentSequence] == ["Region 1", "Region 2"]


@pytest.mark.parametrize("state", STATES)
def test_each_group_of_a_report_has_coordinates(tmp_path: Path, state: str) -> None:
    """The group about the film those of its edge: a viewer that wants some must not fail."""
    made = result(film(tmp_path / "film.dcm"), **STATES[state][0])
    report = dcmread(written(tmp_path, made, "sr")["sr"].filename)
    groups = [
        item for item in walk(report) if item.ConceptNameCodeSequence[0].CodeValue == "125007"
    ]
    assert len(groups) == 1 + len(made.finding.regions)
    drawn = [[item for item in walk(group) if item.ValueType == "SCOORD"] for group in groups]
    assert all(len(items) == 1 for items in drawn)
    edge = np.reshape(drawn[0][0].GraphicData, (-1, 2))
    height, width = made.pixels.shape
    assert edge.tolist() == [[0, 0], [width, 0], [width, height], [0, height], [0, 0]]
    image = drawn[0][0].ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == made.source.dataset.SOPInstanceUID


def coded(path: Path) -> list[tuple[str, str]]:
    """(concept, value) of every coded item of a report, read by pydicom alone."""
    return [
        (item.ConceptNameCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodeValue)
        for item in walk(dcmread(path))
        if item.ValueType == "CODE"
    ]


def walk(dataset: Any) -> list[Any]:
    items = list(dataset.get("ContentSequence", []))
    return [*items, *(below for item in items for below in walk(item))]


@pytest.mark.parametrize("state", STATES)
def test_a_report_answers_present_absent_indeterminate_or_not_evaluated(
    tmp_path: Path, state: str
) -> None:
    changes, answer = STATES[state]
    made = result(film(tmp_path / "film.dcm"), **changes)
    objects = written(tmp_path, made)
    found = coded(tmp_path / "out" / "sr.dcm")
    regions = len(made.finding.regions)
    assert [value for name, value in found if name == PNEUMONIA] == [answer] * (1 + regions)
    finding = [value for name, value in found if name == FINDING]
    assert finding == ([PNEUMONIA] * (1 + regions) if state == "present" else [])
    assert ("seg" in objects) == ("regions" in objects) == (state == "present")
    numbers = {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in walk(dcmread(tmp_path / "out" / "sr.dcm"))
        if item.ValueType == "NUM"
    }
    if state == "not judged":
        assert numbers == {}
    else:
        assert numbers["Probability"] == pytest.approx(made.finding.probability)
    # Heat and boxes are drawn on films called positive alone; the others show the bare film.
    picture = objects["sc"].pixel_array[:80].astype(int)
    assert bool(np.ptp(picture, axis=2).any()) == made.finding.positive
    assert "graphic" in str(objects["gsps"]).lower()


@pytest.mark.parametrize(
    ("zone", "site", "side"),
    [
        ("right_upper", "281392002", "24028007"),
        ("right_middle", "281393007", "24028007"),
        ("left_lower", "281394001", "7771000"),
        ("outside_lungs", None, None),
    ],
)
def test_a_region_has_a_finding_site_and_a_side(
    tmp_path: Path, zone: Zone, site: str | None, side: str | None
) -> None:
    region = BOX.model_copy(update={"zone": zone})
    written(tmp_path, result(film(tmp_path / "film.dcm"), regions=(region,)), "sr")
    found = coded(tmp_path / "out" / "sr.dcm")
    sites = [value for name, value in found if name == SITE]
    sides = [value for name, value in found if name == SIDE]
    assert sites == (["39607008"] if site is None else ["39607008", site])
    assert sides == ([] if side is None else [side, side])


@pytest.mark.parametrize("number", ["52101004", "272519000", "82334004", "373121007"])
def test_codes_are_in_the_standards_dictionaries(number: str) -> None:
    from pydicom.sr._concepts_dict import concepts

    table: Any = concepts["SCT"]
    known = {code for values in table.values() for code in values}
    assert number in known
    zones = {"281392002", "281393007", "281394001", "39607008", "24028007", "7771000", "51440002"}
    assert zones <= known


def test_a_label_without_a_public_code_has_one_of_this_program(tmp_path: Path) -> None:
    made = result(film(tmp_path / "film.dcm"), label="TUBERCULOSIS")
    other = made.info.model_copy(update={"labels": ("NORMAL", "TUBERCULOSIS")})
    written(tmp_path, replace(made, info=other), "sr")
    found = coded(tmp_path / "out" / "sr.dcm")
    assert PNEUMONIA not in {part for pair in found for part in pair}
    assert ("positive-label", "52101004") in found


def test_the_device_is_one_on_any_radiograph(tmp_path: Path) -> None:
    def device(made: Result, pseudonyms: Pseudonyms | None = None) -> str:
        (path,) = write_objects(made, ["sr"], tmp_path / "out", pseudonyms)
        (uid,) = [item.UID for item in dcmread(path).ContentSequence if item.ValueType == "UIDREF"]
        return str(uid)

    made = result(film(tmp_path / "film.dcm"))
    other = result(film(tmp_path / "other.dcm", SOPInstanceUID=generate_uid()), threshold=0.5)
    key = Pseudonyms(bytes(range(32)))
    hidden = replace(other, source=key.apply(other.source))
    assert device(made) == device(other) == device(hidden, key)
    assert re.fullmatch(r"2\.25\.[1-9]\d{1,38}", device(made))
    retrained = made.info.model_copy(update={"files": {WEIGHTS_FILE: "cd34" * 16}})
    assert device(replace(made, info=retrained)) != device(made)


def test_the_report_says_what_was_found(tmp_path: Path) -> None:
    written(tmp_path, result(film(tmp_path / "film.dcm")), "sr")
    report: Any = highdicom.sr.srread(tmp_path / "out" / "sr.dcm")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.VerificationFlag, report.CompletionFlag, report.PreliminaryFlag) == (
        "UNVERIFIED",
        "COMPLETE",
        "PRELIMINARY",
    )
    (group,) = report.content.get_image_measurement_groups()
    numbers = {item.name.meaning: item.value for item in group.get_measurements()}
    assert numbers == {
        "Probability": pytest.approx(0.93),
        "Decision threshold": pytest.approx(0.4),
        "Share of the evidence inside the lungs": pytest.approx(0.8),
    }
    said = {item.name.meaning: item.value.meaning for item in group.get_qualitative_evaluations()}
    assert said == {
        "Pneumonia": "Present",
        "Verification": "Not verified, research use",
        "Decision at the threshold": "PNEUMONIA",
        "Indeterminate probability": "No",
    }
    (region,) = report.content.get_planar_roi_measurement_groups()
    assert region.roi.value.tolist() == CORNERS
    (heat,) = region.get_measurements()
    assert heat.value == pytest.approx(0.75)
    content = [str(element.value) for element in report.iterall()]
    texts = (
        NOT_VERIFIED,
        "Opacity likely present",
        info().model_id,
        "ab12" * 16,
        "ece_after: 0.03",
    )
    for text in texts:
        assert any(text in value for value in content), text
    source = dcmread(tmp_path / "film.dcm")
    assert source.SOPInstanceUID in str(report.CurrentRequestedProcedureEvidenceSequence)


def test_a_flagged_film_is_said_not_to_be_judged(tmp_path: Path) -> None:
    made = result(film(tmp_path / "film.dcm"), **STATES["not judged"][0])
    objects = written(tmp_path, made)
    report: Any = highdicom.sr.srread(tmp_path / "out" / "sr.dcm")
    (group,) = report.content.get_image_measurement_groups()
    said = {item.name.meaning: item.value.value for item in group.get_qualitative_evaluations()}
    assert said["Input gate"] == "rotated"
    assert "Decision at the threshold" not in said
    text = str(objects["gsps"].GraphicAnnotationSequence[0].TextObjectSequence)
    assert "Not assessed" in text
    assert "PNEUMONIA" not in text


def test_a_colour_film_gets_no_presentation_state(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm", BitsStored=8, HighBit=7, BitsAllocated=8)
    dataset = dcmread(path)
    gray = np.arange(80 * 60, dtype=np.uint8).reshape(80, 60)
    dataset.PixelData = np.repeat(gray[..., None], 3, axis=2).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.save_as(path)
    assert set(written(tmp_path, result(path))) == {"sc", "seg", "regions", "sr"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_says_something_else_is_found_out(tmp_path: Path, kind: Kind) -> None:
    path = film(tmp_path / "film.dcm")
    made = result(path)
    (file,) = write_objects(made, [kind], tmp_path / "out")
    assert check_file(file, kind, made) is None
    stranger = result(film(tmp_path / "other.dcm", PatientID="OTHER"))
    assert check_file(file, kind, stranger) == "another PatientID"
    file.write_bytes(file.read_bytes()[:600])
    assert check_file(file, kind, made) is not None


def test_what_does_not_read_back_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pneumoscope.dicom.objects.check_file",
        lambda _, kind, __: "another heatmap" if kind == "sr" else None,
    )
    failed: dict[str, str] = {}
    made = result(film(tmp_path / "film.dcm"))
    (path,) = write_objects(made, ["sc", "sr"], tmp_path / "out", None, failed.__setitem__)
    assert list((tmp_path / "out").iterdir()) == [path] == [tmp_path / "out" / "sc.dcm"]
    assert failed == {"sr": "sr does not read back as it was meant (another heatmap)"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_fails_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    def fails(_: Result) -> Any:
        raise ValueError(NAME)

    monkeypatch.setitem(_MAKERS, kind, fails)
    assert set(written(tmp_path, result(film(tmp_path / "film.dcm")))) == set(KINDS) - {kind}
    assert f"The DICOM object {kind} cannot be made (ValueError) and was left out." in caplog.text
    assert NAME not in caplog.text


def test_a_disk_that_refuses_ends_the_writing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError):
        write_objects(result(film(tmp_path / "film.dcm")), ["sr"], tmp_path / "out")


@pytest.mark.parametrize("elements", [{}, {"VOILUTSequence": [lookup_table(np.arange(256), 0, 8)]}])
def test_a_source_goes_through_text(tmp_path: Path, elements: dict[str, Any]) -> None:
    source = read_source(film(tmp_path / "film.dcm", **elements))
    again = Source.from_text(source.text())
    assert again.digest == source.digest
    assert again.dataset == source.dataset
    assert again.dataset.PatientName == NAME


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_film_that_nothing_can_refer_to_is_refused(tmp_path: Path, keyword: str) -> None:
    with pytest.raises(UnsupportedImage, match=keyword):
        read_source(film(tmp_path / "film.dcm", **dict[str, Any]({keyword: None})))


def test_kinds_are_read() -> None:
    assert parse_kinds("SR, sc") == ("sc", "sr")
    assert parse_kinds("all") == KINDS
    for text in ("", "sc,pdf"):
        with pytest.raises(SettingsError):
            parse_kinds(text)


class TestPseudonyms:
    def test_nothing_of_the_patient_is_left(self, tmp_path: Path) -> None:
        path = film(
            tmp_path / "film.dcm",
            StudyDescription="Follow-up of Gr\xfcn",
            RequestAttributesSequence=[request()],
        )
        Pseudonyms.from_file(tmp_path / "key")
        assert (tmp_path / "key").stat().st_mode & 0o077 == 0
        # Of a drawn key UIDs are drawn numbers, which now and then hold the year.
        pseudonyms = Pseudonyms(bytes(range(32)))
        made = result(path)
        hidden = Result(
            pseudonyms.apply(made.source),
            made.pixels,
            made.heatmap,
            made.finding,
            made.info,
            made.spacing,
        )
        files = write_objects(hidden, KINDS, tmp_path / "out", pseudonyms)
        source = dcmread(path)
        private = [NAME.encode("latin1"), NAME.encode(), b"QX47", b"19520314", b"20260102", b"ACC-"]
        private += [b"Follow-up", b"RP-12", b"PLACER-3", b"36643-5"]
        private += [b"Referrer", *(source[k].value.encode() for k in ("StudyInstanceUID",))]
        private += [source.SOPInstanceUID.encode(), source.SeriesInstanceUID.encode(), b"2026"]
        for file in files:
            for text in private:
                assert text not in file.read_bytes(), (file.name, text)
            written = dcmread(file)
            assert written.PatientIdentityRemoved == "YES"
            assert written.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
            assert written.PatientID

    def test_one_patient_has_one_code_under_one_key(self, tmp_path: Path) -> None:
        first = read_source(film(tmp_path / "a.dcm"))
        second = read_source(film(tmp_path / "b.dcm", SOPInstanceUID=generate_uid()))
        key = Pseudonyms.from_file(tmp_path / "key")
        again = Pseudonyms.from_file(tmp_path / "key")
        other = Pseudonyms.from_file(tmp_path / "other")
        codes = [k.apply(s).dataset.PatientID for k, s in ((key, first), (again, second))]
        assert codes[0] == codes[1] != other.apply(first).dataset.PatientID
        assert (
            key.apply(first).dataset.StudyInstanceUID
            == again.apply(second).dataset.StudyInstanceUID
        )
        assert first.dataset.PatientID == PATIENT

    def test_a_file_without_a_key_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "short").write_text("ab")
        for name in ("short", "."):
            with pytest.raises(SettingsError):
                Pseudonyms.from_file(tmp_path / name)
