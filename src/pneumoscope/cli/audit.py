"""`pneumoscope audit`: whether a bundle and its explanations are to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pneumoscope.cli.console import (
    NOT_FOR_DIAGNOSIS,
    console,
    errors,
    print_json,
    progress,
    show_table,
    shown,
)
from pneumoscope.cli.options import BundleOption, JsonOption, names
from pneumoscope.extras import require


def audit(
    cohort: Annotated[
        Path | None,
        typer.Argument(
            help="Manifest of scan, or a CSV with image,label; without it phantoms are drawn.",
            show_default=False,
        ),
    ] = None,
    bundle: BundleOption = Path("default"),
    split: Annotated[
        Literal["train", "val", "test", "all"],
        typer.Option(help="Which radiographs of the cohort."),
    ] = "test",
    n: Annotated[int, typer.Option("--n", min=2, help="Radiographs, half of them positive.")] = 60,
    tests: Annotated[
        str,
        typer.Option(
            help="Joined by commas: randomisation, deletion, marker, places, shortcuts; or all."
        ),
    ] = "all",
    n_scored: Annotated[
        int, typer.Option(min=2, help="Radiographs of the test of shortcuts, half positive.")
    ] = 240,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the sample, the new weights and the order.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="New folder for the results.")] = Path("audit"),
    json: JsonOption = False,
) -> None:
    """Test whether heatmaps show what the model learned, and whether it learned a shortcut.

    Randomises the weights, removes the hottest pixels, stamps markers into corners, measures where
    the heat lies, and hides the lungs, the middle, the markers. Also prints the figures of the
    bundle's card. A failed audit is a result, not an error: the exit code is 0.
    Writes [bold]audit.json[/bold] and [bold]report.html[/bold].

    [dim]Examples:[/dim]
      pneumoscope audit cohort.csv --bundle RUN
      pneumoscope audit cohort.csv --bundle RUN --tests shortcuts --n-scored 1000
      pneumoscope audit
    """
    require("train", "the audit")
    console.quiet = console.quiet or json
    from pneumoscope.assessment.bundle_audit import audit_bundle
    from pneumoscope.report.card_tables import card_tables

    content, known = audit_bundle(
        bundle,
        out,
        cohort,
        split=split,
        n=n,
        n_scored=n_scored,
        tests=None if tests == "all" else names(tests),
        seed=seed,
        stage=progress,
    )
    _show(content)
    for table in [] if known is None else card_tables(known["measured"]):
        show_table(table)
    console.print(f"Report: [bold]{shown(out / 'report.html')}[/bold]")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")
    if json:
        print_json((out / "audit.json").read_text(encoding="utf-8"))


def _show(content: Mapping[str, Any]) -> None:
    """Print verdicts and figures, then the warnings."""
    from rich.table import Table

    from pneumoscope.report.audit_words import FIGURES
    from pneumoscope.report.numbers import figure_text

    table = Table(header_style="dim")
    table.add_column("test", header_style="bold")
    table.add_column("verdict")
    table.add_column("figure")
    table.add_column("value (95 % interval)", justify="right")
    for test in content["tests"].values():
        verdict = "[green]passed[/green]" if test["passed"] else "[warning]not passed[/warning]"
        for line, (key, value) in enumerate(test["figures"].items()):
            head = (test["title"], verdict) if line == 0 else ("", "")
            table.add_row(*head, FIGURES[key][0], figure_text(value))
        table.add_section()
    console.print(table)
    console.print(
        f"{shown(content['model'])}, heatmap {content['heatmap']}, on {content['n']} "
        f"{content['sample']['what']} of {content['n_patients']} patients, "
        f"{content['n_called_positive']} called positive"
    )
    for sentence in (*content["warnings"], *content["notes"]):
        errors.print(f"[warning]warning:[/warning] {shown(sentence)}")
