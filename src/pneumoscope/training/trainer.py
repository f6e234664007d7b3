"""Lightning's trainer as a run needs it, and what may end a training early."""

from __future__ import annotations

# First: it makes torchvision importable beside torch's CPU build, and Lightning imports it.
import pneumoscope.models  # noqa: F401

# isort: split
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from pneumoscope.errors import OutputError, RunError
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.training.checkpoints import BEST, CHECKPOINTS, LAST, LastEpoch, WholeFiles
from pneumoscope.training.data import Batch
from pneumoscope.training.data_parallel import lost_another
from pneumoscope.training.devices import Processes
from pneumoscope.training.history import History, Row, StepCounter
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.settings import TrackerName, TrainingSettings
from pneumoscope.training.trackers import make_loggers

HISTORY = "history.csv"


def make_trainer(
    folder: Path,
    settings: TrainingSettings,
    processes: Processes,
    *,
    steps: int,
    on_epoch: Callable[[Row], None] | None,
    on_step: Callable[[int, int], None] | None,
    trackers: Sequence[TrackerName] = (),
) -> lightning.Trainer:
    """A trainer that writes history, checkpoints and logs into a run's folder.

    Args:
        folder: of the run.
        settings: of the run.
        processes: those that train together.
        steps: of the whole training.
        on_epoch: called with each finished epoch's figures.
        on_step: called with (steps taken, steps in all) after each.
        trackers: logged to beside TensorBoard.
    """
    # Lightning's hints on hardware and products are no news of this run.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    best = ModelCheckpoint(
        folder / CHECKPOINTS,
        filename=Path(BEST).stem,
        monitor=f"val_{settings.monitor}",
        mode="max",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    last = LastEpoch(folder / CHECKPOINTS)
    callbacks: list[Callback] = [History(folder / HISTORY, on_epoch), best, last]
    if settings.ema_decay:
        callbacks.append(EMAWeightAveraging(decay=ema_decay(settings.ema_decay, steps)))
    if settings.patience is not None:
        callbacks.append(
            EarlyStopping(
                f"val_{settings.monitor}", mode="max", patience=settings.patience, verbose=False
            )
        )
    if on_step is not None:
        callbacks.append(StepCounter(on_step))
    return lightning.Trainer(
        default_root_dir=folder,
        logger=make_loggers(folder, settings, trackers, leads=processes.rank == 0),
        callbacks=callbacks,
        plugins=[WholeFiles()],
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        precision="bf16-mixed" if computes_in_bfloat16(settings.precision) else "32-true",
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        **_placed(processes),
    )


def fit(
    folder: Path,
    trainer: lightning.Trainer,
    module: ClassifierModule,
    batches: DataLoader[Batch],
    val: DataLoader[Batch],
) -> None:
    """Train from the last checkpoint, if there is one, to the end."""
    last = folder / CHECKPOINTS / LAST
    with warnings.catch_warnings():
        # The pixels are in memory: workers would only copy them.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory.*exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", ".*isinstance.treespec.*")
        # Every process has the figures of the whole val split.
        warnings.filterwarnings("ignore", ".*sync_dist=True.*")
        trainer.fit(
            module,
            batches,
            val,
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )


@contextmanager
def told_as_run_errors(folder: Path) -> Iterator[None]:
    """What may end a training early, said with its remedy."""
    remedy = how_to_go_on(folder)
    try:
        yield
    except SystemExit as stop:
        # Lightning ends the process on Ctrl-C.
        raise RunError("training was interrupted", path=folder, remedy=remedy) from stop
    except RuntimeError as error:
        if lost_another(error):
            raise RunError(
                "another process of this training ended", path=folder, remedy=remedy
            ) from error
        # torch's writer tells of a full disk in its own way.
        if "PytorchStreamWriter" not in str(error):
            raise
        raise OutputError("a checkpoint cannot be written", path=folder, remedy=remedy) from error


def how_to_go_on(folder: Path) -> str:
    """The command that continues a run."""
    return f"pneumoscope train --out {folder} --resume continues it"


def ema_decay(decay: float, steps: int) -> float:
    """The decay for a run of `steps`: it looks back over a fifth of them at most.

    A decay of .99 looks back about 100 steps; in a run that short the average would still be what
    training started from.
    """
    return max(min(decay, 1 - 5 / max(steps, 1)), 0.0)


def _placed(processes: Processes) -> dict[str, Any]:
    """Where the trainer computes: one device, or this process' part of several."""
    if processes.size == 1:
        return {"devices": 1}
    return {
        "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
        "devices": processes.per_node,
        "num_nodes": processes.nodes,
        "strategy": DDPStrategy(cluster_environment=TorchElasticEnvironment()),
        # Every process reads whole batches, in the one order, and takes its rows of them.
        "use_distributed_sampler": False,
    }
