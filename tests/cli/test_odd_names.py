"""Files by any name: none ends a command, and each finding leads back to its file."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pneumoscope.names import meant
from tests.export.bundles import exported
from tests.programs import pneumoscope

NAMES = (
    b"b[/1].png", b"[red]x[/red].png", b":smile:.png", b"caf\xe9.png", b"back\\xe9.png",
    b"esc\x1b[2J.png", b"new\nline.png", b"-dash.png", "胸部.png".encode(), b"$x_{$%s{0}.png",
    "ls\u2028x\u202e.png".encode(), "𠀀".encode() * 60 + b".png", b"a" * 250 + b".png", b" \\.png",
)  # fmt: skip
BROKEN = b"broken\xff[/x]\x1b[31m.png"


def fill(folder: Path, phantoms: Path) -> None:
    """Phantoms under the odd names, and a file that is none."""
    films = sorted((phantoms / "images").glob("*.png"))
    for name, film in zip(NAMES, films, strict=False):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, path)
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + BROKEN))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no picture")


@pytest.fixture(scope="module")
def model(run_folder: Path) -> Path:
    return exported(run_folder).path


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_predict_finds_in_files_by_any_name(
    model: Path, phantoms: Path, tmp_path: Path, encoding: str
) -> None:
    fill(tmp_path / "films", phantoms)
    command = [
        *(sys.executable, "-m", "pneumoscope", "predict", "films"),
        *("--bundle", str(model), "--out", "out"),
    ]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr.decode(encoding)
    said = (done.stdout + done.stderr).decode(encoding)
    assert not any(ord(character) < 0x20 and character != "\n" for character in said)
    lines = (tmp_path / "out" / "findings.jsonl").read_text("utf-8").splitlines()
    findings = [json.loads(line) for line in lines]
    found = {os.fsencode(meant(finding["image"])) for finding in findings}
    assert found == {b"films/" + name for name in (*NAMES, BROKEN)}
    errors = [finding["image"] for finding in findings if finding["error"] is not None]
    assert [os.fsencode(meant(name)) for name in errors] == [b"films/" + BROKEN]
    assert all((tmp_path / "out" / f["heatmap"]).is_file() for f in findings if not f["error"])
    again = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, env=environment)
    assert b"14 of 15 were finished before" in again.stdout


@pytest.mark.slow
def test_explain_draws_files_by_any_name(model: Path, phantoms: Path, tmp_path: Path) -> None:
    fill(tmp_path / "films", phantoms)
    result = pneumoscope("explain", "films", "--bundle", model, "--out", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    films = json.loads((tmp_path / "out" / "explain.json").read_text("utf-8"))["radiographs"]
    assert all((tmp_path / meant(film["image"])).is_file() for film in films)
    assert sum("picture" in film for film in films) == len(NAMES)


@pytest.mark.slow
def test_scan_leaves_out_what_a_table_cannot_name(phantoms: Path, tmp_path: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        fill(tmp_path / "films" / label, phantoms)
    result = pneumoscope("scan", "films", "--out", "cohort.csv", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with (tmp_path / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        kept = [row["image"] for row in csv.DictReader(stream)]
    assert all((tmp_path / "films" / image).is_file() for image in kept)
    audit = json.loads((tmp_path / "cohort.audit.json").read_text("utf-8"))
    left = {os.fsencode(meant(entry["image"])) for entry in audit["unreadable"]}
    own = (b"caf\xe9.png", b"back\\xe9.png", b"new\nline.png", BROKEN)
    assert left >= {b"NORMAL/" + name for name in own}
    assert len(left) + len(kept) == 2 * (len(NAMES) + 1)
    assert all("rename it" in entry["reason"] for entry in audit["unreadable"])
