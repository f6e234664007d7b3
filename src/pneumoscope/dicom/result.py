"""What was found on one radiograph, as all derived objects say it, and how they name themselves.

UIDs are name-based (version 5 UUIDs, PS3.5 B.2): the same radiograph (`Source.digest`), in
whichever transfer syntax it came, read by the same model at the same threshold with the same
version of this program, gives the same UIDs. An archive that is sent a result twice keeps one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from pneumoscope import __version__
from pneumoscope.bundles import BundleInfo
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.dicom.source import Source
from pneumoscope.findings import Finding, indeterminate

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Explained

MANUFACTURER = "Pneumoscope"
NOT_VERIFIED = "Research use only. Not verified. Not a medical device."
CODING_SCHEME = "99PNEUMOSCOPE"
Verdict = Literal["present", "absent", "indeterminate", "not_judged"]
_NAMESPACE = UUID("6b0d3f5e-6a0c-4c3f-8d0e-0f8a1f5a7a10")
_FIRST_SERIES = 9001


@dataclass(frozen=True, slots=True)
class Report:
    """A Structured Report as others refer to it; it is in the study of its radiograph.

    Attributes:
        series: its SeriesInstanceUID.
        instance: its SOPInstanceUID.
    """

    series: str
    instance: str


@dataclass(frozen=True, slots=True)
class Result:
    """A radiograph with its finding.

    Attributes:
        source: what the objects carry of the radiograph.
        pixels: (height, width) float32 in [0, 1], as displayed, bright = dense.
        heatmap: (height, width) float32 in [0, 1], on the same grid.
        finding: probability, decision, regions; without an error.
        info: of the bundle that found it.
        spacing: (row, column) in millimetres per pixel; None if unknown.
        predecessor: the report of an earlier reading of this radiograph; None if none is known.
    """

    source: Source
    pixels: NDArray[np.float32]
    heatmap: NDArray[np.float32]
    finding: Finding
    info: BundleInfo
    spacing: tuple[float, float] | None
    predecessor: Report | None = None

    @classmethod
    def of(
        cls,
        explained: Explained,
        source: Source,
        info: BundleInfo,
        predecessor: Report | None = None,
    ) -> Result:
        """From what inference explained.

        Raises:
            ValueError: the source is not the radiograph that was explained.
        """
        film = explained.radiograph
        if source.grid != film.pixels.shape:
            raise ValueError(
                f"the radiograph is {film.pixels.shape}, but its tags say {source.grid}"
            )
        return cls(
            source,
            film.pixels,
            explained.heatmap,
            explained.finding,
            info,
            film.spacing,
            predecessor,
        )

    @property
    def model_digest(self) -> str:
        """Hex SHA-256 of the model's weights."""
        return self.info.files[WEIGHTS_FILE]

    def uid(self, *names: str) -> str:
        """A UID for one thing in the objects of this result; the same names, the same UID."""
        said = (
            self.source.dataset.SOPInstanceUID,
            self.source.digest,
            self.model_digest,
            repr(self.finding.threshold),
            __version__,
            *names,
        )
        return _uid(*said)

    @property
    def device_uid(self) -> str:
        """The UID of this version of the program with this model; the same on any radiograph."""
        return _uid("device", self.model_digest, __version__)

    @property
    def flagged(self) -> bool:
        """Whether the input gate found that the model could not judge this picture."""
        return self.finding.gate is not None and self.finding.gate.flagged

    @property
    def verdict(self) -> Verdict:
        """What the objects assert. Without a review band, only what the probability supports."""
        finding = self.finding
        if finding.probability is None or finding.threshold is None:
            return "not_judged"
        doubt = finding.uncertain
        if doubt is None:
            low, high = indeterminate((0.5, 0.5), finding.threshold)
            doubt = low < finding.probability < high
        if doubt:
            return "indeterminate"
        return "present" if finding.positive else "absent"

    @property
    def report(self) -> Report:
        """The Structured Report of this result."""
        return Report(self.uid("sr", "series"), self.uid("sr", "instance"))

    def quantity(self) -> Any:
        """The code of what the heatmap's values are (PS3.16 CID 218)."""
        from pydicom.sr.codedict import codes

        weighted = self.info.heatmap.lower().startswith("gradcam")
        return codes.DCM.GradientWeightedClassActivation if weighted else codes.DCM.ClassActivation

    def disease(self) -> Any:
        """The code of the positive label: a public one for pneumonia, else one of this program."""
        from highdicom.sr import CodedConcept

        label = self.info.labels[1]
        if label.upper() == "PNEUMONIA":
            return CodedConcept("233604007", "SCT", "Pneumonia")
        return CodedConcept("positive-label", CODING_SCHEME, label[:64])

    def lines(self) -> list[str]:
        """What people read on a picture: the words, probability, model, what it is not."""
        finding, review = self.finding, self.info.review
        found = [finding.summary] if finding.summary else []
        if finding.probability is not None and finding.threshold is not None:
            numbers = f"Probability of {self.info.labels[1]} {finding.probability:.3f}"
            numbers += f"; threshold {finding.threshold:.3f}"
            if review is not None:
                low, high = indeterminate((review.low, review.high), finding.threshold)
                numbers += f"; indeterminate from {low:.3f} to {high:.3f}"
            found.append(numbers)
        return [*found, *finding.notes, f"Pneumoscope {__version__}, {finding.model}", NOT_VERIFIED]


def _uid(*said: object) -> str:
    return f"2.25.{uuid5(_NAMESPACE, '/'.join(map(str, said))).int}"


def series(result: Result, kind: str, number: int, description: str) -> Mapping[str, Any]:
    """Arguments of highdicom's objects that all of ours share: series, equipment, text.

    Args:
        result: what the object tells.
        kind: the short name of the object, part of its UIDs.
        number: its place among the kinds, from 0.
        description: of the series, for lists of people.
    """
    from datetime import datetime

    from highdicom import ContributingEquipment
    from pydicom.sr.codedict import codes

    now = datetime.now()
    equipment = ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=result.finding.model,
        software_versions=__version__,
        device_serial_number=result.model_digest[:16],
        contribution_description=NOT_VERIFIED,
    )
    return {
        "series_instance_uid": result.uid(kind, "series"),
        "series_number": _FIRST_SERIES + number,
        "sop_instance_uid": result.uid(kind, "instance"),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": result.finding.model,
        "software_versions": __version__,
        "device_serial_number": result.model_digest[:16],
        "series_description": f"Pneumoscope {description} (research, not verified)",
        "series_date": now.date(),
        "series_time": now.time(),
        "contributing_equipment": [equipment],
        "specific_character_set": result.source.dataset.SpecificCharacterSet,
    }
