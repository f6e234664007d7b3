"""Several findings from the table to findings of new radiographs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pneumoscope.bundles import DEFAULT_FOLDER
from pneumoscope.cli.app import app


def test_json_of_several_findings_is_json_alone(phantoms: Path, tmp_path: Path) -> None:
    for name in ("Line", "Opacity"):
        shutil.copytree(DEFAULT_FOLDER, tmp_path / "run" / "findings" / name / "bundle")
    film = next((phantoms / "images").glob("*.png"))
    command = ["predict", str(film), "--bundle", str(tmp_path / "run"), "--no-gate", "--json"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["image"] for line in found] == [str(film)] * 2


@pytest.mark.slow
def test_from_the_table_to_the_findings(phantoms: Path, tmp_path: Path) -> None:
    def pneumoscope(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        return done.output

    table = pd.read_csv(phantoms / "cohort.csv")
    opacity = table["label"] == "PNEUMONIA"
    words = opacity.map({True: "Opacity|Tube", False: "No Finding"})
    words[3::4] = opacity[3::4].map({True: "Opacity", False: "Tube"})
    table.drop(columns="label").assign(said=words).to_csv(tmp_path / "films.csv", index=False)
    scanned, run, out = (tmp_path / name for name in ("cohort.csv", "run", "found"))
    said = pneumoscope(
        "scan", tmp_path / "films.csv", "--images", phantoms, "--label-column", "said",
        "--findings", "Opacity,Line=Tube|Catheter", "--out", scanned,
    )  # fmt: skip
    assert "cohort.csv --findings Opacity,Line --out RUN" in " ".join(said.split())
    known = pd.read_csv(scanned)
    assert (known["Opacity"] == opacity).all() and known["Line"].sum() not in (0, len(known))
    output = pneumoscope(
        "train", scanned, "--findings", "Opacity,Line", "--backbone", "resnet18", "--out", run,
        "--weights", "none", "--epochs", 1, "--set", "size=64", "--set", "batch_size=8",
    )  # fmt: skip
    assert ", Line, on val" in output and "test-Opacity" in output
    films = [phantoms / image for image in table["image"][:2]]
    pneumoscope("predict", *films, "--bundle", run, "--out", out, "--no-gate", "--no-overlays")
    for name in ("Opacity", "Line"):
        lines = (out / name / "findings.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        assert [line["image"] for line in found] == [str(film) for film in films]
        assert {line["label"] for line in found} <= {name, f"no {name}"}
        measured = json.loads((run / "findings" / name / "metrics.json").read_text())
        assert measured["split"] == "val" and measured["model"] == found[0]["model"]
    # The label of the manifest says "finding"; the bundle is measured on its own column.
    pneumoscope(
        "evaluate", scanned, "--bundle", run / "findings" / "Line", "--split", "all",
        "--out", tmp_path / "measured",
    )  # fmt: skip
    predictions = pd.read_csv(tmp_path / "measured" / "predictions.csv")
    assert set(predictions["label"]) == {"Line", "no Line"}
    with_line = dict(zip(known["image"], known["Line"], strict=True))
    assert [with_line[image] for image in predictions["image"]] == [
        int(label == "Line") for label in predictions["label"]
    ]
