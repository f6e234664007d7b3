"""`pneumoscope evaluate`: how good a bundle, or another program, is on a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import (
    console,
    disclaim,
    print_json,
    progress,
    shown,
    tell_left_out,
    warn,
)
from pneumoscope.cli.tables import show_metrics, show_overlap
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.assessment.subject import Subject
    from pneumoscope.cohort.manifest import Manifest


def evaluate(
    cohort: Annotated[Path, typer.Argument(help="Manifest of scan, or a table of the field.")],
    bundle: options.Bundle = Path("default"),
    out: Annotated[Path, typer.Option(help="New folder for the results.")] = Path("evaluation"),
    split: options.Split = "test",
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Lesion annotations: a CSV with image,x,y,width,height in pixels, or another "
            "format of docs/annotations.md. Boxes are taken."
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Lesion annotations: a folder of masks at the radiographs' relative paths, or "
            "another format. Outlines are taken."
        ),
    ] = None,
    lungs: options.LungMasks = None,
    methods: Annotated[
        str, typer.Option(help="More heatmaps to measure: all, or names joined by commas.")
    ] = "",
    by: Annotated[
        str, typer.Option(help="Columns to break figures down by, joined by commas.")
    ] = "",
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Another program's probabilities, instead of a bundle: image,probability."
        ),
    ] = None,
    heatmaps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FOLDER",
            help="Its heatmaps (PNG, NPY, NPZ) at the radiographs' relative paths; repeat.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Its probability from which on a radiograph is positive.",
            show_default="0.5",
        ),
    ] = None,
    positive: options.Positive = None,
    negative: options.Negative = None,
    readers: options.Readers = "union",
    label_column: options.LabelColumn = None,
    images: options.Images = None,
    engine: options.Engine = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Measure classification, calibration and, with annotations, localization; write a report.

    A bundle lists the radiographs that it was trained on: those in the cohort are counted, and the
    figures of the others are given beside. Every figure has a 95 % interval from a patient-level
    bootstrap. Threshold and calibration are the bundle's, fitted on val. Lesion annotations
    measure and never train: half of the patients choose the heat thresholds, the other half is
    reported. Writes [bold]metrics.json[/bold], [bold]predictions.csv[/bold],
    [bold]figures/[/bold] and [bold]report.html[/bold].

    [dim]Examples:[/dim]
      pneumoscope evaluate cohort.csv --bundle RUN
      pneumoscope evaluate external.csv --bundle RUN --split all --out external
      pneumoscope evaluate cohort.csv --bundle RUN --boxes boxes.csv --by sex,view
      pneumoscope evaluate vindr.csv --split all --boxes train.csv --readers majority
      pneumoscope evaluate cohort.csv --bundle model.onnx --engine openvino --precision bfloat16
      pneumoscope evaluate cohort.csv --bundle RUN --lungs lung_masks --methods all
      pneumoscope evaluate cohort.csv --predictions p.csv --heatmaps heat --boxes boxes.csv
      pneumoscope evaluate cohort.csv --predictions p.csv --heatmaps a=heat-a --heatmaps b=heat-b
    """
    require("evaluate", "evaluate")
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.assessment.measuring import assess, check_columns
    from pneumoscope.assessment.own_model import OwnModel
    from pneumoscope.cohort.formats.choice import Choice
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import new_folder
    from pneumoscope.inference import heatmaps_beside, load_engine, streams_for

    choice = Choice(positive, negative, readers, label_column)
    drawn = boxes is not None or masks is not None
    manifest = Manifest.read(cohort, choice=choice, images=images, lesions=drawn)
    annotations = Annotations.read(boxes, masks, lungs, choice)
    if annotations is not None and annotations.drawings is not None:
        console.print(f"[dim]{shown(annotations.drawings.summary())}[/dim]")
    part = manifest.subset(split)
    # Before a model is loaded, which takes long.
    check_columns(part, options.names(by))
    subject: Subject
    if predictions is not None:
        if bundle != Path("default"):
            raise SettingsError("a bundle and predictions were given", remedy="give one of the two")
        subject = _other_program(predictions, heatmaps or [], part, threshold, annotations)
        wanted = options.names(methods)
    elif heatmaps or threshold is not None:
        raise SettingsError(
            "--heatmaps and --threshold are of another program", remedy="give --predictions too"
        )
    else:
        runs = load_engine(
            bundle,
            engine=engine,
            precision=precision,
            threads=threads,
            streams=streams_for(len(part), threads),
            # Torch alone knows what is to stand beside the bundle's heatmap.
            every_method=annotations is not None,
        )
        subject, wanted = OwnModel(runs), heatmaps_beside(runs, methods)
        if annotations is not None and runs.runtime.engine != "torch":
            console.print(
                f"[dim]{runs.runtime.engine} explains by the bundle's own method alone: plain "
                "Grad-CAM and weights drawn anew are left out. Give the bundle's folder to see "
                "them.[/dim]"
            )
    if annotations is None and (wanted or heatmaps):
        option = "--heatmaps" if heatmaps else "--methods"
        console.print(
            f"[dim]{option} has no effect: heatmaps are measured by --boxes, --masks or "
            "--lungs.[/dim]"
        )
    manifest = subject.labelled(manifest)
    new_folder(out)
    with progress("Reading radiographs") as update:
        found = assess(
            subject,
            manifest,
            annotations,
            split=split,
            methods=wanted,
            by=options.names(by),
            progress=update,
        )
    with console.status("Writing the report"):
        found.save(out)
    show_metrics(f"{subject.name} on {split}", found.metrics, wide=wide)
    show_overlap(found.metrics)
    for sentence in found.warnings():
        warn(sentence)
    tell_left_out(found.unreadable[:10])
    console.print(f"Report: [bold]{shown(out / 'report.html')}[/bold]")
    disclaim()
    if json:
        print_json((out / "metrics.json").read_text(encoding="utf-8"))


def _other_program(
    predictions: Path,
    heatmaps: Sequence[str],
    part: Manifest,
    threshold: float | None,
    annotations: Annotations | None,
) -> Subject:
    """Another program's output.

    Raises:
        SettingsError: a name stands twice, or there are annotations and no heatmaps.
    """
    from pneumoscope.assessment.other_program import HEATMAP, OtherProgram

    folders: dict[str, Path] = {}
    for text in heatmaps:
        name, equals, folder = text.partition("=")
        # A folder's own name may hold the sign.
        if not equals or Path(text).is_dir():
            name, folder = HEATMAP, text
        if name in folders:
            raise SettingsError(
                f"two folders of heatmaps are called '{name}'",
                remedy="write --heatmaps NAME=FOLDER",
            )
        folders[name] = Path(folder)
    if annotations is not None and not folders:
        raise SettingsError("there are no heatmaps to measure", remedy="give --heatmaps FOLDER")
    return OtherProgram.from_files(
        predictions, folders, part, threshold=0.5 if threshold is None else threshold
    )
