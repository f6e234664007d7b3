"""`pneumoscope evaluate`: how good a bundle is on a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pneumoscope.cli.console import (
    NOT_FOR_DIAGNOSIS,
    console,
    errors,
    progress,
    show_metrics,
    show_overlap,
    shown,
)
from pneumoscope.cli.options import (
    BundleOption,
    EngineOption,
    PrecisionOption,
    ThreadsOption,
    heatmaps_beside,
    names,
)
from pneumoscope.names import plain


def evaluate(
    cohort: Annotated[Path, typer.Argument(help="Manifest of scan, or a CSV with image,label.")],
    bundle: BundleOption = Path("default"),
    out: Annotated[Path, typer.Option(help="New folder for the results.")] = Path("evaluation"),
    split: Annotated[
        Literal["train", "val", "test", "all"], typer.Option(help="Which radiographs.")
    ] = "test",
    boxes: Annotated[
        Path | None,
        typer.Option(help="Lesion boxes: a CSV with image,x,y,width,height in the film's pixels."),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Lesion masks at the radiographs' relative paths.")
    ] = None,
    lungs: Annotated[
        Path | None,
        typer.Option(help="Lung masks, likewise; without them the lungs are segmented."),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="More heatmaps to measure: all, or names joined by commas.")
    ] = "",
    by: Annotated[
        str, typer.Option(help="Columns to break figures down by, joined by commas.")
    ] = "",
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Measure classification, calibration and, with annotations, localization; write a report.

    A bundle lists the radiographs that it was trained on: those in the cohort are counted, and the
    figures of the others are given beside. Every figure has a 95 % interval from a patient-level
    bootstrap. Threshold and calibration are
    the bundle's, fitted on val. Lesion annotations measure and never train: half of the patients
    choose the heat thresholds, the other half is reported. Writes
    [bold]metrics.json[/bold], [bold]predictions.csv[/bold], [bold]figures/[/bold] and
    [bold]report.html[/bold].

    [dim]Examples:[/dim]
      pneumoscope evaluate cohort.csv --bundle RUN
      pneumoscope evaluate external.csv --bundle RUN --split all --out external
      pneumoscope evaluate cohort.csv --bundle RUN --boxes boxes.csv --by sex,view
      pneumoscope evaluate cohort.csv --bundle model.onnx --engine openvino --precision bfloat16
      pneumoscope evaluate cohort.csv --bundle RUN --lungs lung_masks --methods all
    """
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.assessment.measuring import assess
    from pneumoscope.assessment.own_model import OwnModel
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import new_folder
    from pneumoscope.inference import load_engine, streams_for

    manifest = Manifest.read(cohort)
    annotations = Annotations.read(boxes, masks, lungs)
    runs = load_engine(
        bundle,
        engine=engine,
        precision=precision,
        threads=threads,
        streams=streams_for(len(manifest.subset(split)), threads),
        # Torch alone knows what is to stand beside the bundle's heatmap.
        every_method=annotations is not None,
    )
    model = OwnModel(runs)
    model.check(manifest.labels)
    if annotations is not None and runs.runtime.engine != "torch":
        console.print(
            f"[dim]{runs.runtime.engine} explains by the bundle's own method alone: plain Grad-CAM "
            "and weights drawn anew are left out. Give the bundle's folder to see them.[/dim]"
        )
    wanted = heatmaps_beside(runs, methods)
    if wanted and annotations is None:
        console.print(
            "[dim]--methods has no effect: heatmaps are measured by --boxes, --masks or "
            "--lungs.[/dim]"
        )
    new_folder(out)
    with progress("Reading films") as update:
        found = assess(
            model, manifest, annotations, split=split, methods=wanted, by=names(by), progress=update
        )
    with console.status("Writing the report"):
        found.save(out)
    show_metrics(f"{model.name} on {split}", found.metrics)
    show_overlap(found.metrics)
    for sentence in found.changed_warning():
        errors.print(plain(f"warning: {sentence}"), style="yellow", markup=False)
    for image, reason in found.unreadable[:10]:
        errors.print(f"[yellow]left out[/yellow] {shown(image)}: {shown(reason)}")
    console.print(f"Report: [bold]{shown(out / 'report.html')}[/bold]")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")
