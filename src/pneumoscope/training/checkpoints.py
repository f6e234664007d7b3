"""A run's checkpoints: of the last epoch and of the best one, each whole or not there at all."""

from __future__ import annotations

# First: it makes torchvision importable beside torch's CPU build, and Lightning imports it.
import pneumoscope.models  # noqa: F401

# isort: split
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from pneumoscope.errors import RunError
from pneumoscope.files import atomic_path

CHECKPOINTS = "checkpoints"
BEST, LAST = "best.ckpt", "last.ckpt"


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it there: a kill leaves the old one.

    Lightning's own goes through the system's temporary folder, from where, if it is on another
    disk, the file is copied to its place piece by piece.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write; when this returns the file is on disk, not just in its cache.

        Raises:
            OutputError: it cannot be written.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
            stream.write(content.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())


class LastEpoch(Checkpoint):
    """Writes `last.ckpt` after every epoch, after `best.ckpt`, and continues from it exactly.

    Lightning's `save_last` writes the last of the *best* checkpoints.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder).resolve()

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write; every process has its part in it."""
        trainer.save_checkpoint(self._folder / LAST)

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Let the best score stand after the run was moved: Lightning forgets it with the path."""
        for state in checkpoint["callbacks"].values():
            if "best_k_models" in state:
                state.update(self._here(state))

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Take no further step if early stopping had ended the training."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping):
                trainer.should_stop |= _had_enough(callback.wait_count, callback.patience)

    def _here(self, state: dict[str, Any]) -> dict[str, Any]:
        """The paths of a `ModelCheckpoint`, in this folder."""
        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._path(state[name]) for name in names if state.get(name)}
        best = {self._path(path): score for path, score in state["best_k_models"].items()}
        return {**moved, "best_k_models": best, "dirpath": str(self._folder)}

    def _path(self, text: str) -> str:
        return str(self._folder / Path(text).name)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        RunError: it is cut off or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            whole = archive.testzip() is None
        if whole:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            int(content["epoch"])
            return content
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, pickle.UnpicklingError):
        pass
    except (KeyError, TypeError, ValueError):  # Whole, and something else.
        pass
    raise RunError("is cut off or damaged", path=path, remedy=_remedy(path))


def next_epoch(folder: Path, epochs: int) -> int:
    """The zero-based epoch that a run goes on with, after both its checkpoints were checked.

    Args:
        folder: of the run.
        epochs: of the whole training; returned if early stopping had ended it.

    Raises:
        RunError: one of them is cut off or damaged.
    """
    last, best = (folder / CHECKPOINTS / name for name in (LAST, BEST))
    if not last.is_file():
        return 0
    content = read_checkpoint(last)
    read_checkpoint(best)
    states = content.get("callbacks", {}).values()
    ended = any(_had_enough(state.get("wait_count", 0), state.get("patience")) for state in states)
    return epochs if ended else int(content["epoch"]) + 1


def _had_enough(waited: int, patience: int | None) -> bool:
    return patience is not None and waited >= patience


def _remedy(path: Path) -> str:
    run, best = path.parent.parent, path.with_name(BEST)
    again = f"remove {run} and train again"
    if path.name != LAST or not best.is_file():
        return again
    try:
        epoch = int(read_checkpoint(best)["epoch"]) + 1
    except RunError:
        return f"{again} ({BEST} is damaged, too)"
    return f"copy {BEST}, which is whole, to {path} and resume: epoch {epoch + 1} comes next"
