"""The learning-rate test finds where the loss falls, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pneumoscope.cli.app import app
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import RunError, SettingsError
from pneumoscope.training import rate_test
from pneumoscope.training.listener import RunListener
from pneumoscope.training.rate_test import HIGHEST, LOWEST, find_learning_rate
from pneumoscope.training.settings import TrainingSettings, make_settings

STEPS = 40


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps than people take, over the same rates."""
    monkeypatch.setattr(rate_test, "STEPS", STEPS)


def small(**more: Any) -> TrainingSettings:
    fixed: dict[str, Any] = {
        "backbone": "test_resnet",
        "weights": "none",
        "size": 64,
        "head": "linear",
    }
    return make_settings(batch_size=8, augmentation="none", lung_guidance=0, **fixed, **more)


@pytest.mark.slow
def test_the_loss_falls_where_it_says(manifest_file: Path) -> None:
    told: list[tuple[int, int]] = []
    listener = RunListener(step=lambda done, total: told.append((done, total)))
    found = find_learning_rate(Manifest.read(manifest_file), small(), listener)
    assert len(found.rates) == len(found.losses) == len(told) <= STEPS
    assert told[-1] == (len(told), STEPS)
    assert found.rates[0] == pytest.approx(LOWEST) and found.rates[-1] <= HIGHEST * 1.001
    assert np.isfinite(found.losses).all()
    place = int(np.flatnonzero(found.rates == found.fastest)[0])
    slopes = np.gradient(found.losses, np.log(found.rates))
    assert place >= 10 and slopes[place] == slopes[10:].min() < 0


@pytest.mark.slow
def test_the_loss_is_that_of_a_batch_however_many_a_step_collects(
    manifest_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_test, "STEPS", 2)
    monkeypatch.setattr(rate_test, "_judged", lambda rates, losses: losses)
    manifest = Manifest.read(manifest_file)
    found: list[Any] = [find_learning_rate(manifest, small(accumulate=n)) for n in (1, 3)]
    one, three = found
    assert np.mean(three) == pytest.approx(np.mean(one), rel=0.5)


def test_each_finding_needs_both_labels_and_the_cohort_s_label_does_not(
    manifest_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_test, "prepare_run", lambda *_: pytest.fail("went on"))
    manifest = Manifest.read(manifest_file)
    rows = np.arange(len(manifest.table))
    table = manifest.table.assign(A=(rows % 2).astype(str), B="1", label=manifest.labels[1])
    with pytest.raises(RunError, match=r"holds one class only \(B\)"):
        find_learning_rate(replace(manifest, table=table), small(findings=("A", "B")))


@pytest.mark.slow
def test_a_loss_that_explodes_ends_the_test(
    manifest_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_test, "HIGHEST", 1e6)
    found = find_learning_rate(Manifest.read(manifest_file), small(optimizer="adam"))
    assert 12 < len(found.rates) < STEPS
    assert not found.losses[-1] <= 4 * found.losses[:-1].min()


def test_a_loss_that_never_falls_is_told() -> None:
    rates = np.geomspace(LOWEST, HIGHEST, 40)
    for losses in (np.ones(40), np.linspace(1, 2, 40)):
        with pytest.raises(RunError, match="fell at no learning rate"):
            rate_test._judged(rates, losses)


@pytest.mark.slow
def test_the_command_draws_and_keeps_no_run(manifest_file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "rate.png"
    command = ["train", str(manifest_file), "--backbone", "test_resnet", "--weights", "none"]
    command += ["--set", "size=64", "--set", "batch_size=8", "--out", str(tmp_path / "run")]
    command += ["--find-rate", str(picture)]
    run = CliRunner().invoke(app, command, catch_exceptions=False)
    assert run.exit_code == 0 and "--set learning_rate=" in run.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["rate.png"]
    again = CliRunner().invoke(app, command)
    assert again.exit_code != 0 and "exists already" in str(again.exception)


@pytest.mark.parametrize(
    "others", [["--folds", "3"], ["--devices", "2"], ["--nodes", "2"], ["--tracker", "wandb"]]
)
def test_what_it_cannot_do_is_refused(
    manifest_file: Path, tmp_path: Path, others: list[str]
) -> None:
    picture = tmp_path / "rate.png"
    arguments = ["train", str(manifest_file), "--find-rate", str(picture), *others]
    with pytest.raises(SettingsError, match=others[0]):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not picture.exists()
