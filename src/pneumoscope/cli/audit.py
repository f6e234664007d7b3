"""`pneumoscope audit`: whether a bundle and its explanations are to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, disclaim, errors, print_json, progress, shown, warn
from pneumoscope.cli.tables import show_card
from pneumoscope.extras import require


def audit(
    cohort: Annotated[
        Path | None,
        typer.Argument(
            help="Manifest of scan, or a CSV with image,label; without it phantoms are drawn.",
            show_default=False,
        ),
    ] = None,
    bundle: options.Bundle = Path("default"),
    split: Annotated[
        options.SplitChoice, typer.Option(help="Which radiographs of the cohort.")
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
    json: options.Json = False,
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
    from pneumoscope.assessment.bundle_audit import audit_bundle
    from pneumoscope.report.card_tables import card_tables

    content, known = audit_bundle(
        bundle,
        out,
        cohort,
        split=split,
        n=n,
        n_scored=n_scored,
        tests=None if tests == "all" else options.names(tests),
        seed=seed,
        stage=progress,
    )
    _show(content)
    show_card([] if known is None else card_tables(known["measured"]))
    console.print(f"Report: [bold]{shown(out / 'report.html')}[/bold]")
    disclaim()
    if json:
        print_json((out / "audit.json").read_text(encoding="utf-8"))


def _show(content: Mapping[str, Any]) -> None:
    """Print verdicts and figures, then the warnings and the notes."""
    from rich.table import Column, Table

    from pneumoscope.report.audit_words import FIGURES
    from pneumoscope.report.numbers import figure_text

    value = Column("value (95 % interval)", justify="right")
    table = Table(
        Column("test", header_style="bold"), "verdict", "figure", value, header_style="dim"
    )
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
    for sentence in content["warnings"]:
        warn(sentence)
    for sentence in content["notes"]:
        # To be known before the figures are read, as `evaluate` says it; it may well be good news.
        errors.print(shown(sentence), style="warning")
