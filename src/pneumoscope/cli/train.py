"""`pneumoscope train`: from a manifest to a run with its bundle."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from pneumoscope.cli.console import (
    NOT_FOR_DIAGNOSIS,
    console,
    progress,
    quoted,
    report_progress,
    show_metrics,
    shown,
)
from pneumoscope.cli.options import names
from pneumoscope.errors import OutputError, SettingsError
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.training.settings import TrackerName, TrainingSettings


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
    preset: Annotated[
        str, typer.Option(help="'default', or 'paper': the protocol of arXiv 2511.00456.")
    ] = "default",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|PATH",
            help="What training starts from: the backbone's own weights, random ones, a file or "
            "folder of weights, or a bundle or run. [dim]Default: auto[/dim]",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order, augmentation.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; may be repeated."),
    ] = None,
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
            help="Self-training: this bundle's maps, times the density factor, teach each cell; "
            "training starts from its weights.",
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
    chosen = {
        "backbone": backbone,
        "weights": weights,
        "epochs": epochs,
        "seed": seed,
        "findings": None if findings is None else names(findings),
        "teacher": None if teacher is None else str(teacher),
    }
    overrides = {**chosen, **parse_settings(set_ or [])}
    if show_config:
        import yaml

        settings = _checked(preset, overrides)
        text = yaml.safe_dump(settings.model_dump(), sort_keys=False)
        console.print(text, end="", markup=False, soft_wrap=True)
        return
    if resume:
        given = [name for name, value in overrides.items() if value is not None]
        if given or cohort is not None:
            raise SettingsError(
                "a resumed run keeps its cohort and settings",
                remedy="give --out and --resume alone",
            )
    elif cohort is None:
        raise SettingsError("no cohort was given", remedy="pneumoscope train cohort.csv --out RUN")
    else:
        _checked(preset, overrides)
    require("train", "training")
    trackers = _trackers(tracker or [])
    one_device = devices is None and nodes is None
    if find_rate is not None:
        if cohort is None or folds is not None or not one_device or trackers:
            raise SettingsError(
                "--find-rate looks at a new training on one device, and tracks none",
                remedy="give the cohort, without --resume, --folds, --devices, --nodes and "
                "--tracker",
            )
        _find_rate(cohort, _checked(preset, overrides), find_rate)
        return
    if folds is not None:
        if cohort is None or not one_device or trackers:
            raise SettingsError(
                "--folds trains on one device and goes on by itself",
                remedy="give the cohort and --out again, without --resume, --devices, --nodes and "
                "--tracker",
            )
        _cross_validate(cohort, out, preset, overrides, folds)
        return
    measured = run_training(
        cohort, out, preset, overrides, devices=devices, nodes=nodes, trackers=trackers
    )
    if not measured:
        return
    for folder, metrics in measured.items():
        name = metrics["model"] if folder == out else f"{metrics['model']}, {folder.name},"
        show_metrics(f"{name} on val", metrics)
        bundle, report = shown(folder / "bundle"), shown(folder / "report.html")
        console.print(f"Bundle: [bold]{bundle}[/bold]   Report: {report}")
    console.print("[dim]Val chose the epoch and the threshold: measure on test with[/dim]")
    for folder in measured:
        table = quoted(folder / "manifest.csv")
        command = f"  pneumoscope evaluate {table} --bundle {quoted(folder)}"
        console.print(
            command if folder == out else f"{command} --out test-{folder.name}", soft_wrap=True
        )
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")


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


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs to settings; values are read as YAML.

    Raises:
        SettingsError: a pair has no '=' or no valid value, or names the preset, which the others
            build on.
    """
    import yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"'{pair}' is not a setting", remedy="write --set name=value")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingsError(
                f"'{pair}' has a value that is not YAML", remedy="write --set name=value"
            ) from error
        whole, dot, part = name.strip().replace("-", "_").partition(".")
        if dot and whole == "augmentation":
            settings.setdefault("amounts", {})[part] = read
        else:
            settings[whole + dot + part] = read
    if "preset" in settings:
        raise SettingsError("the preset is not a setting", remedy="write --preset NAME")
    return settings


def run_training(
    cohort: Path | None,
    out: Path,
    preset: str,
    overrides: dict[str, Any],
    *,
    devices: str | None = None,
    nodes: int | None = None,
    trackers: Sequence[TrackerName] = (),
) -> dict[Path, dict[str, Any]]:
    """Train, or resume without a cohort, then measure on val.

    Returns:
        The val metrics by folder: of the run or, of several findings, of each; none where another
        process of the same run has them.
    """
    from pneumoscope.assessment.runs import document_run
    from pneumoscope.training.devices import Devices
    from pneumoscope.training.runner import (
        RunListener,
        resume_run,
        start_run,
    )

    chosen = Devices(_device_count(devices), nodes)
    if not chosen.leads:
        # The first process warns of the same.
        warnings.simplefilter("ignore")
    with (
        progress("Decoding radiographs") as decoding,
        progress("Finding lungs") as lungs,
        progress("Asking the teacher") as teaching,
        progress("Training steps") as steps,
    ):
        listener = RunListener(decoding, lungs, teaching, _show_epoch, steps, _show_resumed)
        if cohort is None:
            result = resume_run(out, listener, chosen, trackers)
        else:
            from pneumoscope.cohort.manifest import Manifest
            from pneumoscope.training.settings import make_settings

            settings = make_settings(preset, **overrides)
            result = start_run(Manifest.read(cohort), settings, out, listener, chosen, trackers)
    if not chosen.leads:
        return {}
    measured = {}
    for folder in result.findings or (out,):
        with progress("Measuring on val") as update:
            measured[folder] = document_run(folder, result.history, update)
    return measured


def _find_rate(cohort: Path, settings: TrainingSettings, picture: Path) -> None:
    """Say and draw at which learning rate the loss falls fastest."""
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import atomic_path
    from pneumoscope.report.figures import rate_figure
    from pneumoscope.report.style import figure_png
    from pneumoscope.training.listener import RunListener
    from pneumoscope.training.rate_test import STEPS, find_learning_rate

    if picture.exists():
        raise OutputError("exists already", path=picture, remedy="give another file")
    with (
        progress("Decoding radiographs") as decoding,
        progress("Finding lungs") as lungs,
        progress("Asking the teacher") as teaching,
        progress("Raising the learning rate") as steps,
    ):
        listener = RunListener(decoding, lungs, teaching, step=steps)
        found = find_learning_rate(Manifest.read(cohort), settings, listener)
    with atomic_path(picture) as temporary:
        temporary.write_bytes(figure_png(rate_figure(found.rates, found.losses, found.fastest)))
    console.print(
        f"The loss falls fastest at a learning rate of [bold]{found.fastest:.2g}[/bold] "
        f"({len(found.rates)} of {STEPS} steps), drawn in {shown(picture)}"
    )
    console.print("[dim]A whole training often does better at a third of it. Give it as[/dim]")
    console.print(f"  --set learning_rate={found.fastest:.2g}")


def _cross_validate(
    cohort: Path, out: Path, preset: str, overrides: dict[str, Any], count: int
) -> None:
    """Train and test all folds; print what they say together and apart."""
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.comparison.folds import POOLED, cross_validate
    from pneumoscope.report.numbers import interval_text, metric_name
    from pneumoscope.training.listener import RunListener
    from pneumoscope.training.settings import make_settings

    with (
        progress("Decoding radiographs") as decoding,
        progress("Finding lungs") as lungs,
        progress("Training steps") as steps,
        progress("Measuring") as measuring,
    ):
        found = cross_validate(
            Manifest.read(cohort),
            make_settings(preset, **overrides),
            out,
            count,
            listener=RunListener(decoding, lungs, None, _show_epoch, steps, None),
            measuring=measuring,
            started=lambda number, stage: report_progress(f"fold {number} of {count}: {stage}"),
        )
    table = Table(header_style="dim")
    table.add_column("test part", header_style="bold")
    for name in POOLED:
        table.add_column(metric_name(name), justify="right")
    rows = [(one["run"], one["classification"]) for one in found.metrics["folds"]]
    for title, figures in (*rows, ("all, out of fold", found.metrics["pooled"])):
        table.add_row(shown(title), *(interval_text(figures[name]) for name in POOLED))
    console.print(table)
    console.print(f"Out-of-fold predictions: [bold]{shown(out / 'predictions.csv')}[/bold]")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")


def _trackers(names: Sequence[str]) -> list[TrackerName]:
    known: dict[str, TrackerName] = {"mlflow": "mlflow", "wandb": "wandb"}
    for name in names:
        if name not in known:
            raise SettingsError(f"unknown tracker '{name}'", remedy=f"choose {' or '.join(known)}")
        require(name, f"--tracker {name}")
    return [known[name] for name in names]


def _device_count(text: str | None) -> int | Literal["auto"] | None:
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(
            f"'{text}' is not a number of devices", remedy="give --devices 2, or --devices auto"
        )
    return int(text)


def _show_epoch(row: dict[str, float]) -> None:
    report_progress(
        f"epoch {int(row['epoch']) + 1}: loss {row['train_loss']:.4f}, val loss "
        f"{row['val_loss']:.4f}, val accuracy {row['val_accuracy']:.4f}, val ROC-AUC "
        f"{row['val_roc_auc']:.4f}, {row['seconds']:.0f} s"
    )


def _show_resumed(done: int, epochs: int) -> None:
    if done >= epochs:
        report_progress("Training had ended: nothing is left to train.")
    elif done:
        report_progress(f"{done} of {epochs} epochs are trained: training goes on with {done + 1}.")
    else:
        report_progress("No epoch was finished: training starts with epoch 1.")
