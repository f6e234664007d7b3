"""Which pictures get no DICOM objects, and which objects a radiograph is left without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.dicom.objects import _MAKERS
from pneumoscope.dicom.outcome import shows_no_film
from pneumoscope.dicom.predicting import predict_objects
from pneumoscope.findings import Finding, Gate, GateReason
from tests.dicom.films import film
from tests.dicom.node_process import engine


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


def test_a_folder_is_finished_where_an_object_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise TypeError

    monkeypatch.setitem(_MAKERS, "gsps", fails)
    path, out = film(tmp_path / "film.dcm"), tmp_path / "out"
    predict_objects(
        engine(),
        [("film.dcm", path)],
        out,
        kinds="sr,gsps",
        key=None,
        threshold=None,
        batch_size=1,
        gate=False,
    )
    (chosen,) = map(json.loads, (out / "selection.jsonl").read_text().splitlines())
    (finding,) = map(json.loads, (out / "findings.jsonl").read_text().splitlines())
    assert [Path(name).name for name in chosen["objects"]] == ["sr.dcm"]
    assert chosen["left_out"] == {"gsps": "gsps cannot be made (TypeError)"}
    note = "The DICOM object gsps cannot be made (TypeError) and was left out."
    assert finding["notes"][-1] == note
