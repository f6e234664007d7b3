"""`pneumoscope average`: several runs as one network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import disclaim, progress, tell_run
from pneumoscope.cli.tables import show_metrics
from pneumoscope.extras import require


def average(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs with different seeds.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run.")] = Path("average"),
    region_threshold: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="Heat from which a pixel belongs to a region. [dim]Default: that of the first "
            "run[/dim]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Average the weights of runs that started from the same weights.

    The mean is often better than each of them, and as fast as one. Threshold, calibration and
    review band are fitted on val. Writes [bold]bundle/[/bold], [bold]metrics.json[/bold] and
    [bold]report.html[/bold] (on val).

    [dim]Examples:[/dim]
      pneumoscope train cohort.csv --teacher first --seed 1 --out seed1
      pneumoscope train cohort.csv --teacher first --seed 2 --out seed2
      pneumoscope average seed1 seed2 --out both
    """
    require("train", "averaging runs")
    from pneumoscope.assessment.runs import document_run
    from pneumoscope.training.averaging import average_runs

    with progress("Decoding radiographs") as decoding:
        result = average_runs(runs, out, decoding, region_threshold)
    with progress("Measuring on val") as update:
        metrics = document_run(result.folder, result.history, update)
    show_metrics(f"{metrics['model']} on val", metrics)
    tell_run(out)
    disclaim()
