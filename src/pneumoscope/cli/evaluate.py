"""`pneumoscope evaluate`: how good a bundle is on a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pneumoscope.cli.console import NOT_FOR_DIAGNOSIS, console, errors, progress, show_metrics


def evaluate(
    cohort: Annotated[Path, typer.Argument(help="Manifest of scan, or a CSV with image,label.")],
    bundle: Annotated[Path, typer.Option(help="A bundle, or a run whose training has finished.")],
    out: Annotated[Path, typer.Option(help="New folder for the results.")] = Path("evaluation"),
    split: Annotated[
        Literal["train", "val", "test", "all"], typer.Option(help="Which radiographs.")
    ] = "test",
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Lesion masks at the radiographs' relative paths: do heatmaps peak there?"
        ),
    ] = None,
) -> None:
    """Measure classification, calibration and, with masks, localization; write a report.

    Every figure has a 95 % interval from a patient-level bootstrap. Threshold and temperature are
    the bundle's, fitted on val. Writes [bold]metrics.json[/bold], [bold]predictions.csv[/bold],
    [bold]figures/[/bold] and [bold]report.html[/bold].

    [dim]Examples:[/dim]
      pneumoscope evaluate cohort.csv --bundle RUN
      pneumoscope evaluate external.csv --bundle RUN --split all --out external
    """
    from pneumoscope.cli.evaluation import measure, suitable, write_evaluation
    from pneumoscope.cli.gallery import RULE, gallery
    from pneumoscope.cli.pages import evaluation_page
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import new_folder, write_text
    from pneumoscope.inference import load_engine

    manifest = Manifest.read(cohort)
    engine = load_engine(bundle)
    suitable(engine, manifest, split)
    new_folder(out)
    with progress("Reading films") as update:
        evaluation = measure(engine, manifest, split, masks=masks, progress=update)
    with console.status("Writing the report"):
        figures = write_evaluation(out, evaluation)
        pictures = gallery(engine, evaluation, masks)
        page = evaluation_page(engine.info, evaluation, figures, pictures, RULE)
        write_text(out / "report.html", page)
    show_metrics(f"{engine.info.model_id} on {split}", evaluation.metrics)
    for image, reason in evaluation.unreadable[:10]:
        errors.print(f"[yellow]left out[/yellow] {image}: {reason}", markup=True)
    console.print(f"Report: [bold]{out / 'report.html'}[/bold]")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")
