"""A run from its first step to its bundle; a killed one resumes from its folder alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from pneumoscope.bundles import BundleInfo, finding_folder, read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import BundleError, RunError
from pneumoscope.files import new_folder
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.normalisation import is_folded, unfold
from pneumoscope.models.weights import WeightRecord, pretrained_classifier
from pneumoscope.training.bundling import make_bundle
from pneumoscope.training.cache import cached_lungs, cached_pixels
from pneumoscope.training.checkpoints import BEST, CHECKPOINTS, next_epoch, read_checkpoint
from pneumoscope.training.data import Batch, PixelDataset, even_draws, plain_loader, train_loader
from pneumoscope.training.data_parallel import World, joined
from pneumoscope.training.devices import (
    Devices,
    Processes,
    check_shares,
    find_processes,
)
from pneumoscope.training.gpu_memory import check_memory
from pneumoscope.training.history import Row, read_history
from pneumoscope.training.known import known_before
from pneumoscope.training.launch import launch
from pneumoscope.training.listener import RunListener
from pneumoscope.training.loss import balanced_alpha
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.settings import (
    TrackerName,
    TrainingSettings,
    read_settings,
    write_settings,
)
from pneumoscope.training.teacher import cached_teaching
from pneumoscope.training.trainer import (
    HISTORY,
    ema_decay,
    fit,
    make_trainer,
    told_as_run_errors,
)
from pneumoscope.training.whole_batch import see_whole_batches

__all__ = [
    "CONFIG",
    "HISTORY",
    "MANIFEST",
    "Devices",
    "RunListener",
    "RunResult",
    "ema_decay",
    "predict_logits",
    "resume_run",
    "start_run",
]

# Radiographs by which the statistics of folded normalisations are measured.
_MEASURED = 256

CONFIG, MANIFEST = "config.yaml", "manifest.csv"


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: of the run.
        bundle: of its finding; of several, the first one's.
        history: a row for each epoch.
        findings: of several, the folder of each, with its bundle; else empty.
    """

    folder: Path
    bundle: BundleInfo
    history: list[Row]
    findings: tuple[Path, ...] = ()


def start_run(
    manifest: Manifest,
    settings: TrainingSettings,
    out: Path,
    listener: RunListener | None = None,
    devices: Devices | None = None,
    trackers: Sequence[TrackerName] = (),
) -> RunResult:
    """Train in a new folder.

    Args:
        manifest: the cohort; its test split is not looked at.
        settings: all that shapes the result.
        out: the run's folder; several machines must share it.
        listener: hears of progress, from the first process.
        devices: what to train on; by default what torchrun started, else one GPU or the CPU.
        trackers: where figures go beside TensorBoard.

    Returns:
        The finished run, in every process that torchrun started.

    Raises:
        OutputError: `out` holds something already.
        RunError: train or val is empty or holds one class only, or a process was killed.
        SettingsError: the batches cannot be shared by the devices.
        WeightsError, SettingsError: the backbone or its weights cannot be had.
    """
    manifest = relabelled(manifest, settings)
    for split in ("train", "val"):
        for view in views_of(manifest, settings):
            check_split(view, split)
    processes = _processes(devices, manifest, settings)
    if processes.local_rank is None:
        task = partial(start_run, manifest, settings, out, trackers=trackers)
        return _launched(task, processes, listener, out, settings)
    with joined(processes) as world, told_as_run_errors(out):
        with world.turn():
            # Built before the folder, so that a refused backbone or weights file leaves none
            # behind.
            start = _start(settings, processes)
            if world.leads:
                if known := known_before(manifest, settings):
                    warnings.warn(known, stacklevel=2)
                new_folder(out)
                write_settings(out / CONFIG, settings)
                manifest.write(out / MANIFEST)
        if not (out / CONFIG).is_file():
            raise RunError(
                "the run's folder is not seen by this machine",
                path=out,
                remedy="give one on a disk that all machines share",
            )
        return _run(out, manifest, settings, start, listener or RunListener(), world, trackers)


def resume_run(
    out: Path,
    listener: RunListener | None = None,
    devices: Devices | None = None,
    trackers: Sequence[TrackerName] = (),
) -> RunResult:
    """Continue a run that was interrupted, from its last finished epoch, or report a finished one.

    The devices need not be those it was started on. A finished run is left as it is.

    Raises:
        RunError: `out` is no run, or a checkpoint is cut off or damaged.
        SettingsError: the batches cannot be shared by the devices.
    """
    for name in (CONFIG, MANIFEST):
        if not (out / name).is_file():
            raise RunError(
                f"holds no {name}, so it is not a run", path=out, remedy="start it without --resume"
            )
    listener = listener or RunListener()
    settings, manifest = read_settings(out / CONFIG), Manifest.read(out / MANIFEST)
    finished = _finished(out, settings)
    if finished is not None:
        _tell(listener, settings.epochs, settings.epochs)
        return finished
    done = next_epoch(out, settings.epochs)
    processes = _processes(devices, manifest, settings)
    if processes.local_rank is None:
        task = partial(resume_run, out, trackers=trackers)
        return _launched(task, processes, listener, out, settings)
    with joined(processes) as world, told_as_run_errors(out):
        if world.leads:
            _tell(listener, done, settings.epochs)
        start = _start(settings, processes)
        return _run(out, manifest, settings, start, listener, world, trackers)


def _tell(listener: RunListener, done: int, epochs: int) -> None:
    if listener.resumed is not None:
        listener.resumed(done, epochs)


def _finished(out: Path, settings: TrainingSettings) -> RunResult | None:
    """A run whose bundles are written and whole; None for one with something left to do."""
    if not all((folder / "bundle").is_dir() for folder in _folders(out, settings)):
        return None
    try:
        return _found(out, settings)
    except BundleError:
        return None


def _processes(
    devices: Devices | None, manifest: Manifest, settings: TrainingSettings
) -> Processes:
    processes = find_processes(devices or Devices())
    train = len(manifest.subset("train").table)
    check_shares(settings.batch_size, train, processes.size)
    return processes


def _launched(
    task: Callable[..., RunResult],
    processes: Processes,
    listener: RunListener | None,
    out: Path,
    settings: TrainingSettings,
) -> RunResult:
    """The run of processes that are started for it."""
    launch(task, processes, listener or RunListener(), out)
    return _found(out, settings)


def _found(folder: Path, settings: TrainingSettings) -> RunResult:
    """A run that another process has finished."""
    parts = _folders(folder, settings)
    infos = [read_bundle(part / "bundle")[1] for part in parts]
    return _result(folder, parts, infos)


def _result(folder: Path, parts: Sequence[Path], infos: Sequence[BundleInfo]) -> RunResult:
    history = read_history(folder / HISTORY)
    return RunResult(folder, infos[0], history, () if len(parts) == 1 else tuple(parts))


def _folders(folder: Path, settings: TrainingSettings) -> list[Path]:
    """The folder of each finding's bundle; of one finding, the run itself."""
    if not settings.several:
        return [folder]
    return [finding_folder(folder, name) for name in settings.findings]


def relabelled(manifest: Manifest, settings: TrainingSettings) -> Manifest:
    """The manifest as a run takes it: one finding, if that is all it learns, becomes the label.

    Raises:
        CohortError: as of `Manifest.of_finding`.
    """
    if settings.several or not settings.findings:
        return manifest
    return manifest.of_finding(settings.findings[0])


def views_of(manifest: Manifest, settings: TrainingSettings) -> list[Manifest]:
    """The manifest as each finding labels it."""
    if not settings.several:
        return [manifest]
    return [manifest.of_finding(name) for name in settings.findings]


def check_split(manifest: Manifest, split: str) -> None:
    """Check that a split holds both classes.

    Raises:
        RunError: it does not.
    """
    present = set(manifest.subset(split).targets().tolist())
    if len(present) < 2:
        raise RunError(
            f"split '{split}' holds one class only ({manifest.labels[min(present)]})",
            remedy="give more radiographs, or other splits",
        )


def _start(settings: TrainingSettings, processes: Processes) -> tuple[Classifier, WeightRecord]:
    """The classifier as it is before the first step, of which a step fits into memory."""
    torch.manual_seed(settings.seed)
    classifier, weights = pretrained_classifier(
        settings.backbone, settings.head, settings.size, settings.start, settings.pooling
    )
    laid = classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_memory(laid, settings, processes)
    return laid, weights


def _run(
    folder: Path,
    manifest: Manifest,
    settings: TrainingSettings,
    start: tuple[Classifier, WeightRecord],
    listener: RunListener,
    world: World,
    trackers: Sequence[TrackerName],
) -> RunResult:
    if not world.leads:
        listener = RunListener()
    ready = prepare_run(manifest, settings, listener, world, start)
    trainer = make_trainer(
        folder,
        settings,
        world.processes,
        steps=settings.epochs * -(-len(ready.batches) // settings.accumulate),
        on_epoch=listener.epoch,
        on_step=listener.step,
        trackers=trackers,
    )
    val = plain_loader(ready.val, batch_size=2 * settings.batch_size)
    fit(folder, trainer, ready.module, ready.batches, val)
    with world.turn():
        if world.leads:
            return _finish(folder, manifest, settings, ready.module, ready.val, start[1])
        return _found(folder, settings)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run before its first step: the module, the batches of train, and val."""

    module: ClassifierModule
    batches: DataLoader[Batch]
    val: PixelDataset


def prepare_run(
    manifest: Manifest,
    settings: TrainingSettings,
    listener: RunListener,
    world: World,
    start: tuple[Classifier, WeightRecord] | None = None,
) -> Prepared:
    """Decode, find lungs, ask the teacher, and build what is trained.

    Args:
        manifest: the cohort.
        settings: of the run.
        listener: hears of progress.
        world: the processes of the run.
        start: the classifier as it is before the first step; None to build it.
    """
    manifest = relabelled(manifest, settings)
    classifier, weights = start or _start(settings, world.processes)
    # The first process of a machine fills its cache, the others find it filled.
    with world.turn(per_node=True):
        pixels = cached_pixels(manifest.subset("all"), settings.size, progress=listener.decoding)
        train, val = (_dataset(manifest, pixels, split, settings) for split in ("train", "val"))
        train.weights = manifest.subset("train").weights()
        if settings.guided:
            train.guides = _guides(settings, train.pixels, listener)
    if weights.sha256 is not None and is_folded(classifier.backbone.network):
        unfold(classifier, _some(train))
    alpha = _alpha(train.targets) if settings.class_weights else None
    table = manifest.subset("val").table
    sets = table["cohort"].to_numpy(np.str_) if "cohort" in table else None
    if world.processes.size > 1:
        see_whole_batches(classifier)
    module = ClassifierModule(classifier, settings, alpha, sets)
    if world.processes.size > 1:
        for each in module.classifiers[1:]:
            see_whole_batches(each.head)
    batches = train_loader(
        train,
        batch_size=settings.batch_size,
        seed=settings.seed,
        balanced=settings.balanced_sampler,
        draws=_draws(manifest, settings),
    )
    return Prepared(module, batches, val)


def _guides(
    settings: TrainingSettings, pixels: NDArray[np.uint8], listener: RunListener
) -> NDArray[np.uint8]:
    """Lungs (N, 1, g, g), and a teacher's map as a second channel."""
    lungs = cached_lungs(pixels, progress=listener.lungs)
    if not settings.taught or settings.teacher is None:
        return lungs[:, None]
    taught = cached_teaching(Path(settings.teacher), pixels, lungs, progress=listener.teaching)
    return np.stack([lungs, taught], axis=1)


def _draws(manifest: Manifest, settings: TrainingSettings) -> NDArray[np.float64] | None:
    """How often each train radiograph is drawn in an epoch; None for once."""
    if settings.even_sets == 0:
        return None
    return even_draws(manifest.subset("train").groups(), settings.even_sets)


def _some(train: PixelDataset) -> Tensor:
    """Pixels (N, 1, size, size) of radiographs taken evenly from train."""
    rows = np.linspace(0, len(train) - 1, min(_MEASURED, len(train))).astype(np.intp)
    return torch.from_numpy(train.pixels[rows][:, None])


def _finish(
    folder: Path,
    manifest: Manifest,
    settings: TrainingSettings,
    module: ClassifierModule,
    val: PixelDataset,
    weights: WeightRecord,
) -> RunResult:
    best = folder / CHECKPOINTS / BEST
    checkpoint = read_checkpoint(best)
    module.load_state_dict(checkpoint["state_dict"])
    module.eval().cpu()
    logits = predict_logits(module, val, 2 * settings.batch_size)
    targets = val.targets.numpy().reshape(len(val), -1)
    parts, infos = _folders(folder, settings), []
    for part, view, classifier, own, stated in zip(
        parts, views_of(manifest, settings), module.classifiers, logits.T, targets.T, strict=True
    ):
        if part != folder:
            part.mkdir(parents=True, exist_ok=True)
            view.write(part / MANIFEST)
        infos.append(
            make_bundle(
                part / "bundle",
                classifier,
                view,
                settings,
                weights,
                selected_epoch=int(checkpoint["epoch"]),
                val_logits=own[stated >= 0],
                val_targets=stated[stated >= 0],
                cohort=manifest,
            )
        )
    return _result(folder, parts, infos)


def predict_logits(
    module: ClassifierModule, dataset: PixelDataset, batch_size: int
) -> NDArray[np.float64]:
    """Log-odds (N, F) of each finding, before calibration, in float32 arithmetic."""
    parts = []
    early = module.frozen_stand_in()
    with torch.inference_mode(), nullcontext() if early is None else early.applied():
        for batch in plain_loader(dataset, batch_size=batch_size):
            logits = module.log_odds(batch.pixels).double()
            if module.settings.mirror:
                logits = (logits + module.log_odds(batch.pixels.flip(-1)).double()) / 2
            parts.append(logits.numpy())
    return np.concatenate(parts)


def _dataset(
    manifest: Manifest, pixels: NDArray[np.uint8], split: str, settings: TrainingSettings
) -> PixelDataset:
    table = manifest.subset("all").table
    rows = np.flatnonzero((table["split"] == split).to_numpy())
    part = manifest.subset(split)
    targets = part.states(settings.findings) if settings.several else part.targets()
    return PixelDataset(pixels[rows], targets)


def _alpha(targets: Tensor) -> Tensor:
    """The weight of each class, (2,), or (F, 2) of several findings."""
    columns = targets.reshape(len(targets), -1).unbind(1)
    found = torch.stack([balanced_alpha(column[column >= 0]) for column in columns])
    return found if targets.dim() > 1 else found[0]
