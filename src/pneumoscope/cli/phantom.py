"""`pneumoscope phantom`: a cohort of procedural chest radiographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import console, progress, quoted, shown
from pneumoscope.extras import require


def phantom(
    out: Annotated[Path, typer.Option(help="New folder for the cohort.")] = Path("phantoms"),
    n: Annotated[int, typer.Option("--n", min=1, help="Radiographs.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed, same cohort.")] = 7,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Height in pixels.")] = 256,
    prevalence: Annotated[float, typer.Option(min=0, max=1, help="Share of PNEUMONIA.")] = 0.5,
    marker: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Plant a marker that agrees with the label this often: a shortcut."
        ),
    ] = None,
) -> None:
    """Draw phantoms: chest radiographs of nobody, with exact lesion masks and boxes.

    Writes [bold]images/[/bold], [bold]masks/[/bold], [bold]lungs/[/bold],
    [bold]cohort.csv[/bold] and [bold]boxes.csv[/bold].

    [dim]Examples:[/dim]
      pneumoscope phantom --out phantoms --n 600 --seed 7
      pneumoscope phantom --out shortcut --marker 0.95
    """
    require("evaluate", "phantom")
    from pneumoscope.phantom import PhantomSettings, write_cohort

    settings = PhantomSettings(
        n=n, seed=seed, size=size, prevalence=prevalence, marker_label_correlation=marker
    )
    with progress("Drawing phantoms") as update:
        cohort = write_cohort(out, settings, update)
    console.print(
        f"{cohort.radiographs} radiographs of {cohort.patients} phantom patients, "
        f"{cohort.positives} with {cohort.lesions} lesions, in [bold]{shown(out)}[/bold]"
    )
    console.print(f"Next: pneumoscope scan {quoted(cohort.cohort_csv)} --out phantoms.csv")
