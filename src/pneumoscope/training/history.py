"""`history.csv`: one row per epoch, written as the run goes."""

from __future__ import annotations

# First: it makes torchvision importable beside torch's CPU build, and Lightning imports it.
import pneumoscope.models  # noqa: F401

# isort: split
import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback

from pneumoscope.files import write_text

Row = dict[str, float]
COLUMNS = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_roc_auc", "seconds")


def read_history(path: Path) -> list[Row]:
    """Rows of a history; an absent file is an empty one."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


class History(Callback):
    """Keeps `history.csv` and tells a listener of each finished epoch.

    After a kill, rows of epochs that will be repeated are dropped.
    """

    def __init__(self, path: Path, listener: Callable[[Row], None] | None = None) -> None:
        self.path = path
        self.listener = listener
        self._rows: list[Row] = []
        self._started = 0.0

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Note the time, and forget rows at or after this epoch."""
        self._started = time.perf_counter()
        rows = self._rows or read_history(self.path)
        self._rows = [row for row in rows if row["epoch"] < trainer.current_epoch]

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Append the epoch's figures; of several processes, the first does."""
        if not trainer.is_global_zero:
            return
        figures = {k: float(v) for k, v in trainer.callback_metrics.items() if k in COLUMNS}
        elapsed = round(time.perf_counter() - self._started, 1)
        row = {"epoch": float(trainer.current_epoch), **figures, "seconds": elapsed}
        self._rows.append(row)
        write_text(self.path, _as_csv(self._rows))
        if self.listener is not None:
            self.listener(row)


class StepCounter(Callback):
    """Tells a listener how many of the run's steps are taken."""

    def __init__(self, listener: Callable[[int, int], None]) -> None:
        self.listener = listener

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Count; early stopping may end a run before all steps are taken."""
        self.listener(trainer.global_step, int(trainer.estimated_stepping_batches))


def _as_csv(rows: list[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{row[key]:.6g}" for key in COLUMNS if key in row})
    return buffer.getvalue()
