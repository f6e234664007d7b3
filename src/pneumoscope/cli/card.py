"""`pneumoscope card`: what was measured of a bundle, written beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import console, disclaim, shown
from pneumoscope.cli.tables import show_card
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require


def card(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, or a run.")],
    evaluation: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="Output of evaluate on a cohort; repeat."),
    ] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRAINED:NAME=FOLDER",
            help="Output of evaluate of a model that was trained on TRAINED; repeat.",
        ),
    ] = None,
    audit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="An output of audit on a cohort; repeat."),
    ] = None,
    audit_before: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="Output of audit of the model before a correction."
        ),
    ] = None,
    gate: Annotated[Path | None, typer.Option(help="The file of check-gate.")] = None,
    words: Annotated[
        Path | None,
        typer.Option(help="YAML: cohort (text), limits, history, commands (lists of text)."),
    ] = None,
    trained_on: Annotated[
        Path | None,
        typer.Option(
            help="The manifest it was trained on: list its radiographs and patients in the bundle."
        ),
    ] = None,
    weaknesses: Annotated[
        Path | None,
        typer.Option(help="YAML list of weak subgroups; findings quote them."),
    ] = None,
) -> None:
    """Write a bundle's MODEL_CARD.md and model_card.json from its measurements.

    [dim]Examples:[/dim]
      pneumoscope card RUN --evaluation hospital=evaluation
      pneumoscope card RUN --evaluation a=eval-a --evaluation b=eval-b --other a:b=other-b
      pneumoscope card old-bundle --trained-on run/manifest.csv
      pneumoscope card RUN --weaknesses weaknesses.yaml
    """
    amended = trained_on is not None or weaknesses is not None
    measurements = any((evaluation, other, audit, audit_before, gate, words))
    if not (amended or measurements):
        raise SettingsError(
            "nothing was given to write the card from, and it would replace the bundle's own",
            remedy="give --evaluation NAME=FOLDER, or another output",
        )
    require("evaluate", "card")
    from pneumoscope.assessment.card import list_seen, list_weaknesses, write_card
    from pneumoscope.report.card_tables import card_tables

    if trained_on is not None:
        for path in list_seen(bundle, trained_on):
            console.print(f"Lists what the model was made with: [bold]{shown(path)}[/bold]")
    if weaknesses is not None:
        number, paths = list_weaknesses(bundle, weaknesses)
        for path in paths:
            console.print(f"Lists {number} weaknesses of the model: [bold]{shown(path)}[/bold]")
    if not measurements:
        return
    path, measured = write_card(
        bundle,
        evaluations=evaluation or (),
        others=other or (),
        audits=audit or (),
        audits_before=audit_before or (),
        gate=gate,
        words=words,
    )
    show_card(card_tables(measured))
    console.print(f"Card: [bold]{shown(path)}[/bold]")
    disclaim()
