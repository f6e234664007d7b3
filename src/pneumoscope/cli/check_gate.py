"""`pneumoscope check-gate`: what the input gate flags, rightly and wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import collect, console, progress, shown
from pneumoscope.extras import require


def check_gate(
    cohort: Annotated[
        Path, typer.Argument(help="Manifest of frontal chest radiographs; test is used.")
    ],
    chests: Annotated[
        list[str] | None,
        typer.Option(help="Further chest radiographs: a folder, a file or a glob."),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            help="Pictures of other things: a folder, file or glob, or the CSV of train-gate."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="gate.onnx of train-gate; else the shipped one.")
    ] = None,
    out: options.Figures = None,
) -> None:
    """Measure the input gate: false positives on chest radiographs, detection of other pictures.

    False positives are counted on test, with 95 % intervals by patient: per cohort, view and source
    (the columns of these names), and on radiographs changed so little that they should pass.
    Rotations, inversion, heavy crops, noise and blanks are made of 500 of them. Of a CSV of
    train-gate the test part is used. Pictures in color are converted to gray here;
    [bold]predict[/bold] refuses them when reading.

    [dim]Example:[/dim]
      pneumoscope check-gate cohort.csv --others photographs --out gate.json
    """
    require("evaluate", "check-gate")
    from pneumoscope.assessment.gate import measure_gate
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import write_json
    from pneumoscope.gate import InputGate

    tables = [name for name in others or () if name.lower().endswith(".csv")]
    with progress("Assessing radiographs") as update:
        figures = measure_gate(
            InputGate.load(model),
            Manifest.read(cohort).subset("test"),
            chests=collect(chests or ()),
            tables=list(map(Path, tables)),
            pictures=collect(name for name in others or () if name not in tables),
            progress=update,
        )
    _show(figures)
    if out is not None:
        write_json(out, figures)
        console.print(f"Figures: [bold]{shown(out)}[/bold]")


def _show(figures: dict[str, Any]) -> None:
    from rich.table import Table

    columns = ("pictures", "number", "flagged", "95 % interval", "AUROC")
    table = Table(*columns, header_style="dim", title=shown(figures["model"]))
    rows = [*figures["false_alarms"].items(), *figures["detection"].items()]
    for name, entry in rows:
        flagged = entry["flagged"]
        ends = [flagged["low"], flagged["high"]]
        between = "" if None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"
        auroc = f"{entry['auroc']:.4f}" if "auroc" in entry else ""
        table.add_row(shown(name), str(entry["n"]), f"{flagged['value']:.4f}", between, auroc)
    console.print(table)
    for key, words in (
        ("accepted_others", "Not flagged"),
        ("flagged_chests", "Flagged chests"),
        ("unreadable", "Left out, not readable as pictures"),
    ):
        if figures[key]:
            console.print(f"{words}: {shown(', '.join(figures[key][:40]))}")
