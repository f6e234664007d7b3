"""Which pictures that the gate flags get no DICOM objects."""

from __future__ import annotations

import pytest

from pneumoscope.dicom.outcome import shows_no_film
from pneumoscope.findings import Finding, Gate, GateReason


@pytest.mark.parametrize(
    ("reason", "none"),
    [
        (None, False), ("inverted", False), ("rotated", False), ("cropped", False),
        ("blank", True), ("lateral", True), ("ct", True), ("not_chest", True),
    ],
)  # fmt: skip
def test_objects_are_written_for_frontal_films_only(reason: GateReason | None, none: bool) -> None:
    gate = Gate(flagged=reason is not None, reason=reason)
    finding = Finding.from_prediction(
        "a.dcm", probability=0.1, threshold=0.5, labels=("NORMAL", "PNEUMONIA"), model="m@1"
    )
    assert shows_no_film(finding.model_copy(update={"gate": gate})) is none
