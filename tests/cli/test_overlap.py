"""A cohort that the model was made with is never taken for a new one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score
from typer.testing import CliRunner

from pneumoscope.cli.app import app
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.report.overlap import overlap_sentences

Evaluate = Callable[..., tuple[dict[str, Any], str, Path]]


@pytest.fixture
def evaluate(run_folder: Path, tmp_path: Path) -> Evaluate:
    """Evaluates a manifest; its metrics, what was printed, and the folder."""

    def run(
        manifest: Manifest, split: str = "all", bundle: Path = run_folder
    ) -> tuple[dict[str, Any], str, Path]:
        manifest.write(tmp_path / "cohort.csv")
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        result = CliRunner(env={"COLUMNS": "200"}).invoke(
            app,
            [
                "evaluate", str(tmp_path / "cohort.csv"), "--bundle", str(bundle),
                "--split", split, "--out", str(out),
            ],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        text = " ".join(result.output.split())
        return json.loads((out / "metrics.json").read_text()), text, out

    return run


@pytest.fixture
def mixed(run_folder: Path, tmp_path: Path) -> Manifest:
    """12 radiographs of train, 4 of val, 3 of test, under new names, and 10 made a little darker,
    one of them with the patient key of a radiograph of train."""
    own = Manifest.read(run_folder / "manifest.csv")
    folder = tmp_path / "other"
    folder.mkdir()
    rows: list[tuple[str, str, str]] = []
    for split, number in (("train", 12), ("val", 4), ("test", 3)):
        part = own.subset(split)
        for index, path in enumerate(part.paths()[:number]):
            name = f"{split}-{index}{path.suffix}"
            shutil.copy(path, folder / name)
            rows.append((name, part.table["label"][index], f"here {len(rows)}"))
    trained = own.subset("train")
    for index, path in enumerate(trained.paths()[12:22]):
        with Image.open(path) as picture:
            darker = (np.asarray(picture) * 0.9).astype(np.uint8)
        Image.fromarray(darker).save(folder / f"new-{index}.png")
        patient = trained.table["patient"][0] if index == 0 else f"new {index}"
        rows.append((f"new-{index}.png", trained.table["label"][12 + index], patient))
    table = pd.DataFrame(rows, columns=["image", "label", "patient"])
    table = table.assign(split="test", sha256="", width=0, height=0)
    return Manifest(table, folder, own.labels)


def test_films_of_the_training_are_counted_under_any_name(
    evaluate: Evaluate, mixed: Manifest
) -> None:
    metrics, printed, out = evaluate(mixed)
    overlap = metrics["overlap"]
    assert metrics["trained_on_this_cohort"] is False
    assert overlap["radiographs"] == {"train": 12, "val": 4, "test": 3}
    assert overlap["patients"] == {"train": 1, "val": 0, "test": 0}
    assert overlap["same_patient_key"] == 1
    assert (overlap["rest"]["n"], overlap["rest_of_other_patients"]["n"]) == (13, 12)
    # The right figures of the rest, from the lines of predictions.csv.
    lines = pd.read_csv(out / "predictions.csv")
    rest = lines[~lines["image"].str.contains("train-|val-")]
    for part, rows in (
        ("rest", rest),
        ("rest_of_other_patients", rest[rest["image"] != "new-0.png"]),
    ):
        expected = accuracy_score(rows["label"], rows["decision"])
        figures = overlap[part]["classification"]
        assert figures["accuracy"]["value"] == pytest.approx(expected)
        assert sum(overlap[part]["confusion"].values()) == len(rows)
    page = (out / "report.html").read_text()
    for text in (printed, " ".join(page.split())):
        assert "external" not in text
        assert "Of 29 radiographs 12 were used to train the model and 4 to choose" in text
        assert "1 further radiograph has the same patient key" in text
    assert "not in train or val" in printed and "not in train or val" in page


@pytest.mark.slow
def test_a_whole_cohort_of_the_training_leaves_no_rest(
    evaluate: Evaluate, run_folder: Path
) -> None:
    own = Manifest.read(run_folder / "manifest.csv")
    metrics, printed, _ = evaluate(own, "train")
    assert metrics["overlap"]["rest"] == {"n": 0, "n_patients": 0}
    assert metrics["overlap"]["radiographs"]["train"] == metrics["n"]
    assert "No other radiograph is left" in printed and "external" not in printed
    held_out, printed, _ = evaluate(own, "test")
    assert held_out["overlap"]["rest"]["n"] == held_out["n"]
    assert "held out, from the same source" in printed and "external" not in printed
    assert "optimistic" not in printed


def test_what_shares_nothing_may_be_called_external(evaluate: Evaluate, mixed: Manifest) -> None:
    new = mixed.table["image"].str.startswith("new-") & mixed.table["patient"].str.startswith("new")
    table = mixed.table[new].reset_index(drop=True)
    metrics, printed, _ = evaluate(replace(mixed, table=table))
    assert metrics["overlap"]["radiographs"] == {"train": 0, "val": 0, "test": 0}
    assert "classification" not in metrics["overlap"]["rest"]
    assert "an external test, as far as files and keys can show" in printed


def test_without_a_list_nothing_is_claimed(
    evaluate: Evaluate, mixed: Manifest, run_folder: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(run_folder / "bundle", tmp_path / "old"))
    info = json.loads((old / "bundle.json").read_text())
    info.pop("seen")
    (old / "bundle.json").write_text(json.dumps(info))
    metrics, printed, _ = evaluate(mixed, bundle=old)
    assert metrics["overlap"] is None
    assert "overlap with this cohort was not checked" in printed and "external" not in printed


def test_a_film_that_changed_since_the_scan_is_named(
    evaluate: Evaluate, mixed: Manifest, run_folder: Path
) -> None:
    own = Manifest.read(run_folder / "manifest.csv")
    table = mixed.table.copy()
    table["sha256"] = own.table["sha256"][0]
    table.loc[1:, "sha256"] = ""
    metrics, printed, out = evaluate(replace(mixed, table=table))
    # The file itself counts, not what the manifest says of it.
    assert metrics["changed"] == 1 and metrics["overlap"]["radiographs"]["train"] == 12
    sentence = "1 file changed since the manifest was written"
    assert sentence in printed and "train-0.png" in printed
    assert sentence in " ".join((out / "report.html").read_text().split())


def test_one_sentence_for_each_state() -> None:
    base = {"train": 0, "val": 0, "test": 0}
    rest = {"n": 5, "n_patients": 5}

    def said(**changes: Any) -> str:
        overlap = {
            "radiographs": base, "patients": base, "same_patient_key": 0, "rest": rest, **changes
        }  # fmt: skip
        return " ".join(overlap_sentences({"n": 5, "overlap": overlap}))

    assert "external" in said()
    for changes in (
        {"radiographs": base | {"train": 1}},
        {"radiographs": base | {"val": 1}},
        {"radiographs": base | {"test": 1}},
        {"patients": base | {"test": 1}},
        {"patients": base | {"train": 1}, "same_patient_key": 1},
    ):
        assert "external" not in said(**changes) and said(**changes)
