"""`pneumoscope compare` as people use it: the whole way with a kill in it, and every mistake."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from rich.console import Console

from pneumoscope.cli import compare as module
from pneumoscope.cli.compare import compare
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.run_progress import Board, RunProgress
from pneumoscope.errors import CohortError, OutputError, RunError, SettingsError
from pneumoscope.files import write_json
from tests.programs import pneumoscope

BACKBONES = ("test_resnet", "resnet18")
# What the process whose memory is measured would take longest to say.
MEMORY = 321.5


@pytest.fixture
def memory_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started to measure memory: `tests/comparison/test_cost.py` has it measured."""
    monkeypatch.setattr("pneumoscope.comparison.cost.peak_memory", lambda *_: MEMORY)


def n_test(manifest: Path) -> int:
    return len(Manifest.read(manifest).subset("test"))


def test_show_plan_writes_nothing(
    manifest_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "comparison"
    compare(manifest_file, out=out, seeds=["1,2"], weights=["none"], epochs=3, show_plan=True)
    said = capsys.readouterr().out
    for name in ("resnet18-seed1", "vit_b_16-seed2", f"test {n_test(manifest_file)},"):
        assert name in said
    assert said.count("new") == 16 and not out.exists()


def test_mistakes_are_found_before_anything_is_written(manifest_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    absent = tmp_path / "absent"
    with pytest.raises(CohortError, match="absent"):
        compare(absent, out=out)
    with pytest.raises(SettingsError, match="lenet"):
        compare(manifest_file, out=out, backbones="resnet18,lenet")
    with pytest.raises(SettingsError, match="is not a list of seeds"):
        compare(manifest_file, out=out, seeds=["one"])
    with pytest.raises(SettingsError, match=r"--seeds has two values for all backbones: 1 and 2"):
        compare(manifest_file, out=out, seeds=["1", "2"])
    with pytest.raises(SettingsError, match="--weights has two values for resnet18"):
        compare(manifest_file, out=out, weights=["resnet18=none", "resnet18=auto"])
    of_training: list[dict[str, Any]] = [{"preset": "paper"}, {"from_scratch": True}, {"epochs": 2}]
    for training in of_training:
        with pytest.raises(SettingsError, match="trains nothing"):
            compare(manifest_file, out=out, model=["a=default", "b=default"], **training)
    with pytest.raises(SettingsError, match="--backbones"):
        compare(manifest_file, out=out, set_=["backbone=resnet18"])
    with pytest.raises(SettingsError, match="name=value"):
        compare(manifest_file, out=out, set_=["epochs"])
    with pytest.raises(SettingsError, match="BACKBONE=FILE"):
        compare(manifest_file, out=out, weights=["my.safetensors"])
    with pytest.raises(CohortError, match="does not exist"):
        compare(manifest_file, out=out, masks=absent)
    assert not out.exists()
    with pytest.raises(OutputError, match="not a comparison folder"):
        compare(manifest_file, out=manifest_file.parent)


def test_a_file_that_is_no_weights_fails_with_one_line(
    manifest_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_text("none")
    with pytest.raises(RunError, match=r"no run was finished.*not readable as weights"):
        compare(
            manifest_file, out=tmp_path / "out", backbones="resnet18",
            weights=[f"resnet18={weights}"], set_=["size=64"],
        )  # fmt: skip
    said = capsys.readouterr().err
    assert "resnet18-seed42: failed" in said and "Traceback" not in said


def test_the_board_as_people_see_it() -> None:
    runs = [RunProgress(f"{name}-seed1", name, 2, 1.0) for name in ("a", "b", "c")]
    board = Board(runs)
    board.move("a-seed1", "training")
    board.epochs("a-seed1", [{"epoch": 0.0, "val_roc_auc": 0.91234, "seconds": 60.0}])
    board.steps("a-seed1", 15, 20)
    board.move("b-seed1", "failed", "no [weights]")
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(module._board_table(board))
    said = console.export_text()
    assert re.search(r"a-seed1 .* epoch 2/2 .* 0\.9123 .* 60 .* 50%", said)
    assert re.search(r"b-seed1 .* failed .* no \[weights\]", said)
    assert re.search(r"c-seed1 .* waiting", said)
    assert "about 2 min left" in said  # half an epoch and two of 60 s: 150 s


@pytest.mark.slow
@pytest.mark.usefixtures("memory_known")
def test_a_killed_comparison_goes_on_where_it_stopped(
    manifest_file: Path, phantoms: Path, tmp_path: Path
) -> None:
    out = tmp_path / "comparison"
    runs = out / "runs"
    words = (
        "compare", manifest_file, "--backbones", ",".join(BACKBONES), "--weights", "none",
        "--seeds", "1,2", "--epochs", 2, "--set", "size=64", "--set", "batch_size=8", "--out", out,
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "pneumoscope", *map(str, words)])
    history = runs / "resnet18-seed1" / "history.csv"
    checkpoint = history.parent / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and process.poll() is None and not checkpoint.is_file():
        time.sleep(0.002)
    # The second run is in its second epoch.
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = history.read_text()
    assert before.count("\n") == 2 and not (history.parent / "bundle").exists()
    first = {path: path.read_bytes() for path in (runs / "test_resnet-seed1").glob("*.*")}
    assert not (out / "table.csv").exists()

    again = pneumoscope(*words, "--masks", phantoms / "masks")
    said, told = again.stdout, again.stderr
    assert again.returncode == 0, told
    # What was finished is as it was; the interrupted run went on after its first epoch.
    assert {path: path.read_bytes() for path in first} == first
    assert "test_resnet-seed1: epoch" not in told
    assert history.read_text().startswith(before) and history.read_text().count("\n") == 3
    assert "resnet18-seed1: epoch 2/2 done" in told and "left" in told
    assert "Research use only" in said and "test_resnet" in said and "scratch" in said

    metrics = json.loads((out / "metrics.json").read_text())
    names = {row["name"] for row in metrics["rows"]}
    assert names == {*BACKBONES, "ensemble (mean)", "ensemble (val-AUC weighted)"}
    assert all(row["n"] == n_test(manifest_file) for row in metrics["rows"])
    for name in BACKBONES:
        row = next(row for row in metrics["rows"] if row["name"] == name)
        assert row["seeds"] == [1, 2] and metrics["starts"][name] == "from scratch"
        assert "peak_in_box" in metrics["localization"][name]
        assert metrics["costs"][name]["train_seconds_per_1000"] > 0
        # Each run on its own was measured as `evaluate` would measure it.
        own = [
            json.loads((runs / f"{name}-seed{seed}" / "test" / "metrics.json").read_text())
            for seed in (1, 2)
        ]
        values = [one["classification"]["roc_auc"]["value"] for one in own]
        assert row["figures"]["roc_auc"]["value"] == pytest.approx(sum(values) / 2)
        accuracies = [one["classification"]["accuracy"]["value"] for one in own]
        assert row["figures"]["accuracy"]["value"] == pytest.approx(sum(accuracies) / 2)
    assert metrics["costs"]["resnet18"]["peak_memory_mb"] == MEMORY
    with (out / "table.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 4
    assert "not for diagnosis" in (out / "report.html").read_text()
    assert Image.open(out / "heatmaps.png").width > 700

    # Other settings are refused, and nothing is lost by asking.
    with pytest.raises(RunError, match=r"epochs 2 \(asked for: 3\)"):
        compare(
            manifest_file, out=out, backbones="resnet18", weights=["none"], seeds=["1"], epochs=3,
            set_=["size=64", "batch_size=8"],
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("memory_known")
def test_one_failure_is_told_and_the_exit_code_is_1(
    manifest_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_text("none")
    out = tmp_path / "comparison"
    with pytest.raises(typer.Exit) as stop:
        compare(
            manifest_file, out=out, backbones="test_resnet,resnet18", epochs=1,
            weights=["none", f"resnet18={weights}"], set_=["size=64", "batch_size=8"],
        )  # fmt: skip
    assert stop.value.exit_code == 1
    assert "failed resnet18: " in capsys.readouterr().err
    metrics = json.loads((out / "metrics.json").read_text())
    assert [row["name"] for row in metrics["rows"]] == ["test_resnet"]
    assert "resnet18-seed42" in metrics["failures"]
    # What is there is not measured again: its marks in the files stay.
    cost = out / "runs" / "test_resnet-seed42" / "cost.json"
    content = json.loads(cost.read_text())
    content["cost"]["machine"] = "abacus"
    write_json(cost, content)
    compare(
        manifest_file, out=out, backbones="test_resnet", epochs=1, weights=["none"],
        set_=["size=64", "batch_size=8"],
    )  # fmt: skip
    assert "epoch" not in capsys.readouterr().err
    assert "abacus" in (out / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("memory_known")
def test_finished_models_are_compared_without_training(
    manifest_file: Path, run_folder: Path, phantoms: Path, tmp_path: Path
) -> None:
    out = tmp_path / "finished"
    models = [f"mine={run_folder}", "package=default"]
    compare(manifest_file, out=out, model=models, masks=phantoms / "masks")
    metrics = json.loads((out / "metrics.json").read_text())
    found = {row["name"]: row for row in metrics["rows"]}
    assert set(found) == {"mine", "package"} and set(metrics["models"]) == set(found)
    for name, row in found.items():
        with (out / "models" / name / "test" / "predictions.csv").open(newline="") as stream:
            lines = list(csv.DictReader(stream))
        assert len(lines) == n_test(manifest_file)
        right = sum(line["label"] == line["decision"] for line in lines) / len(lines)
        assert row["figures"]["accuracy"]["value"] == pytest.approx(right)
    (pair,) = metrics["localization_differences"]
    own = {
        name: json.loads((out / "models" / name / "test" / "metrics.json").read_text())
        for name in found
    }
    peaks = {
        name: each["localization_annotated"][each["localization_method"]]["peak_in_box"]["value"]
        for name, each in own.items()
    }
    difference = peaks[pair["first"]] - peaks[pair["second"]]
    assert pair["figures"]["peak_in_box"]["value"] == pytest.approx(difference)
    for name in ("report.html", "table.csv", "table.md", "heatmaps.png"):
        assert (out / name).is_file()
    with pytest.raises(OutputError, match="already exists"):
        compare(manifest_file, out=out, model=models)


def test_mistakes_with_finished_models(
    manifest_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "finished"
    for model, epochs, words in (
        (["a"], None, "no NAME=BUNDLE"),
        (["a=x", "a=y"], None, "stands twice"),
        ([f"a={run_folder}"], None, "one model only"),
        ([f"a={run_folder}", f"b/c={run_folder}"], None, "no name of a model"),
        ([f"a={run_folder}"], 3, "trains nothing"),
    ):
        with pytest.raises(SettingsError, match=words):
            compare(manifest_file, out=out, model=model, epochs=epochs)
    assert not out.exists()
