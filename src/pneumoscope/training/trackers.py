"""Where a training's figures go: TensorBoard, and MLflow or Weights & Biases beside it.

Nothing leaves the machine unless the tracker's own environment variable says where to:
`MLFLOW_TRACKING_URI`, or `WANDB_MODE=online`. Settings and figures are sent; file names of
radiographs, patients and code are not.
"""

from __future__ import annotations

# First: it makes torchvision importable beside torch's CPU build, and Lightning imports it.
import pneumoscope.models  # noqa: F401

# isort: split
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from pneumoscope.files import write_text
from pneumoscope.training.settings import TrackerName, TrainingSettings

PROJECT = "pneumoscope"
TRACKERS: tuple[str, ...] = get_args(TrackerName)


def make_loggers(
    folder: Path, settings: TrainingSettings, trackers: Sequence[TrackerName], *, leads: bool
) -> list[Logger]:
    """The loggers of a run.

    A resumed run goes on in the tracker's run that it began.

    Args:
        folder: of the run.
        settings: of the run, sent as hyperparameters.
        trackers: beside TensorBoard.
        leads: whether this process is the first; the others log nothing.
    """
    loggers: list[Logger] = [TensorBoardLogger(str(folder), name="", version="tensorboard")]
    for name in trackers if leads else ():
        logger = _mlflow(folder) if name == "mlflow" else _wandb(folder)
        logger.log_hyperparams(settings.model_dump(mode="json"))
        loggers.append(logger)
    return loggers


def _mlflow(folder: Path) -> Logger:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        uri = (folder / "mlflow").resolve().as_uri()
        # MLflow would rather have a database, for which its small package has no driver.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    kept = folder / "mlflow-run.txt"
    known = kept.read_text("utf-8").strip() if kept.is_file() else None
    logger = MLFlowLogger(PROJECT, run_name=folder.name, tracking_uri=uri, run_id=known)
    if known is None:
        write_text(kept, f"{logger.run_id}\n")
    return logger


def _wandb(folder: Path) -> Logger:
    import wandb

    offline = os.environ.get("WANDB_MODE", "offline") != "online"
    kept = folder / "wandb-run.txt"
    if not kept.is_file():
        write_text(kept, f"{secrets.token_hex(4)}\n")
    quiet: Any = wandb.Settings(silent=True, disable_git=True, save_code=False, console="off")
    return WandbLogger(
        name=folder.name,
        save_dir=folder,
        offline=offline,
        id=kept.read_text("utf-8").strip(),
        project=PROJECT,
        resume="allow",
        settings=quiet,
    )
