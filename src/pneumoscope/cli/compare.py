"""`pneumoscope compare`: every backbone under one protocol, with intervals, tests and costs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Column, Table

from pneumoscope.cli import options
from pneumoscope.cli.console import (
    console,
    disclaim,
    errors,
    progress,
    quoted,
    report_progress,
    shown,
)
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.comparison.plan import Standing
    from pneumoscope.comparison.run_progress import Board, RunProgress
    from pneumoscope.comparison.session import Task
    from pneumoscope.report.comparison_content import ComparisonContent

_SOME_FAILED = 1
_STYLES = {"waiting": "dim", "training": "cyan", "measuring": "cyan", "failed": "red"}


def compare(
    cohort: Annotated[Path, typer.Argument(help="Manifest of scan, or a CSV with image,label.")],
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("comparison"),
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=BUNDLE",
            help="Compare these bundles, runs or files of export instead of training; repeat.",
        ),
    ] = None,
    backbones: Annotated[
        str,
        typer.Option(help="Names joined by commas. Default: the registered eight."),
    ] = "",
    seeds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="1,2,3|BACKBONE=1,2",
            help="Seeds joined by commas; BACKBONE=SEEDS for one of them.",
        ),
    ] = None,
    preset: options.Preset = "default",
    epochs: options.Epochs = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="auto|none|FOLDER|BACKBONE=FILE",
            help="What backbones start from; may be repeated. FOLDER holds a file of each.",
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch-if-missing",
            help="Train from random weights if a backbone's own are missing, and say so.",
        ),
    ] = False,
    set_: options.Set = None,
    split: Annotated[
        Literal["test", "val"], typer.Option(help="What is measured on; val chose the epochs.")
    ] = "test",
    boxes: Annotated[
        Path | None,
        typer.Option(help="Lesion annotations, as of evaluate; boxes are taken."),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Lesion masks at the radiographs' relative paths.")
    ] = None,
    lungs: options.LungMasks = None,
    show_plan: Annotated[
        bool,
        typer.Option(
            "--show-plan",
            "--dry-run",
            help="Print the plan and the missing weights, and stop.",
        ),
    ] = False,
) -> None:
    """Train and measure backbones under one protocol, on one split; say which differ.

    With [bold]--model[/bold], models that are finished are measured; nothing is trained.

    Run the same command again to continue: finished runs are kept, a half-finished one is resumed
    after its last epoch. Writes [bold]table.csv[/bold], [bold]table.md[/bold],
    [bold]report.html[/bold], [bold]metrics.json[/bold], [bold]heatmaps.png[/bold] and
    [bold]runs/[/bold]. If a backbone fails the others go on, and the exit code is 1.

    [dim]Examples:[/dim]
      pneumoscope compare cohort.csv --out comparison --from-scratch-if-missing
      pneumoscope compare cohort.csv --backbones resnet18,vit_b_16 --seeds 1,2,3 --epochs 3
      pneumoscope compare cohort.csv --seeds 1,2,3 --seeds vit_b_16=1
      pneumoscope compare cohort.csv --preset paper --weights none --show-plan
      pneumoscope compare cohort.csv --model old=run-1 --model new=run-2 --boxes boxes.csv
    """
    if model:
        training = (backbones, seeds, weights, set_, epochs is not None, from_scratch, show_plan)
        if any(training) or preset != "default":
            raise SettingsError(
                "--model trains nothing", remedy="leave out the options of training"
            )
        _compare_finished(cohort, model, out, split, (boxes, masks, lungs))
        return
    overrides = _checked(backbones, preset, epochs, set_ or [])
    require("train", "the comparison")
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.comparison import plan, session
    from pneumoscope.comparison.writing import write_results

    manifest = Manifest.read(cohort)
    session.check_cohort(manifest, split)
    annotations = Annotations.read(boxes, masks, lungs)
    own_seeds = {"": "42", **_by_backbone("--seeds", seeds or [])}
    runs = plan.make_plan(
        out,
        options.names(backbones),
        {name: _numbers(text) for name, text in own_seeds.items()},
        preset=preset,
        weights=_by_backbone("--weights", weights or []),
        overrides=overrides,
    )
    task = session.Task(
        manifest=manifest,
        data_digest=manifest.digest(),
        split=split,
        annotations=annotations,
        from_scratch=from_scratch,
        truth={} if annotations is None else annotations.identity(),
    )
    plan.check_folder(out)
    standings = session.survey(runs, task)
    if show_plan:
        _show_plan(standings, task, cohort.stem)
        return
    with plan.occupied(out, task.data_digest):
        with _watched(standings) as board:
            outcome = session.carry_out(standings, task, board)
        with progress("Drawing heatmaps") as update:
            command = shlex.join(["pneumoscope", *sys.argv[1:]])
            content = write_results(out, outcome, task, cohort.stem, command, update)
    _show(content, out)
    if outcome.failures:
        raise typer.Exit(_SOME_FAILED)


def _compare_finished(
    cohort: Path,
    given: Sequence[str],
    out: Path,
    split: str,
    drawn: tuple[Path | None, Path | None, Path | None],
) -> None:
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.comparison.finished import compare_finished

    models: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name in models:
            raise SettingsError(
                f"'{text}' is no NAME=BUNDLE, or its name stands twice",
                remedy="write, say, --model old=run-1 --model new=run-2",
            )
        models[name] = Path(path)
    content = compare_finished(
        models,
        Manifest.read(cohort),
        out,
        split=split,
        annotations=Annotations.read(*drawn),
        title=cohort.stem,
        command=shlex.join(["pneumoscope", *sys.argv[1:]]),
        stage=progress,
    )
    _show(content, out)


def _checked(backbones: str, preset: str, epochs: int | None, pairs: list[str]) -> dict[str, Any]:
    """The settings that all runs share; checked with the backbones, before torch loads.

    Raises:
        SettingsError: one is not.
    """
    from pneumoscope.bundles import check_backbone
    from pneumoscope.training.settings import make_settings, parse_settings

    shared = parse_settings(pairs, {"epochs": epochs})
    for name in options.names(backbones):
        check_backbone(name)
    make_settings(preset, **shared)
    return shared


def _numbers(text: str) -> list[int]:
    try:
        return [int(name) for name in options.names(text)]
    except ValueError:
        raise SettingsError(
            f"'{text}' is not a list of seeds", remedy="give --seeds 1,2,3"
        ) from None


def _by_backbone(option: str, given: Sequence[str]) -> dict[str, str]:
    """Backbone to the value given for it; "" stands for those not named.

    Raises:
        SettingsError: one is given two values.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        key, value = (name, value) if equals else ("", text)
        if key in found:
            raise SettingsError(
                f"{option} has two values for {key or 'all backbones'}: {found[key]} and {value}",
                remedy="give one; --seeds 1,2 for two seeds",
            )
        found[key] = value
    return found


@contextmanager
def _watched(standings: Sequence[Standing]) -> Iterator[Board]:
    """The board, shown while runs are carried out: a live table, or lines where there is none."""
    from pneumoscope.comparison.session import make_board

    def line(run: RunProgress, news: bool) -> None:
        if news:
            report_progress(board.news(run))

    if console.quiet or not errors.is_terminal:
        board = make_board(standings, line)
        yield board
        return
    board = make_board(standings)
    with Live(console=errors, get_renderable=lambda: _board_table(board), refresh_per_second=2):
        yield board


def _board_table(board: Board) -> Table:
    from pneumoscope.comparison.run_progress import duration_text

    left = board.seconds_left()
    caption = "" if left is None else f"about {duration_text(left)} left"
    columns = ("run", "state", "val ROC-AUC", "s/epoch", Column(min_width=20, no_wrap=True))
    table = Table(*columns, header_style="dim", caption=caption, caption_justify="left")
    for run in board.runs:
        style = _STYLES.get(run.state, "")
        auc = "" if run.val_roc_auc is None else f"{run.val_roc_auc:.4f}"
        pace = f"{run.seconds[-1]:.0f}" if run.seconds else ""
        share = f"{run.share:.0%}" if run.state == "training" else ""
        detail = shown(run.detail or share)
        state = f"[{style}]{run.words}[/]" if style else run.words
        table.add_row(shown(run.name), state, auc, pace, detail)
    return table


def _show_plan(standings: Sequence[Standing], task: Task, name: str) -> None:
    """Print the runs and where they stand, and what they share."""
    from pneumoscope.comparison.content import cohort_facts
    from pneumoscope.comparison.plan import missing_weights

    table = Table("run", "starts from", "epochs", "now", header_style="dim")
    missing = missing_weights(standings)
    for one in standings:
        settings = one.run.settings
        now = f"after epoch {one.epochs}" if one.stage == "unfinished" else one.stage
        absent = " (missing)" if one.run.backbone in missing and one.stage == "new" else ""
        start = f"{shown(settings.weights)}{absent}"
        table.add_row(shown(one.run.name), start, str(settings.epochs), now)
    console.print(table)
    for backbone, file in missing.items():
        console.print(f"Missing: {shown(file)}, the weights of {shown(backbone)}", soft_wrap=True)
    if missing:
        console.print(
            "Fetch them where there is a network, and give the folder as --weights weights:\n"
            f"  pneumoscope weights fetch {' '.join(map(quoted, missing))} --to weights",
            soft_wrap=True,
        )
    facts = cohort_facts(task.manifest, name, task.split, task.data_digest)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), markup=False)
    own = {"backbone", "seed", "weights", "epochs"}
    shared = standings[0].run.settings.model_dump(exclude=own)
    console.print(", ".join(f"{key} {value}" for key, value in shared.items()), markup=False)


def _show(content: ComparisonContent, out: Path) -> None:
    """Print the main columns, the verdict, and where the rest is."""
    from pneumoscope.report.numbers import interval_text, number_text

    table = Table(header_style="dim", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", header_style="bold", min_width=10, overflow="fold")
    table.add_column("start")
    for name in ("seeds", "ROC-AUC (95 %)", "acc.", "10⁶ par.", "GMACs", "films/s"):
        table.add_column(name, justify="right")
    for row in content.comparison.rows:
        cost = content.costs.get(row.name)
        costs = ("", "", "")
        if cost is not None:
            size, speed = f"{cost.parameters / 1e6:.2f}", f"{cost.radiographs_per_second:.1f}"
            costs = (size, f"{cost.gmacs:.2f}", speed)
        auc = interval_text(row.figures["roc_auc"].to_dict())
        accuracy = number_text(row.figures["accuracy"].value)
        start = content.starts.get(row.name, "").partition(" (")[0].removeprefix("from ")
        table.add_row(
            shown(row.name), shown(start), ",".join(map(str, row.seeds)), auc, accuracy, *costs
        )
    console.print(table)
    for sentence in content.comparison.verdict:
        console.print(sentence, markup=False, soft_wrap=True)
    for backbone, problem in content.failures.items():
        errors.print(f"[red]failed[/red] {shown(backbone)}: {shown(problem)}")
    console.print(
        f"Report: [bold]{shown(out / 'report.html')}[/bold]   Table: {shown(out / 'table.md')}"
    )
    console.print(
        f"Heatmaps: {shown(out / 'heatmaps.png')}   Figures: {shown(out / 'metrics.json')}"
    )
    disclaim()
