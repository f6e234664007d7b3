"""Structured Report, TID 1500: what was found, where, by which model, and that nobody verified it.

One measurement group is about the whole film: probability, threshold, decision. Each region has a
group with its box as a polyline on the film's pixels (SCOORD). Concepts that no public scheme has
are in the private scheme of this program.
"""

from __future__ import annotations

from typing import Any

from pneumoscope import __version__
from pneumoscope.dicom.presentation_state import corners
from pneumoscope.dicom.result import (
    CODING_SCHEME,
    MANUFACTURER,
    NOT_VERIFIED,
    Result,
    pneumonia,
    series,
)
from pneumoscope.findings import ENGLISH, Zone


def structured_report(result: Result) -> Any:
    """The report of a result: a Comprehensive SR, complete, preliminary, unverified."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import ComprehensiveSR, MeasurementReport
    from pydicom.sr.codedict import codes

    content = MeasurementReport(
        observation_context=_observer(result),
        procedure_reported=_code("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=[_film_group(result), *_region_groups(result)],
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
        **series(result, "sr", 2, "report"),
    )


def _code(value: str, scheme: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)


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
        uid=result.uid("device"),
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
    """Probability, threshold and decision, about the whole film."""
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )

    source = result.source.dataset
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=result.uid("film"), identifier="film"),
        finding_type=pneumonia(),
        algorithm_id=_algorithm(result),
        measurements=_measurements(result),
        qualitative_evaluations=_evaluations(result),
        source_images=[
            SourceImageForMeasurementGroup(
                referenced_sop_class_uid=source.SOPClassUID,
                referenced_sop_instance_uid=source.SOPInstanceUID,
            )
        ],
    )
    group[0].ContentSequence.extend(_comments(result))
    return group


def _measurements(result: Result) -> list[Any]:
    """Numbers about the film; without a probability where the gate says that it means nothing."""
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes

    finding = result.finding
    found = [(_own("threshold", "Decision threshold"), finding.threshold)]
    if not result.flagged:
        found.insert(0, (codes.DCM.Probability, finding.probability))
    found.append((_own("in-lungs", "Share of the evidence inside the lungs"), finding.in_lungs))
    return [Measurement(name, value, _ratio()) for name, value in found if value is not None]


def _ratio() -> Any:
    return _code("{0:1}", "UCUM", "range: 0:1")


def _evaluations(result: Result) -> list[Any]:
    """What is said in words with codes: decision, doubt, gate, and that nobody verified it."""
    from highdicom.sr import QualitativeEvaluation

    finding = result.finding
    said = [("verification", "Verification", "unverified", "Not verified, research use")]
    if not result.flagged:
        label = str(finding.label)
        number = result.info.labels.index(label)
        said.append(("decision", "Decision", f"label-{number}", label[:64]))
    if finding.uncertain is not None:
        answer = ("yes", "Yes, please review") if finding.uncertain else ("no", "No")
        said.append(("uncertain", "Uncertain", *answer))
    if finding.gate is not None:
        reason = finding.gate.reason
        meaning = ENGLISH[f"gate.{reason}"][:64] if reason else "Looks like a frontal chest film"
        said.append(("gate", "Input gate", reason or "passed", meaning))
    return [
        QualitativeEvaluation(_own(name, title), _own(value, meaning))
        for name, title, value, meaning in said
    ]


def _comments(result: Result) -> list[Any]:
    """Text for people, as the group's comments (TID 1501 is extensible)."""
    from highdicom.sr import RelationshipTypeValues, TextContentItem
    from pydicom.sr.codedict import codes

    return [
        TextContentItem(
            name=codes.DCM.Comment,
            value=text,
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        for text in (NOT_VERIFIED, result.finding.summary, *result.finding.notes)
        if text
    ]


def _zone(zone: Zone) -> Any:
    from highdicom.sr import QualitativeEvaluation

    meaning = ENGLISH.get(f"zone.{zone}", "outside the lungs")
    return QualitativeEvaluation(_own("zone", "Zone of the lungs"), _own(zone, meaning))


def _region_groups(result: Result) -> list[Any]:
    """A group per region: its box on the film, and the highest heat in it."""
    from highdicom.sr import (
        ImageRegion,
        Measurement,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
        TrackingIdentifier,
    )

    source = result.source.dataset
    groups = []
    for number, region in enumerate(result.finding.regions, start=1):
        name = f"region {number}"
        image = SourceImageForRegion(
            referenced_sop_class_uid=source.SOPClassUID,
            referenced_sop_instance_uid=source.SOPInstanceUID,
        )
        groups.append(
            PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(uid=result.uid(name), identifier=name),
                referenced_region=ImageRegion("POLYLINE", corners(region), source_image=image),
                finding_type=pneumonia(),
                algorithm_id=_algorithm(result),
                measurements=[
                    Measurement(_own("heat", "Highest class activation"), region.score, _ratio())
                ],
                qualitative_evaluations=[_zone(region.zone)] if region.zone else None,
            )
        )
    return groups
