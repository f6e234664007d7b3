"""Carrying out a plan, with trainings that take no time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison import session
from pneumoscope.comparison.plan import PlannedRun, make_plan
from pneumoscope.comparison.run_progress import Board
from pneumoscope.comparison.session import (
    Outcome,
    Task,
    carry_out,
    check_cohort,
    make_board,
    survey,
)
from pneumoscope.errors import OutputError, RunError, WeightsError
from pneumoscope.files import new_folder, write_json
from pneumoscope.training.runner import RunListener
from pneumoscope.training.settings import TrainingSettings, write_settings


class Workshop:
    """Stands for training and measuring; writes down what it is asked to do.

    Attributes:
        done: what was done with which run.
        trouble: name of a run to what starting it raises.
    """

    def __init__(self, run_folder: Path) -> None:
        self.finished = run_folder
        self.done: list[str] = []
        self.trouble: dict[str, BaseException] = {}
        self.pretrained: set[str] = set()

    def start(
        self, manifest: Manifest, settings: TrainingSettings, out: Path, listener: RunListener
    ) -> None:
        self.done.append(f"start {out.name} {settings.weights}")
        if out.name in self.trouble:
            raise self.trouble[out.name]
        if settings.weights == "auto" and settings.backbone not in self.pretrained:
            raise WeightsError("the hub cannot be reached", remedy="give a file")
        new_folder(out)
        write_settings(out / "config.yaml", settings)
        manifest.write(out / "manifest.csv")
        for name in ("bundle", "checkpoints"):
            shutil.copytree(self.finished / name, out / name)
        shutil.copy(self.finished / "history.csv", out)
        assert listener.epoch is not None
        listener.epoch({"epoch": 0.0, "val_roc_auc": 0.7, "seconds": 1.0})

    def resume(self, out: Path, listener: RunListener) -> None:
        self.done.append(f"resume {out.name}")
        shutil.copytree(self.finished / "bundle", out / "bundle")

    def document(self, folder: Path, history: object, progress: object) -> None:
        self.done.append(f"document {folder.name}")
        write_json(folder / "metrics.json", {"model": read_bundle(folder)[1].model_id})
        (folder / "report.html").write_text("")

    def measure(self, folder: Path, manifest: object, *_: object, **__: object) -> SimpleNamespace:
        self.done.append(f"measure {folder.name}")
        return SimpleNamespace(metrics={}, predictions_csv=lambda: "image\n")

    def weigh(self, folder: Path, manifest: Manifest, split: str) -> None:
        self.done.append(f"weigh {folder.name}")

    def said(self, what: str) -> list[str]:
        return [line.removeprefix(f"{what} ") for line in self.done if line.startswith(what)]


@pytest.fixture
def shop(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    found = Workshop(run_folder)
    monkeypatch.setattr(session, "start_run", found.start)
    monkeypatch.setattr(session, "resume_run", found.resume)
    monkeypatch.setattr(session, "measure_cost", found.weigh)
    monkeypatch.setattr(session, "document_run", found.document)
    monkeypatch.setattr(session, "assess", found.measure)
    monkeypatch.setattr(session, "OwnModel", lambda folder: folder)
    monkeypatch.setattr(session, "load_engine", lambda folder: folder)
    return found


Runner = Callable[..., Outcome]


@pytest.fixture
def go(shop: Workshop, manifest_file: Path, tmp_path: Path) -> Runner:
    """Plan, survey and carry out, as the command does."""
    manifest = Manifest.read(manifest_file)

    def run(
        *backbones: str, seeds: tuple[int, ...] = (1,), weights: str = "none", scratch: bool = False
    ) -> Outcome:
        plan: list[PlannedRun] = make_plan(tmp_path, backbones, seeds, weights={"": weights})
        task = Task(manifest, manifest.digest(), "test", None, scratch)
        standings = survey(plan, task)
        board: Board = make_board(standings)
        outcome = carry_out(standings, task, board)
        assert {run.state for run in board.runs} <= {"done", "failed"}
        return outcome

    return run


def test_everything_is_done_once(go: Runner, shop: Workshop) -> None:
    first = go("resnet18", "mobilenet_v3", seeds=(1, 2))
    names = ["resnet18-seed1", "mobilenet_v3-seed1", "resnet18-seed2", "mobilenet_v3-seed2"]
    assert [run.name for run in first.finished] == names and not first.failures
    for what in ("document", "measure"):
        assert shop.said(what) == names
    assert shop.said("weigh") == names[:2]
    shop.done.clear()
    again = go("resnet18", "mobilenet_v3", seeds=(1, 2))
    assert [run.name for run in again.finished] == names
    # `weigh` wrote nothing here, hence it is asked for again; nothing else is.
    assert shop.done == ["weigh resnet18-seed1", "weigh mobilenet_v3-seed1"]


def test_a_half_finished_run_is_resumed(go: Runner, shop: Workshop, tmp_path: Path) -> None:
    go("resnet18")
    run = tmp_path / "runs" / "resnet18-seed1"
    shutil.rmtree(run / "bundle")
    shop.done.clear()
    assert len(go("resnet18", "mobilenet_v3").finished) == 2
    assert shop.said("resume") == ["resnet18-seed1"]
    assert shop.said("start") == ["mobilenet_v3-seed1 none"]


def test_missing_weights_fail_one_backbone_and_are_asked_for_once(
    go: Runner, shop: Workshop
) -> None:
    shop.pretrained = {"mobilenet_v3"}
    outcome = go("resnet18", "mobilenet_v3", seeds=(1, 2), weights="auto")
    assert [run.backbone for run in outcome.finished] == ["mobilenet_v3"] * 2
    assert set(outcome.failures) == {"resnet18-seed1", "resnet18-seed2"}
    assert set(outcome.failures.values()) == {"the hub cannot be reached. Give a file"}
    assert len(shop.said("start resnet18")) == 1


def test_missing_weights_are_replaced_if_allowed(
    go: Runner, shop: Workshop, tmp_path: Path
) -> None:
    shop.pretrained = {"mobilenet_v3"}
    outcome = go("resnet18", "mobilenet_v3", seeds=(1, 2), weights="auto", scratch=True)
    assert not outcome.failures
    assert shop.said("start") == [
        "resnet18-seed1 auto", "resnet18-seed1 none", "mobilenet_v3-seed1 auto",
        "resnet18-seed2 none", "mobilenet_v3-seed2 auto",
    ]  # fmt: skip
    # Called again with one seed more, the backbone's runs start alike, whatever can be had by now.
    shop.done.clear()
    shop.pretrained = {"mobilenet_v3", "resnet18"}
    outcome = go("resnet18", "mobilenet_v3", seeds=(1, 2, 3), weights="auto", scratch=True)
    assert shop.said("start") == ["resnet18-seed3 none", "mobilenet_v3-seed3 auto"]
    assert [run.settings.weights for run in outcome.finished][:2] == ["none", "auto"]


def test_a_run_that_fails_lets_the_others_go_on(go: Runner, shop: Workshop) -> None:
    shop.trouble = {
        "resnet18-seed1": RunError("training diverged"),
        "mobilenet_v3-seed1": torch.OutOfMemoryError("CUDA out of memory"),
    }
    outcome = go("resnet18", "mobilenet_v3", "densenet121")
    assert [run.backbone for run in outcome.finished] == ["densenet121"]
    assert outcome.failures["resnet18-seed1"] == "training diverged"
    assert "batch_size" in outcome.failures["mobilenet_v3-seed1"]


def test_an_interruption_and_a_full_disk_end_everything(go: Runner, shop: Workshop) -> None:
    stopped = RunError("training was interrupted")
    stopped.__cause__ = SystemExit()
    shop.trouble = {"resnet18-seed1": stopped}
    with pytest.raises(RunError, match="the same command again"):
        go("resnet18", "mobilenet_v3")
    shop.trouble = {"resnet18-seed1": OutputError("cannot be written (No space left on device)")}
    with pytest.raises(OutputError):
        go("resnet18", "mobilenet_v3")
    assert not shop.said("start mobilenet_v3")


def test_what_a_kill_left_before_training_is_replaced(
    go: Runner, shop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "resnet18-seed1").mkdir(parents=True)
    (tmp_path / "runs" / "resnet18-seed1" / ".config-x.yaml").write_text("ha")
    assert len(go("resnet18").finished) == 1
    _, info = read_bundle(tmp_path / "runs" / "resnet18-seed1")
    assert info.architecture.backbone == "resnet18"


def test_a_cohort_of_one_class_is_refused_before_anything(manifest_file: Path) -> None:
    from dataclasses import replace

    manifest = Manifest.read(manifest_file)
    check_cohort(manifest, "test")
    table = manifest.table
    rows = (table["split"] != "test") | (table["label"] == "NORMAL")
    one_class = replace(manifest, table=table[rows])
    check_cohort(one_class, "val")
    with pytest.raises(RunError, match="split 'test' holds one class only"):
        check_cohort(one_class, "test")
