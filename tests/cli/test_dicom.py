from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from pneumoscope.cli.app import app
from pneumoscope.dicom.objects import KINDS
from pneumoscope.dicom.predicting import predict_objects
from pneumoscope.errors import SettingsError
from tests.dicom.films import NAME, PATIENT, PRIVATE, film
from tests.dicom.node_process import engine
from tests.imaging.films import gray8, save


def predict(paths: list[Path], out: Path, kinds: str = "sr,sc", key: Path | None = None) -> None:
    files = [(path.as_posix(), path) for path in paths]
    predict_objects(
        engine(), files, out, kinds=kinds, key=key, threshold=None, batch_size=4, gate=False
    )


def lines(path: Path) -> dict[str, Any]:
    found = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {Path(line["image"]).name: line for line in found}


def study(folder: Path) -> list[Path]:
    """A good radiograph, and everything else that a folder may hold."""
    folder.mkdir()
    good = film(folder / "good.dcm")
    lateral = film(folder / "lateral.dcm", SOPInstanceUID=generate_uid(), ViewPosition="LL")
    orphan = film(folder / "orphan.dcm", SOPInstanceUID=generate_uid(), StudyInstanceUID=None)
    cut = film(folder / "cut.dcm", SOPInstanceUID=generate_uid())
    cut.write_bytes(cut.read_bytes()[:-500])
    (folder / "random.dcm").write_bytes(bytes(range(256)) * 20)
    picture = save(folder / "picture.png", gray8())
    return [good, lateral, orphan, cut, folder / "random.dcm", picture]


def test_a_study_becomes_objects_and_reasons(tmp_path: Path) -> None:
    files, out = study(tmp_path / "in"), tmp_path / "out"
    predict(files, out)
    chosen, findings = lines(out / "selection.jsonl"), lines(out / "findings.jsonl")
    assert list(chosen) == list(findings) == [path.name for path in files]
    assert [name for name, line in chosen.items() if line["chosen"]] == ["good.dcm"]
    assert [Path(name).name for name in chosen["good.dcm"]["objects"]] == ["sc.dcm", "sr.dcm"]
    for name in chosen["good.dcm"]["objects"]:
        assert dcmread(out / name).PatientID == PATIENT
    expected = {
        "lateral.dcm": ("tags", "no frontal view"),
        "orphan.dcm": ("reading", "no StudyInstanceUID"),
        "cut.dcm": ("reading", "truncated"),
    }
    for name, (by, reason) in expected.items():
        assert chosen[name]["decided_by"] == by
        assert reason in chosen[name]["reason"]
        assert reason in findings[name]["error"]
    for name in ("random.dcm", "picture.png"):
        assert chosen[name]["reason"]
        assert findings[name]["error"]
    assert len(list(out.rglob("*.dcm"))) == 2


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    files, out = study(tmp_path / "in")[:2], tmp_path / "out"
    predict(files, out)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    more = film(tmp_path / "in" / "more.dcm", SOPInstanceUID=generate_uid())
    predict([*files, more], out)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert list(lines(out / "selection.jsonl")) == ["good.dcm", "lateral.dcm", "more.dcm"]


def test_nothing_tells_the_patient_when_deidentified(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even files whose names do: objects, JSON, file names, logs and the terminal."""
    caplog.set_level(logging.DEBUG)
    folder, out = tmp_path / NAME.replace("^", "_"), tmp_path / "out"
    folder.mkdir()
    good = film(folder / f"{PATIENT}.dcm")
    faulty = film(
        folder / f"{PATIENT}-2.dcm", SOPInstanceUID=generate_uid(), PatientBirthDate="1952-3-14 x"
    )
    faulty.write_bytes(faulty.read_bytes()[:-300])
    predict([good, faulty], out, "all", tmp_path / "key")
    captured = capfd.readouterr()
    said = [record.getMessage() for record in caplog.records if "pneumoscope" in record.name]
    said += [captured.out, captured.err]
    said += [path.relative_to(out).as_posix() for path in out.rglob("*")]
    said += [path.read_text("latin1") for path in out.rglob("*") if path.is_file()]
    assert len(list(out.rglob("*.dcm"))) == len(KINDS)
    latin = NAME.encode().decode("latin1")
    for text in said:
        for private in (*PRIVATE, *latin.split("^")):
            assert private not in text


def test_unknown_outputs_and_options_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="names no DICOM output"):
        predict([], tmp_path / "out", "pdf")
    runner, files = CliRunner(), ["--tls-certificate", "node.pem", "--tls-key", "key.pem"]
    for arguments in (
        ["dicom-node", "--to", "nobody"],
        ["dicom-node", "--tls-to"],
        ["dicom-node", "--tls-key", "key.pem"],
        ["dicom-node", "--allow-address", "everywhere"],
        ["dicom-node", "--to", "https://pacs/dicom-web", "--tls-to", *files],
        ["dicom-fetch", "https://pacs/dicom-web/studies/1.2.3", *files],
    ):
        failed = runner.invoke(app, arguments).exception
        assert isinstance(failed, SettingsError), arguments
