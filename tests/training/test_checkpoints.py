"""Where a resumed run goes on, and what it says of checkpoints that are cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from pneumoscope.cli.app import app
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import RunError
from pneumoscope.training import checkpoints, module, runner
from pneumoscope.training.history import Row
from pneumoscope.training.runner import RunListener, resume_run, start_run
from pneumoscope.training.settings import make_settings


class _KilledError(Exception):
    """Stands for a kill."""


@dataclass
class Told:
    """What a run told: which epochs it trained, and where it went on."""

    epochs: list[int] = field(default_factory=list)
    resumed: list[tuple[int, int]] = field(default_factory=list)
    stop_in: int | None = None

    def listener(self) -> RunListener:
        return RunListener(epoch=self._epoch, resumed=lambda *said: self.resumed.append(said))

    def _epoch(self, row: Row) -> None:
        # Before the epoch's checkpoints are written.
        if row["epoch"] == self.stop_in:
            raise _KilledError
        self.epochs.append(int(row["epoch"]))


Start = Callable[..., Path]
Scores = Callable[[list[float]], None]


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Scores:
    """Sets the ROC-AUC on val of the epochs to come."""

    def set_scores(values: list[float]) -> None:
        coming: Iterator[float] = iter(values)
        monkeypatch.setattr(module, "roc_auc_score", lambda *_: next(coming))

    return set_scores


@pytest.fixture
def killed(manifest_file: Path, tmp_path: Path) -> Start:
    """Starts a run that is killed at the end of an epoch, and returns its folder."""

    def start(stop_in: int | None, epochs: int = 5, **settings: Any) -> Path:
        chosen = make_settings(
            backbone="resnet18", weights="none", size=64, epochs=epochs, batch_size=16, **settings
        )
        told = Told(stop_in=stop_in)
        with pytest.raises(_KilledError):
            start_run(Manifest.read(manifest_file), chosen, tmp_path / "run", told.listener())
        return tmp_path / "run"

    return start


def epoch_of(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["epoch"])


@pytest.mark.slow
def test_a_resumed_run_starts_with_the_epoch_after_the_last_not_after_the_best(
    killed: Start, scores: Scores
) -> None:
    scores([0.9, 0.7, 0.6, 0.5])
    run = killed(3)
    assert epoch_of(run / "checkpoints" / "best.ckpt") == 0
    assert epoch_of(run / "checkpoints" / "last.ckpt") == 2
    told = Told()
    scores([0.5, 0.4])
    result = resume_run(run, told.listener())
    assert told.epochs == [3, 4] and told.resumed == [(3, 5)]
    assert [row["epoch"] for row in result.history] == [0, 1, 2, 3, 4]
    assert result.bundle.training.selected_epoch == 0
    assert epoch_of(run / "checkpoints" / "last.ckpt") == 4


def test_a_finished_run_trains_nothing_and_says_so(run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    told = Told()
    resume_run(run, told.listener())
    assert told.epochs == [] and told.resumed == [(1, 1)]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    result = CliRunner().invoke(app, ["train", "--resume", "--out", str(run)])
    assert result.exit_code == 0 and "nothing is left to train" in result.stderr
    assert "epoch 1:" not in result.stderr


def test_a_run_whose_bundle_is_missing_trains_nothing_and_writes_it(
    run_folder: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    shutil.rmtree(run / "bundle")
    told = Told()
    resume_run(run, told.listener())
    assert told.epochs == [] and told.resumed == [(1, 1)]
    ours, theirs = (
        json.loads((folder / "bundle" / "bundle.json").read_text()) for folder in (run, run_folder)
    )
    assert ours == theirs


@pytest.mark.slow
def test_a_moved_run_keeps_its_best_epoch(killed: Start, scores: Scores, tmp_path: Path) -> None:
    scores([0.9, 0.8, 0.7])
    moved = killed(2, epochs=3).rename(tmp_path / "moved")
    scores([0.85])
    assert resume_run(moved, Told().listener()).bundle.training.selected_epoch == 0


@pytest.mark.slow
def test_early_stopping_holds_over_a_kill(
    killed: Start, scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_bundle(*_: object, **__: object) -> None:
        raise _KilledError

    scores([0.9, 0.8])
    with monkeypatch.context() as patched:
        patched.setattr(runner, "make_bundle", no_bundle)
        run = killed(None, patience=1)
    assert epoch_of(run / "checkpoints" / "last.ckpt") == 1
    told = Told()
    scores([])
    result = resume_run(run, told.listener())
    assert told.epochs == [] and told.resumed == [(5, 5)]
    assert result.bundle.training.selected_epoch == 0 and len(result.history) == 2


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 3000, -1000])
def test_a_last_checkpoint_that_is_cut_off_says_what_to_do(
    keep: int, killed: Start, scores: Scores
) -> None:
    scores([0.9, 0.8, 0.7])
    run = killed(2, epochs=3)
    last, best = (run / "checkpoints" / name for name in ("last.ckpt", "best.ckpt"))
    last.write_bytes(last.read_bytes()[:keep])
    told = Told()
    with pytest.raises(RunError) as caught:
        resume_run(run, told.listener())
    said = str(caught.value)
    assert "last.ckpt: is cut off or damaged" in said and "\n" not in said
    assert "best.ckpt, which is whole" in said and "epoch 2 comes next" in said
    assert not told.resumed
    # What it says works.
    shutil.copy(best, last)
    scores([0.8, 0.7])
    resume_run(run, told.listener())
    assert told.epochs == [1, 2] and told.resumed == [(1, 3)]


def test_damage_inside_a_checkpoint_is_seen(run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    shutil.rmtree(run / "bundle")
    for name in ("best.ckpt", "last.ckpt"):
        path = run / "checkpoints" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(RunError, match=rf"{name}: is cut off or damaged.*train again"):
            resume_run(run)


def test_the_command_gives_one_line(run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    shutil.rmtree(run / "bundle")
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:3000])
    result = CliRunner().invoke(app, ["train", "--resume", "--out", str(run)])
    assert isinstance(result.exception, RunError)
    assert not (run / "bundle").exists()


def test_a_write_that_fails_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    checkpoints.WholeFiles().save_checkpoint({"epoch": 1}, path)

    def fails(*_: object) -> None:
        raise _KilledError

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(_KilledError):
        checkpoints.WholeFiles().save_checkpoint({"epoch": 2}, path)
    assert epoch_of(path) == 1 and [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]
