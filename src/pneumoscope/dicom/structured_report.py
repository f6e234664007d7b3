"""Structured Report, TID 1500: what was found, where, by which model, and that nobody verified it.

Written as IHE AI Results asks for qualitative findings: the disease is the question, and the coded
answer is present, absent, indeterminate or not evaluated. A "Finding" stands only where the answer
is present. One measurement group is about the whole radiograph. Each region has a group with its
box as a polyline on the radiograph's pixels (SCOORD) and its site in the lungs. The report refers
to the request that the radiograph answers, and to the report of an earlier reading, where these are
known. Concepts that no public scheme has are in the private scheme of this program.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pneumoscope import __version__
from pneumoscope.dicom.presentation_state import corners
from pneumoscope.dicom.result import (
    CODING_SCHEME,
    MANUFACTURER,
    NOT_VERIFIED,
    Result,
    Verdict,
    series,
)
from pneumoscope.findings import ENGLISH, Region, Zone, indeterminate

_ANSWERS: dict[Verdict, tuple[str, str]] = {
    "present": ("52101004", "Present"),
    "absent": ("272519000", "Absent"),
    "indeterminate": ("82334004", "Indeterminate"),
    "not_judged": ("373121007", "Not Evaluated"),
}
_ZONES = {
    "upper": ("281392002", "Upper zone of lung"),
    "middle": ("281393007", "Middle zone of lung"),
    "lower": ("281394001", "Lower zone of lung"),
}
_PROCEDURE = ("399208008", "Plain chest X-ray")
_LUNG = ("39607008", "Lung")
_SIDES = {"right": ("24028007", "Right"), "left": ("7771000", "Left")}
_BOTH_SIDES = ("51440002", "Right and left")


def structured_report(result: Result) -> Any:
    """The report of a result: a Comprehensive SR, complete, preliminary, unverified."""
    return comprehensive(
        result,
        _observer(result),
        [_film_group(result), *_region_groups(result)],
        previous_versions=_predecessors(result),
        **series(result, "sr", 2, "report"),
    )


def comprehensive(result: Result, observer: Any, groups: list[Any], **attributes: Any) -> Any:
    """A Comprehensive SR on a radiograph: complete, preliminary, unverified.

    Args:
        result: what the report is about.
        observer: its observation context.
        groups: its measurement groups.
        attributes: of highdicom's document.
    """
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import ComprehensiveSR, MeasurementReport
    from pydicom.sr.codedict import codes

    content = MeasurementReport(
        observation_context=observer,
        procedure_reported=_sct(_PROCEDURE),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return ComprehensiveSR(
        evidence=[result.source.dataset],
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                CODING_SCHEME, name=MANUFACTURER, responsible_organization=MANUFACTURER
            )
        ],
        requested_procedures=result.source.dataset.get("ReferencedRequestSequence"),
        **attributes,
    )


def _predecessors(result: Result) -> list[Any] | None:
    """The report of an earlier reading, if it is another one than this."""
    from pydicom import Dataset
    from pydicom.uid import ComprehensiveSRStorage

    before = result.predecessor
    if before is None or before == result.report:
        return None
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID = ComprehensiveSRStorage, before.instance
    item.StudyInstanceUID = result.source.dataset.StudyInstanceUID
    item.SeriesInstanceUID = before.series
    return [item]


def _code(value: str, scheme: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)


def _sct(code: tuple[str, str]) -> Any:
    return _code(code[0], "SCT", code[1])


def _own(value: str, meaning: str) -> Any:
    return _code(value, CODING_SCHEME, meaning)


def _observer(result: Result) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=result.device_uid,
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=result.finding.model,
        serial_number=result.model_digest[:16],
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _algorithm(result: Result) -> Any:
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(
        name=MANUFACTURER,
        version=__version__,
        manufacturer=MANUFACTURER,
        parameters=[
            f"model: {result.finding.model}",
            f"weights sha256: {result.model_digest}",
            f"heatmap: {result.info.heatmap}",
            f"temperature: {result.info.temperature:.6g}",
            f"bias: {result.info.bias:.6g}",
            *(
                f"calibration {name}: {value:.6g}"
                for name, value in sorted(result.info.calibration.items())
                if value is not None
            ),
        ],
    )


def _film_group(result: Result) -> Any:
    """The answer, probability, threshold and decision, about the whole radiograph."""
    from highdicom.sr import TrackingIdentifier

    return film_group(
        result,
        _comments(result),
        tracking_identifier=TrackingIdentifier(uid=result.uid("film"), identifier="film"),
        finding_type=result.disease() if result.verdict == "present" else None,
        finding_sites=[_site_of_film(result)],
        algorithm_id=_algorithm(result),
        measurements=_measurements(result) or None,
        qualitative_evaluations=[answer(result, result.verdict), *_evaluations(result)],
    )


def film_group(result: Result, comments: Iterable[str], **attributes: Any) -> Any:
    """A group about the whole radiograph: its image, its edge, and text for people.

    TID 1501 is extensible. The edge is no "Image Region", which would make a region of the
    radiograph; OHIF 3.12 ends with an error where a group has no coordinates at all.

    Args:
        result: what the report tells.
        comments: the group's comments.
        attributes: of highdicom's group.
    """
    from highdicom.sr import (
        ContentSequence,
        MeasurementsAndQualitativeEvaluations,
        RelationshipTypeValues,
        ScoordContentItem,
        SourceImageForMeasurementGroup,
    )
    from pydicom.sr.codedict import codes

    source = result.source.dataset
    group = MeasurementsAndQualitativeEvaluations(
        source_images=[
            SourceImageForMeasurementGroup(
                referenced_sop_class_uid=source.SOPClassUID,
                referenced_sop_instance_uid=source.SOPInstanceUID,
            )
        ],
        **attributes,
    )
    height, width = result.pixels.shape
    edge = ScoordContentItem(
        name=codes.DCM.SourceOfMeasurement,
        graphic_type="POLYLINE",
        graphic_data=corners(Region(x=0, y=0, width=width, height=height, score=0)),
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
    edge.ContentSequence = ContentSequence([_source_image(result)])
    group[0].ContentSequence.extend([edge, *map(_comment, comments)])
    return group


def image_region(result: Result, region: Region) -> Any:
    """A region's box as coordinates on the radiograph."""
    from highdicom.sr import ImageRegion

    return ImageRegion("POLYLINE", corners(region), source_image=_source_image(result))


def _source_image(result: Result) -> Any:
    from highdicom.sr import SourceImageForRegion

    source = result.source.dataset
    return SourceImageForRegion(
        referenced_sop_class_uid=source.SOPClassUID,
        referenced_sop_instance_uid=source.SOPInstanceUID,
    )


def answer(result: Result, verdict: Verdict) -> Any:
    """Whether the disease is there, in public codes."""
    from highdicom.sr import QualitativeEvaluation

    return QualitativeEvaluation(result.disease(), _sct(_ANSWERS[verdict]))


def lungs(side: tuple[str, str] | None = None) -> Any:
    """The lungs as a site; with a coded side if that is known."""
    from highdicom.sr import FindingSite

    return FindingSite(_sct(_LUNG), laterality=side and _sct(side))


def _site_of_film(result: Result) -> Any:
    """The lungs; with the side of the regions, if there are any inside the lungs."""
    zones = [str(region.zone) for region in result.finding.regions]
    found = [side for side in _SIDES if any(zone.startswith(side) for zone in zones)]
    return lungs(_BOTH_SIDES if len(found) == 2 else _SIDES[found[0]] if found else None)


def _site(zone: Zone | None) -> Any:
    """Zone and side of the lung that a region is in; None outside the lungs."""
    from highdicom.sr import FindingSite

    if zone is None or zone == "outside_lungs":
        return None
    side, third = zone.split("_")
    return FindingSite(_sct(_ZONES[third]), laterality=_sct(_SIDES[side]))


def _measurements(result: Result) -> list[Any]:
    """Numbers about the radiograph; none of a radiograph that was not judged."""
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes

    finding, review = result.finding, result.info.review
    if finding.probability is None or finding.threshold is None:
        return []
    found = [
        (codes.DCM.Probability, finding.probability),
        (_own("threshold", "Decision threshold"), finding.threshold),
    ]
    if review is not None:
        low, high = indeterminate((review.low, review.high), finding.threshold)
        found.append((_own("review-low", "Lowest indeterminate probability"), low))
        found.append((_own("review-high", "Highest indeterminate probability"), high))
    if finding.in_lungs is not None:
        name = _own("in-lungs", "Share of the evidence inside the lungs")
        found.append((name, finding.in_lungs))
    return [Measurement(name, value, _ratio()) for name, value in found]


def _ratio() -> Any:
    return _code("{0:1}", "UCUM", "range: 0:1")


def _evaluations(result: Result) -> list[Any]:
    """What is said in words with private codes: decision, gate, and that nobody verified it."""
    from highdicom.sr import QualitativeEvaluation

    finding = result.finding
    said = [("verification", "Verification", "unverified", "Not verified, research use")]
    if finding.label is not None:
        number = result.info.labels.index(finding.label)
        name = "Decision at the threshold"
        said.append(("decision", name, f"label-{number}", finding.label[:64]))
    if finding.uncertain is not None and not result.flagged:
        review = ("yes", "Yes, please review") if finding.uncertain else ("no", "No")
        said.append(("uncertain", "Indeterminate probability", *review))
    if finding.gate is not None:
        reason = finding.gate.reason
        meaning = (
            ENGLISH[f"gate.{reason}"][:64] if reason else "Looks like a frontal chest radiograph"
        )
        said.append(("gate", "Input gate", reason or "passed", meaning))
    return [
        QualitativeEvaluation(_own(name, title), _own(value, meaning))
        for name, title, value, meaning in said
    ]


def _comments(result: Result) -> list[str]:
    """Text for people."""
    finding = result.finding
    meaning = None
    if finding.probability is not None:
        meaning = f"Probability: that the radiograph shows {result.info.labels[1]}, calibrated."
    texts = (NOT_VERIFIED, finding.summary, meaning, *finding.notes)
    return [text for text in texts if text]


def _comment(text: str) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem
    from pydicom.sr.codedict import codes

    return TextContentItem(
        name=codes.DCM.Comment, value=text, relationship_type=RelationshipTypeValues.CONTAINS
    )


def _region_groups(result: Result) -> list[Any]:
    """A group per region: its box on the radiograph, its site, and the highest heat in it."""
    from highdicom.sr import (
        Measurement,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    groups = []
    for number, region in enumerate(result.finding.regions, start=1):
        name = f"region {number}"
        site = _site(region.zone)
        group = PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(uid=result.uid(name), identifier=name),
            referenced_region=image_region(result, region),
            finding_type=result.disease() if result.verdict == "present" else None,
            finding_sites=None if site is None else [site],
            algorithm_id=_algorithm(result),
            measurements=[
                Measurement(result.quantity(), region.score, _ratio(), derivation=codes.SCT.Maximum)
            ],
            qualitative_evaluations=[answer(result, result.verdict)],
        )
        if region.zone == "outside_lungs":
            group[0].ContentSequence.append(_comment("The region lies outside the lungs."))
        groups.append(group)
    return groups
