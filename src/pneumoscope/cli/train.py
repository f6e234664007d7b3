"""`pneumoscope train`: from a manifest to a run with its bundle."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import (
    console,
    disclaim,
    progress,
    quoted,
    report_progress,
    shown,
    tell_epoch,
    tell_run,
)
from pneumoscope.cli.tables import runs_table, show_metrics
from pneumoscope.errors import OutputError, SettingsError
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.training.listener import RunListener
    from pneumoscope.training.settings import TrackerName, TrainingSettings

_FIGURES = {
    "loss": "train_loss",
    "val loss": "val_loss",
    "val accuracy": "val_accuracy",
    "val ROC-AUC": "val_roc_auc",
}


def train(
    cohort: Annotated[
        Path | None, typer.Argument(help="Manifest of scan, or a CSV with image,label.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("run"),
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="resnet18, resnet50, densenet121, efficientnet_b0, mobilenet_v2, mobilenet_v3, "
            "vit_b_16, efficientnet_lite0; any network of timm; hf-hub:OWNER/NAME; "
            "local-dir:PATH. [dim]Default: efficientnet_lite0[/dim]",
            show_default=False,
        ),
    ] = None,
    preset: options.Preset = "default",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|PATH",
            help="What training starts from: the backbone's own weights, random ones, a file or "
            "folder of weights, or a bundle or run. [dim]Default: auto[/dim]",
            show_default=False,
        ),
    ] = None,
    epochs: options.Epochs = None,
    seed: options.TrainingSeed = None,
    set_: options.Set = None,
    findings: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Learn these columns of the manifest (see scan --findings) instead of its label: "
            "one backbone, a bundle for each.",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE",
            help="Self-training: this bundle's maps teach each cell, smoothed or times the density "
            "factor; training starts from its weights.",
            show_default=False,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=3,
            metavar="K",
            help="Cross-validation by patient: K runs, each tested on a fold that it never saw.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Train on N GPUs or, without GPUs, in N processes on the CPU. [dim]Default: 1, or "
            "what torchrun starts[/dim]",
            show_default=False,
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Machines; start the command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK "
            "set. [dim]Default: 1, or what torchrun starts[/dim]",
            show_default=False,
        ),
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="mlflow|wandb",
            help="Log to MLflow or Weights & Biases, too; may be repeated. Nothing leaves the "
            "machine without MLFLOW_TRACKING_URI or WANDB_MODE=online.",
            show_default=False,
        ),
    ] = None,
    find_rate: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Train nothing: raise the learning rate over 100 steps, draw the loss to this "
            "file, and say where it falls fastest.",
            show_default=False,
        ),
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the resolved settings and stop.")
    ] = False,
) -> None:
    """Train a classifier from image-level labels; keep the epoch that is best on val.

    Writes the run folder: [bold]bundle/[/bold] (the trained model), [bold]metrics.json[/bold] and
    [bold]report.html[/bold] (on val), [bold]history.csv[/bold], [bold]checkpoints/[/bold],
    [bold]config.yaml[/bold], [bold]manifest.csv[/bold].

    [dim]Examples:[/dim]
      pneumoscope train cohort.csv --out run
      pneumoscope train cohort.csv --backbone resnet18 --weights none --out scratch
      pneumoscope train cohort.csv --preset paper --out paper
      pneumoscope train cohort.csv --set size=320 --set batch_size=16 --out large
      pneumoscope train cohort.csv --teacher run --out student
      pneumoscope train cohort.csv --folds 5 --out folds
      pneumoscope train nih.csv --findings Effusion,Opacity --out several
      pneumoscope train cohort.csv --backbone convnext_tiny --find-rate rate.png
      pneumoscope train --out run --resume
      pneumoscope train cohort.csv --devices 2
      torchrun --nproc-per-node 2 -m pneumoscope train cohort.csv

    [dim]But for rounding, the result does not depend on the devices; a run may be resumed on
    others.[/dim]
    """
    from pneumoscope.training.settings import parse_settings, settings_text

    own = {
        "backbone": backbone,
        "weights": weights,
        "epochs": epochs,
        "seed": seed,
        "findings": None if findings is None else options.names(findings),
        "teacher": None if teacher is None else str(teacher),
    }
    overrides = parse_settings(set_ or [], own)
    if show_config:
        text = settings_text(_checked(preset, overrides))
        console.print(text, end="", markup=False, soft_wrap=True)
        return
    if resume and (cohort is not None or preset != "default" or overrides):
        raise SettingsError(
            "a resumed run keeps its cohort and settings", remedy="give --out and --resume alone"
        )
    if not resume and cohort is None:
        raise SettingsError("no cohort was given", remedy="pneumoscope train cohort.csv --out RUN")
    settings = None if resume else _checked(preset, overrides)
    require("train", "training")
    trackers = _trackers(tracker or [])
    alone = devices is None and nodes is None and not trackers
    if find_rate is not None:
        if cohort is None or settings is None or folds is not None or not alone:
            raise SettingsError(
                "--find-rate looks at a new training on one device, and tracks none",
                remedy="give the cohort, without --resume, --folds, --devices, --nodes and "
                "--tracker",
            )
        _find_rate(cohort, settings, find_rate)
    elif folds is not None:
        if cohort is None or settings is None or not alone:
            raise SettingsError(
                "--folds trains on one device and goes on by itself",
                remedy="give the cohort and --out again, without --resume, --devices, --nodes and "
                "--tracker",
            )
        _cross_validate(cohort, settings, out, folds)
    else:
        _show(out, run_training(cohort, out, settings, devices, nodes, trackers))


def _checked(preset: str, overrides: dict[str, Any]) -> TrainingSettings:
    """The settings, found to be right before torch is imported.

    Raises:
        SettingsError: one is unknown or out of range.
    """
    from pneumoscope.bundles import check_backbone
    from pneumoscope.training.settings import make_settings

    settings = make_settings(preset, **overrides)
    check_backbone(settings.backbone)
    return settings


def _trackers(names: Sequence[str]) -> list[TrackerName]:
    known: dict[str, TrackerName] = {"mlflow": "mlflow", "wandb": "wandb"}
    for name in names:
        if name not in known:
            raise SettingsError(f"unknown tracker '{name}'", remedy=f"choose {' or '.join(known)}")
        require(name, f"--tracker {name}")
    return [known[name] for name in names]


def run_training(
    cohort: Path | None,
    out: Path,
    settings: TrainingSettings | None,
    devices: str | None = None,
    nodes: int | None = None,
    trackers: Sequence[TrackerName] = (),
) -> dict[Path, dict[str, Any]]:
    """Train, or resume without a cohort and settings, then measure on val.

    Returns:
        The val metrics by folder: of the run or, of several findings, of each; none where another
        process of the same run has them.
    """
    from pneumoscope.assessment.runs import document_runs
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.training.devices import Devices
    from pneumoscope.training.runner import resume_run, start_run

    chosen = Devices.parse(devices, nodes)
    if not chosen.leads:
        # The first process warns of the same.
        warnings.simplefilter("ignore")
    with _listening("Training steps") as listener:
        if cohort is None or settings is None:
            result = resume_run(out, listener, chosen, trackers)
        else:
            result = start_run(Manifest.read(cohort), settings, out, listener, chosen, trackers)
    if not chosen.leads:
        return {}
    with progress("Measuring on val") as update:
        return document_runs(result, update)


@contextmanager
def _listening(steps: str) -> Iterator[RunListener]:
    """What a training tells, as progress bars and lines; `steps` says what its steps do."""
    from pneumoscope.training.listener import RunListener

    with (
        progress("Decoding radiographs") as decoding,
        progress("Finding lungs") as lungs,
        progress("Asking the teacher") as teaching,
        progress(steps) as step,
    ):
        epoch = partial(tell_epoch, _FIGURES)
        yield RunListener(decoding, lungs, teaching, epoch, step, _show_resumed)


def _show(out: Path, measured: dict[Path, dict[str, Any]]) -> None:
    """Print the figures on val, and how to measure on test; nothing where another process does."""
    if not measured:
        return
    for folder, metrics in measured.items():
        name = metrics["model"] if folder == out else f"{metrics['model']}, {folder.name},"
        show_metrics(f"{name} on val", metrics)
        tell_run(folder)
    console.print("[dim]Val chose the epoch and the threshold: measure on test with[/dim]")
    for folder in measured:
        table = quoted(folder / "manifest.csv")
        command = f"  pneumoscope evaluate {table} --bundle {quoted(folder)}"
        console.print(
            command if folder == out else f"{command} --out test-{folder.name}", soft_wrap=True
        )
    disclaim()


def _find_rate(cohort: Path, settings: TrainingSettings, picture: Path) -> None:
    """Say and draw at which learning rate the loss falls fastest."""
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import write_bytes
    from pneumoscope.report.figures import rate_figure
    from pneumoscope.report.style import figure_png
    from pneumoscope.training.rate_test import STEPS, find_learning_rate

    if picture.exists():
        raise OutputError("exists already", path=picture, remedy="give another file")
    with _listening("Raising the learning rate") as listener:
        found = find_learning_rate(Manifest.read(cohort), settings, listener)
    write_bytes(picture, figure_png(rate_figure(found.rates, found.losses, found.fastest)))
    console.print(
        f"The loss falls fastest at a learning rate of [bold]{found.fastest:.2g}[/bold] "
        f"({len(found.rates)} of {STEPS} steps), drawn in {shown(picture)}"
    )
    console.print("[dim]A whole training often does better at a third of it. Give it as[/dim]")
    console.print(f"  --set learning_rate={found.fastest:.2g}")


def _cross_validate(cohort: Path, settings: TrainingSettings, out: Path, count: int) -> None:
    """Train and test all folds; print what they say together and apart."""
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.comparison.folds import POOLED, cross_validate

    with _listening("Training steps") as listener, progress("Measuring") as measuring:
        found = cross_validate(
            Manifest.read(cohort),
            settings,
            out,
            count,
            listener=listener,
            measuring=measuring,
            started=lambda number, stage: report_progress(f"fold {number} of {count}: {stage}"),
        )
    rows = [(one["run"], one["classification"]) for one in found.metrics["folds"]]
    rows.append(("all, out of fold", found.metrics["pooled"]))
    console.print(runs_table("test part", rows, POOLED))
    console.print(f"Out-of-fold predictions: [bold]{shown(out / 'predictions.csv')}[/bold]")
    disclaim()


def _show_resumed(done: int, epochs: int) -> None:
    if done >= epochs:
        report_progress("Training had ended: nothing is left to train.")
    elif done:
        report_progress(f"{done} of {epochs} epochs are trained: training goes on with {done + 1}.")
    else:
        report_progress("No epoch was finished: training starts with epoch 1.")
