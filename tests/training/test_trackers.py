"""MLflow and Weights & Biases get a training's figures, offline, and one run goes on as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.cli.train import train
from pneumoscope.errors import SettingsError
from pneumoscope.training.history import read_history
from pneumoscope.training.runner import resume_run, start_run
from pneumoscope.training.settings import make_settings


@pytest.mark.slow
def test_figures_reach_the_trackers_and_nothing_leaves_the_machine(
    manifest_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    from pneumoscope.cohort.manifest import Manifest

    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    settings = make_settings(
        backbone="test_resnet", weights="none", size=64, epochs=1, batch_size=8, head="linear",
        lung_prior=False,
    )  # fmt: skip
    out = tmp_path / "run"
    start_run(Manifest.read(manifest_file), settings, out, trackers=["mlflow", "wandb"])
    known = (out / "mlflow-run.txt").read_text("utf-8").strip()
    client = MlflowClient((out / "mlflow").resolve().as_uri())
    run = client.get_run(known)
    (row,) = read_history(out / "history.csv")
    assert run.data.metrics["val_roc_auc"] == pytest.approx(row["val_roc_auc"], abs=1e-5)
    assert run.data.params["learning_rate"] == "0.0007"
    assert run.info.run_name == "run"
    kept = (out / "wandb-run.txt").read_text("utf-8").strip()
    assert [path.name for path in (out / "wandb").glob(f"offline-run-*-{kept}")]
    assert not any(manifest_file.name in str(value) for value in run.data.params.values())
    # A finished run begins no other.
    resume_run(out, trackers=["mlflow", "wandb"])
    experiment = run.info.experiment_id
    assert len(client.search_runs([experiment])) == 1


def test_unknown_trackers_are_refused(manifest_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown tracker 'comet'.*mlflow or wandb"):
        train(manifest_file, out=tmp_path / "out", tracker=["comet"])
    assert not (tmp_path / "out").exists()
