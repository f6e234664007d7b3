"""`pneumoscope check-lungs`: how well the lung segmenter does on drawn masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, progress, shown
from pneumoscope.cli.tables import show_lung_figures
from pneumoscope.extras import require


def check_lungs(
    cohort: Annotated[Path, typer.Argument(help="CSV with image,mask,patient.")],
    model: Annotated[
        Path | None, typer.Option(help="lungs.onnx of train-lungs; else the shipped one.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="A column of the CSV: figures for each value, too.")
    ] = None,
    out: options.Figures = None,
) -> None:
    """Compare segmented with drawn lungs: Dice, IoU, 95 % intervals.

    [dim]Examples:[/dim]
      pneumoscope check-lungs lungs/cohort.csv --by view
      pneumoscope check-lungs lungs/cohort.csv --model OUT/lungs.onnx --out figures.json
    """
    require("evaluate", "check-lungs")
    from pneumoscope.assessment.lungs import lung_figures, score_lungs
    from pneumoscope.cohort.lung_masks import read_lung_table
    from pneumoscope.files import write_json
    from pneumoscope.lungs import LungSegmenter

    cases = read_lung_table(cohort)
    segmenter = LungSegmenter.load(model)
    with progress("Finding lungs") as update:
        scores = score_lungs(segmenter, cases, update)
    figures = {"model": segmenter.info.id, **lung_figures(scores, by)}
    show_lung_figures(segmenter.info.id, figures)
    worst = sorted(scores, key=lambda score: float(score["dice"]))[:5]
    lowest = ", ".join(f"{score['image']} {score['dice']:.3f}" for score in worst)
    console.print(f"Lowest Dice: {shown(lowest)}")
    if out is not None:
        write_json(out, figures)
        console.print(f"Figures: [bold]{shown(out)}[/bold]")
