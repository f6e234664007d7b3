"""`pneumoscope ensemble`: the answers of several runs as one bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoscope.cli.console import console, disclaim, progress, tell_run
from pneumoscope.cli.tables import runs_table, show_metrics
from pneumoscope.extras import require

_FIGURES = ("roc_auc", "pr_auc", "brier")


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs on one manifest.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run.")] = Path("ensemble"),
) -> None:
    """Put the networks of several runs into one bundle that gives their mean answer.

    The logit is the mean of the runs' calibrated logits, the heatmap the mean of their heatmaps.
    Seeds, recipes and backbones may differ; manifest, input size and heatmap may not. The bundle is
    used like any other, in the time of all its members. To get one network from runs with one start
    and one backbone, see [bold]average[/bold].

    [dim]Examples:[/dim]
      pneumoscope train cohort.csv --seed 1 --out seed1
      pneumoscope train cohort.csv --seed 2 --out seed2
      pneumoscope ensemble seed1 seed2 --out both
      pneumoscope export both --out both.onnx
    """
    require("train", "an ensemble")
    from pneumoscope.assessment.runs import document_run
    from pneumoscope.training.ensembling import ensemble_runs

    with progress("Decoding radiographs") as decoding:
        result = ensemble_runs(runs, out, decoding)
    with progress("Measuring on val") as update:
        metrics = document_run(result.folder, result.history, update)
    show_metrics(f"{metrics['model']} on val", metrics)
    rows = (*_members(runs), ("ensemble", metrics["classification"]))
    console.print(runs_table("on val", rows, _FIGURES))
    tell_run(out)
    disclaim()


def _members(runs: Sequence[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The figures on val of the members, as their training measured them."""
    for run in runs:
        if (run / "metrics.json").is_file():
            content = json.loads((run / "metrics.json").read_text("utf-8"))
            yield run.name, content["classification"]
