"""`pneumoscope train-lungs`: the lung segmenter, from radiographs with drawn lungs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, progress, shown, tell_epoch
from pneumoscope.cli.tables import show_lung_figures
from pneumoscope.extras import require


def train_lungs(
    films: Annotated[
        Path, typer.Argument(help="Folder of radiographs in label folders, or a manifest of scan.")
    ],
    masks: Annotated[
        Path,
        typer.Option(help="Lung masks (PNG) at the radiographs' relative paths; white is lung."),
    ],
    sizes: Annotated[
        Path | None,
        typer.Option(help="CSV image,orig_width,orig_height, if radiographs were squashed."),
    ] = None,
    out: Annotated[Path, typer.Option(help="New folder for the model.")] = Path("lungs"),
    epochs: options.Epochs = None,
    seed: options.TrainingSeed = None,
    about: Annotated[
        str | None, typer.Option(help="The radiographs and masks, their licence and who made them.")
    ] = None,
) -> None:
    """Train the lung segmenter and measure it on test, split by patient.

    A folder with a part `test` keeps it as test; its patients never train. Writes
    [bold]lungs.onnx[/bold], [bold]lungs.json[/bold] (origin and digest), [bold]metrics.json[/bold].

    [dim]Example:[/dim]
      pneumoscope train-lungs chest_xray --masks lung_masks --sizes original_sizes.csv --out lungs
    """
    require("train", "training the lung segmenter")
    from pneumoscope.assessment.lungs import document_lungs
    from pneumoscope.cohort.original_sizes import read_sizes
    from pneumoscope.files import new_folder
    from pneumoscope.training.lungs.data import lung_cases, lung_manifest, read_films
    from pneumoscope.training.lungs.export import write_lungs
    from pneumoscope.training.lungs.training import LungSettings, train_lung_net

    settings = LungSettings.of(epochs=epochs, seed=seed)
    with progress("Scanning radiographs") as scanning:
        manifest = lung_manifest(films, scanning)
    originals = read_sizes(sizes) if sizes is not None else {}
    cases = {
        split: lung_cases(manifest, split, masks, originals) for split in ("train", "val", "test")
    }
    new_folder(out)
    with progress("Decoding radiographs") as decoding, progress("Training steps") as steps:
        train = read_films(cases["train"], settings.stored_side, decoding)
        val = read_films(cases["val"], settings.stored_side)
        epoch = partial(tell_epoch, {"loss": "train_loss", "val Dice": "val_dice"})
        net = train_lung_net(train, val, settings, epoch=epoch, step=steps)
    origin = about or f"radiographs of {films.resolve().name}"
    model = write_lungs(net, settings, manifest, cases, origin, out)
    info = document_lungs(model, cases, progress)
    for split, figures in info.figures.items():
        show_lung_figures(f"{info.id} on {split}", figures)
    console.print(f"Model: [bold]{shown(model)}[/bold]")
