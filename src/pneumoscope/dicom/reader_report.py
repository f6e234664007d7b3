"""Structured Report, TID 1500: what a person read on a radiograph beside a finding of this program.

The observer is a person. The disease is the question, and the coded answer is present or absent. A
corrected box is a region on the radiograph's pixels (SCOORD). The report is preliminary and
unverified: whoever signs a reading does so in the system that reports.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from pneumoscope import __version__
from pneumoscope.dicom.result import MANUFACTURER, NOT_VERIFIED, Result, series
from pneumoscope.dicom.structured_report import (
    answer,
    comprehensive,
    film_group,
    image_region,
    lungs,
)
from pneumoscope.findings import Region

_UNNAMED = "Unnamed reader"


@dataclass(frozen=True, slots=True)
class PersonReading:
    """What a person read.

    Attributes:
        label: one of the model's labels.
        boxes: where the disease is, `x, y, width, height` in pixels of the radiograph.
        note: free text.
        reader: name or initials; empty if nobody said.
    """

    label: str
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    note: str = ""
    reader: str = ""


def reader_report(result: Result, reading: PersonReading) -> Any:
    """The report of a reading: a Comprehensive SR, complete, preliminary, unverified.

    Args:
        result: the finding beside which it was read.
        reading: of its radiograph. The same reading gives the same UIDs.
    """
    said = json.dumps(asdict(reading), sort_keys=True)
    groups = [
        _film_group(result, reading, said),
        *(_box_group(result, reading, said, number) for number in range(len(reading.boxes))),
    ]
    shared = dict(series(result, "reading", 5, "reading"))
    shared |= {
        "sop_instance_uid": result.uid("reading", "instance", said),
        "manufacturer_model_name": f"{MANUFACTURER} page",
        "device_serial_number": __version__,
    }
    del shared["contributing_equipment"]
    report = comprehensive(result, _observer(reading), groups, **shared)
    if "StudyDescription" in result.source.dataset:
        report.StudyDescription = result.source.dataset.StudyDescription
    return report


def _observer(reading: PersonReading) -> Any:
    from highdicom.sr import (
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
    )
    from pydicom.sr.codedict import codes

    # One component of a name, of at most 64 characters: a reader types no family and given name.
    name = " ".join(reading.reader.replace("^", " ").replace("=", " ").split())[:60] or _UNNAMED
    return ObservationContext(
        observer_person_context=ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=PersonObserverIdentifyingAttributes(name=f"{name}^"),
        )
    )


def _answer(result: Result, reading: PersonReading) -> Any:
    return answer(result, "present" if reading.label == result.info.labels[1] else "absent")


def _film_group(result: Result, reading: PersonReading, said: str) -> Any:
    from highdicom.sr import TrackingIdentifier

    finding = result.finding
    agrees = "agrees" if reading.label == finding.label else "disagrees"
    beside = f"The reader {agrees} with {finding.model}: {finding.label or 'not assessed'}."
    return film_group(
        result,
        [text for text in (NOT_VERIFIED, beside, reading.note) if text],
        tracking_identifier=TrackingIdentifier(uid=result.uid("reading", said), identifier="film"),
        finding_sites=[lungs()],
        qualitative_evaluations=[_answer(result, reading)],
    )


def _box_group(result: Result, reading: PersonReading, said: str, number: int) -> Any:
    from highdicom.sr import PlanarROIMeasurementsAndQualitativeEvaluations, TrackingIdentifier

    x, y, width, height = reading.boxes[number]
    name = f"box {number + 1}"
    box = Region(x=x, y=y, width=width, height=height, score=0)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=result.uid("reading", name, said), identifier=name
        ),
        referenced_region=image_region(result, box),
        qualitative_evaluations=[_answer(result, reading)],
    )
