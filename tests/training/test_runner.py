"""Whole runs: what they leave behind, and that a killed one ends as if it had not been."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import OutputError, RunError
from pneumoscope.models.loading import load_classifier
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.models.weights import pretrained_classifier
from pneumoscope.training import runner
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.runner import (
    ema_decay,
    resume_run,
    start_run,
)
from pneumoscope.training.settings import make_settings

# What makes the groups, without a column `cohort` and with it.
GROUPS = (["label"], ["cohort", "label"])

QUICK: dict[str, Any] = {
    "backbone": "resnet18", "weights": "none", "size": 64, "epochs": 3, "batch_size": 8,
}  # fmt: skip

# Processes start as copies of one that has imported all, which takes longer than these trainings.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pneumoscope.training.runner"])


def ending(
    manifest: Path, out: Path, kill_at: int, preset: str, how: signal.Signals, said: Path
) -> None:
    """Train, and send oneself a signal at the start of a step; what is told goes to `said`."""
    with said.open("wb") as stream:
        os.dup2(stream.fileno(), sys.stderr.fileno())
    # A shell's background jobs ignore Ctrl-C, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    step = ClassifierModule.training_step

    def training_step(self: ClassifierModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == kill_at:
            os.kill(os.getpid(), how)
        return step(self, batch, batch_idx)

    ClassifierModule.training_step = training_step  # type: ignore[method-assign]
    start_run(Manifest.read(manifest), make_settings(preset, **QUICK), out)


def train(
    manifest: Path, out: Path, kill_at: int, preset: str, how: signal.Signals = signal.SIGKILL
) -> tuple[int | None, str]:
    """The exit code of `ending` in a process of its own, and what it told."""
    said = out.with_suffix(".txt")
    process = PROCESSES.Process(target=ending, args=(manifest, out, kill_at, preset, how, said))
    process.start()
    process.join()
    return process.exitcode, said.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_killed_run_resumes_exactly(preset: str, manifest_file: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start_run(Manifest.read(manifest_file), make_settings(preset, **QUICK), whole)
    # 30 training radiographs make 3 batches of 8 an epoch: step 4 is in the middle of the second.
    assert train(manifest_file, killed, 4, preset)[0] == -signal.SIGKILL
    assert not (killed / "bundle").exists()
    assert len((killed / "history.csv").read_text().splitlines()) == 2
    resume_run(killed)
    columns = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_roc_auc")

    def history(run: Path) -> list[list[str]]:
        with (run / "history.csv").open() as stream:
            return [[row[name] for name in columns] for row in csv.DictReader(stream)]

    assert history(killed) == history(whole)
    _, first = read_bundle(whole)
    _, second = read_bundle(killed)
    assert (first.threshold, first.temperature) == (second.threshold, second.temperature)
    ours, theirs = (load_file(run / "bundle" / "model.safetensors") for run in (whole, killed))
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor, theirs[name])


def test_a_run_leaves_what_the_contract_names(run_folder: Path) -> None:
    for name in ("config.yaml", "manifest.csv", "manifest.json", "history.csv"):
        assert (run_folder / name).is_file()
    assert {p.name for p in (run_folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list((run_folder / "tensorboard").glob("events*"))
    info = json.loads((run_folder / "bundle" / "bundle.json").read_text())
    assert info["training"]["settings"]["backbone"] == "resnet18"
    assert set(info["training"]["splits"]) == {"train", "val", "test"}
    assert info["review"]["coverage"] == 0.95
    assert 0 <= info["review"]["low"] <= info["review"]["high"] <= 1


def test_whoever_may_read_a_bundle_may_read_its_weights(run_folder: Path) -> None:
    described, *others = (path.stat().st_mode for path in sorted((run_folder / "bundle").iterdir()))
    assert others and set(others) == {described}


def test_resuming_a_finished_run_changes_nothing(run_folder: Path) -> None:
    before = (run_folder / "bundle" / "bundle.json").read_text()
    history = (run_folder / "history.csv").read_text()
    result = resume_run(run_folder)
    assert len(result.history) == 1
    assert (run_folder / "bundle" / "bundle.json").read_text() == before
    assert (run_folder / "history.csv").read_text() == history


def test_a_folder_is_never_overwritten(run_folder: Path, manifest_file: Path) -> None:
    with pytest.raises(OutputError, match="already exists"):
        start_run(Manifest.read(manifest_file), make_settings(), run_folder)


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no config\.yaml"):
        resume_run(tmp_path)


def test_one_class_in_a_split_is_refused_before_anything_is_written(
    manifest_file: Path, tmp_path: Path
) -> None:
    manifest = Manifest.read(manifest_file)
    table = manifest.table
    rows = (table["split"] != "val") | (table["label"] == "NORMAL")
    with pytest.raises(RunError, match="split 'val' holds one class only"):
        start_run(replace(manifest, table=table[rows]), make_settings(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class _EnoughError(Exception):
    """Training need not go on."""


@pytest.mark.parametrize("joined", [False, True])
def test_small_groups_of_a_joint_cohort_are_drawn_more_often(
    joined: bool, manifest_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.read(manifest_file)
    if joined:
        sets = ["few" if row < 8 else "many" for row in range(len(manifest.table))]
        manifest = replace(manifest, table=manifest.table.assign(cohort=sets))
    drawn: list[NDArray[np.float64]] = []

    def seen(*given: Any) -> None:
        drawn.append(given[3].sampler.draws)
        raise _EnoughError

    monkeypatch.setattr(runner, "fit", seen)
    settings = make_settings(
        backbone="resnet18", weights="none", size=64, batch_size=8, even_sets=1, lung_guidance=0
    )
    with pytest.raises(_EnoughError):
        start_run(manifest, settings, tmp_path / "run")
    table = manifest.subset("train").table
    each = pd.Series(drawn[0]).groupby([table[name].tolist() for name in GROUPS[joined]]).sum()
    assert len(each) == 2 + 2 * joined
    assert each.tolist() == pytest.approx([len(table) / len(each)] * len(each))


def test_precision_is_as_told() -> None:
    assert computes_in_bfloat16("bfloat16") and not computes_in_bfloat16("float32")


def test_a_short_run_is_not_averaged_with_its_start() -> None:
    assert ema_decay(0.99, 10_000) == 0.99
    assert ema_decay(0.99, 50) == pytest.approx(0.9)
    assert ema_decay(0.99, 3) == 0.0


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on(manifest_file: Path, tmp_path: Path) -> None:
    _, said = train(manifest_file, tmp_path / "run", 4, "default", signal.SIGINT)
    last = said.strip().splitlines()[-1]
    assert "RunError" in last and "training was interrupted" in last and "--resume" in last
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_a_diverged_training_says_so(manifest_file: Path, tmp_path: Path) -> None:
    settings = make_settings(
        backbone="resnet18",
        weights="none",
        size=64,
        epochs=1,
        batch_size=8,
        learning_rate=1e30,
        ema_decay=0.0,
    )
    with pytest.raises(RunError, match="diverged"):
        start_run(Manifest.read(manifest_file), settings, tmp_path / "run")


@pytest.mark.slow
def test_a_run_pools_as_it_is_told_wherever_it_starts(manifest_file: Path, tmp_path: Path) -> None:
    told = make_settings(**{**QUICK, "epochs": 1, "pooling": "top"})
    run = tmp_path / "run"
    result = start_run(Manifest.read(manifest_file), told, run)
    assert result.bundle.architecture.pooling == "top"
    cells = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    trained = load_classifier(*read_bundle(run))
    weighted, _ = pretrained_classifier("resnet18", "regional", 64, str(run))
    top, _ = pretrained_classifier("resnet18", "regional", 64, str(run), "top")
    torch.testing.assert_close(trained.pooled(cells), top.pooled(cells))
    assert not torch.allclose(weighted.pooled(cells), top.pooled(cells))
    torch.testing.assert_close(weighted.state_dict(), trained.state_dict())
