"""`pneumoscope demo`: the whole way on phantoms, by the same code as real use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import console, disclaim, progress, shown
from pneumoscope.cli.tables import show_metrics
from pneumoscope.extras import require


def demo(
    out: Annotated[Path, typer.Option(help="New folder for everything.")] = Path("demo"),
    n: Annotated[int, typer.Option("--n", min=60, help="Phantom radiographs.")] = 600,
    seed: Annotated[int, typer.Option(help="Seed of phantoms, split and training.")] = 7,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over train.")] = 4,
    size: Annotated[int, typer.Option(min=64, help="Input side in pixels.")] = 224,
    weights: Annotated[str, typer.Option(help="auto, none or a file.")] = "auto",
) -> None:
    """Draw phantoms, scan, train, evaluate, predict, and write one report to look at.

    Nothing is prepared: the radiographs are drawn now, and a network is trained on their labels.
    The exact lesion masks only measure where the heatmaps peak.

    [dim]Example:[/dim]
      pneumoscope demo --out demo
    """
    require("train", "the demonstration")
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.assessment.measuring import assess
    from pneumoscope.assessment.own_model import OwnModel
    from pneumoscope.cli.scan import run_scan
    from pneumoscope.cli.train import run_training
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.cohort.scan import ScanSettings
    from pneumoscope.files import new_folder, write_text
    from pneumoscope.inference import load_engine
    from pneumoscope.inference.predicting import predict_files
    from pneumoscope.phantom import PhantomSettings, write_cohort
    from pneumoscope.training.settings import make_settings

    started = time.monotonic()
    new_folder(out)
    _step(1, f"Drawing {n} phantom radiographs")
    with progress("Drawing phantoms") as update:
        phantoms = write_cohort(out / "phantoms", PhantomSettings(n=n, seed=seed), update)
    _step(2, "Scanning: patients, duplicates, split by patient")
    run_scan(phantoms.cohort_csv, out / "cohort.csv", ScanSettings(seed=seed))
    _step(3, "Training efficientnet_lite0 on the labels alone")
    # So few radiographs need smaller batches to make enough steps.
    settings = make_settings(epochs=epochs, seed=seed, size=size, weights=weights, batch_size=16)
    run_training(out / "cohort.csv", out / "run", settings)
    _step(4, "Evaluating on test: classification, and peaks on the exact lesions")
    engine, manifest = load_engine(out / "run"), Manifest.read(out / "cohort.csv")
    annotations = Annotations.read(None, phantoms.root / "masks", None)
    with progress("Reading radiographs") as update:
        found = assess(OwnModel(engine), manifest, annotations, progress=update)
    found.write_figures(new_folder(out / "evaluation"))
    _step(5, "Predicting: findings, heatmaps, overlays")
    test = manifest.subset("test")
    files = list(zip(test.table["image"], test.paths(), strict=True))
    with progress("Reading radiographs") as update:
        predict_files(engine, files, out / "findings", progress=update)
    write_text(out / "report.html", found.report(title="Pneumoscope on phantoms", kind="demo"))

    console.print()
    show_metrics("Phantoms, test split", found.metrics)
    console.print(f"Findings and overlays: [bold]{shown(out / 'findings')}[/bold]")
    console.print(
        f"Report to look at: [bold]{shown((out / 'report.html').resolve())}[/bold]   "
        f"({time.monotonic() - started:.0f} s)"
    )
    disclaim()


def _step(number: int, what: str) -> None:
    console.print(f"[bold blue]{number}/5[/bold blue] {what}")
