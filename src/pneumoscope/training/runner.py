"""A run from its first step to its bundle; a killed one resumes from its folder alone."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from pneumoscope.bundles import BundleInfo
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import OutputError, RunError
from pneumoscope.files import new_folder
from pneumoscope.models.classifier import Classifier, positive_logit
from pneumoscope.models.weights import WeightRecord, pretrained_classifier
from pneumoscope.training.bundling import make_bundle
from pneumoscope.training.cache import Progress, cached_lungs, cached_pixels
from pneumoscope.training.data import Batch, PixelDataset, plain_loader, train_loader
from pneumoscope.training.history import History, Row, StepCounter, read_history
from pneumoscope.training.loss import balanced_alpha
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.settings import TrainingSettings, read_settings, write_settings

CONFIG, MANIFEST, HISTORY = "config.yaml", "manifest.csv", "history.csv"


@dataclass(frozen=True, slots=True)
class RunListener:
    """What a run tells the one who started it; every part may be None.

    Attributes:
        decoding: called with (done, total) while radiographs are decoded into the cache.
        lungs: called with (done, total) while their lungs are segmented.
        epoch: called with each finished epoch's figures.
        step: called with (steps taken, steps in all) after each.
    """

    decoding: Progress | None = None
    lungs: Progress | None = None
    epoch: Callable[[Row], None] | None = None
    step: Progress | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: its folder, its bundle, and the history of its epochs."""

    folder: Path
    bundle: BundleInfo
    history: list[Row]


def start_run(
    manifest: Manifest, settings: TrainingSettings, out: Path, listener: RunListener | None = None
) -> RunResult:
    """Train in a new folder.

    Raises:
        OutputError: `out` holds something already.
        RunError: train or val is empty or holds one class only.
        WeightsError, SettingsError: the backbone or its weights cannot be had.
    """
    for split in ("train", "val"):
        _check_split(manifest, split)
    # Built before the folder, so that a refused backbone or weights file leaves none behind.
    start = _start(settings)
    folder = new_folder(out)
    write_settings(folder / CONFIG, settings)
    manifest.write(folder / MANIFEST)
    return _run(folder, manifest, settings, start, listener or RunListener())


def resume_run(out: Path, listener: RunListener | None = None) -> RunResult:
    """Continue a run that was interrupted, from its last finished epoch, or report a finished one.

    Raises:
        RunError: `out` is no run.
    """
    for name in (CONFIG, MANIFEST):
        if not (out / name).is_file():
            raise RunError(
                f"holds no {name}, so it is no run", path=out, remedy="start it without --resume"
            )
    settings, manifest = read_settings(out / CONFIG), Manifest.read(out / MANIFEST)
    return _run(out, manifest, settings, _start(settings), listener or RunListener())


def _check_split(manifest: Manifest, split: str) -> None:
    present = set(manifest.subset(split).targets().tolist())
    if len(present) < 2:
        raise RunError(
            f"split '{split}' holds one class only",
            remedy="give more radiographs, or other splits",
        )


def _start(settings: TrainingSettings) -> tuple[Classifier, WeightRecord]:
    """The classifier as it is before the first step."""
    torch.manual_seed(settings.seed)
    classifier, weights = pretrained_classifier(
        settings.backbone, settings.head, settings.size, settings.weights
    )
    return classifier.to(memory_format=torch.channels_last), weights  # type: ignore[call-overload]


def _run(
    folder: Path,
    manifest: Manifest,
    settings: TrainingSettings,
    start: tuple[Classifier, WeightRecord],
    listener: RunListener,
) -> RunResult:
    # Lightning's hints on hardware and products are no news of this run.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    classifier, weights = start
    pixels = cached_pixels(manifest.subset("all"), settings.size, progress=listener.decoding)
    train, val = (_dataset(manifest, pixels, split) for split in ("train", "val"))
    if settings.guided:
        train.lungs = cached_lungs(train.pixels, progress=listener.lungs)
    alpha = balanced_alpha(train.targets) if settings.class_weights else None
    module = ClassifierModule(classifier, settings, alpha)

    best = ModelCheckpoint(
        folder / "checkpoints",
        filename="best",
        monitor=f"val_{settings.monitor}",
        mode="max",
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    batches = train_loader(
        train,
        batch_size=settings.batch_size,
        seed=settings.seed,
        balanced=settings.balanced_sampler,
    )
    trainer = _trainer(folder, settings, best, listener, settings.epochs * len(batches))
    _fit(folder, trainer, module, batches, plain_loader(val, batch_size=2 * settings.batch_size))
    return _finish(folder, manifest, settings, module, val, weights, Path(best.best_model_path))


def _fit(
    folder: Path,
    trainer: lightning.Trainer,
    module: ClassifierModule,
    batches: DataLoader[Batch],
    val: DataLoader[Batch],
) -> None:
    """Train from the last checkpoint, if there is one, to the end."""
    last = folder / "checkpoints" / "last.ckpt"
    with warnings.catch_warnings(), _told_as_run_errors(folder):
        # The pixels are in memory: workers would only copy them.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory.*exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", ".*isinstance.treespec.*")
        trainer.fit(
            module,
            batches,
            val,
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )


@contextmanager
def _told_as_run_errors(folder: Path) -> Iterator[None]:
    """What may end a training early, said with its remedy."""
    remedy = f"pneumoscope train --out {folder} --resume continues it"
    try:
        yield
    except SystemExit as stop:
        # Lightning ends the process on Ctrl-C.
        raise RunError("training was interrupted", path=folder, remedy=remedy) from stop
    except RuntimeError as error:
        # torch's writer tells of a full disk in its own way.
        if "PytorchStreamWriter" not in str(error):
            raise
        raise OutputError("a checkpoint cannot be written", path=folder, remedy=remedy) from error


def _finish(
    folder: Path,
    manifest: Manifest,
    settings: TrainingSettings,
    module: ClassifierModule,
    val: PixelDataset,
    weights: WeightRecord,
    best: Path,
) -> RunResult:
    checkpoint: dict[str, Any] = torch.load(best, map_location="cpu", weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])
    module.eval().cpu()
    info = make_bundle(
        folder / "bundle",
        module.classifier,
        manifest,
        settings,
        weights,
        selected_epoch=int(checkpoint["epoch"]),
        val_logits=predict_logits(module, val, 2 * settings.batch_size),
        val_targets=val.targets.numpy(),
    )
    return RunResult(folder, info, read_history(folder / HISTORY))


def predict_logits(
    module: ClassifierModule, dataset: PixelDataset, batch_size: int
) -> NDArray[np.float64]:
    """Log-odds (N,) of the positive class, before calibration, in float32 arithmetic."""
    parts = []
    with torch.inference_mode():
        for batch in plain_loader(dataset, batch_size=batch_size):
            logits = positive_logit(module.classifier(batch.pixels)).double()
            if module.settings.mirror:
                mirrored = positive_logit(module.classifier(batch.pixels.flip(-1))).double()
                logits = (logits + mirrored) / 2
            parts.append(logits.numpy())
    return np.concatenate(parts)


def _dataset(manifest: Manifest, pixels: NDArray[np.uint8], split: str) -> PixelDataset:
    table = manifest.subset("all").table
    rows = np.flatnonzero((table["split"] == split).to_numpy())
    return PixelDataset(pixels[rows], manifest.subset(split).targets())


def ema_decay(decay: float, steps: int) -> float:
    """The decay for a run of `steps`: it looks back over a fifth of them at most.

    A decay of .99 looks back about 100 steps; in a run that short the average would still be what
    training started from.
    """
    return max(min(decay, 1 - 5 / max(steps, 1)), 0.0)


def _trainer(
    folder: Path,
    settings: TrainingSettings,
    best: ModelCheckpoint,
    listener: RunListener,
    steps: int,
) -> lightning.Trainer:
    callbacks: list[Callback] = [History(folder / HISTORY, listener.epoch), best]
    if settings.ema_decay:
        callbacks.append(EMAWeightAveraging(decay=ema_decay(settings.ema_decay, steps)))
    if settings.patience is not None:
        callbacks.append(
            EarlyStopping(
                f"val_{settings.monitor}", mode="max", patience=settings.patience, verbose=False
            )
        )
    if listener.step is not None:
        callbacks.append(StepCounter(listener.step))
    return lightning.Trainer(
        default_root_dir=folder,
        logger=TensorBoardLogger(str(folder), name="", version="tensorboard"),
        callbacks=callbacks,
        max_epochs=settings.epochs,
        precision="bf16-mixed" if computes_in_bfloat16(settings.precision) else "32-true",
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def computes_in_bfloat16(precision: str) -> bool:
    """Whether to use bfloat16 autocast: as told, or where the hardware multiplies in it."""
    if precision != "auto":
        return precision == "bfloat16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
