"""`pneumoscope train-lungs`: the lung segmenter, from radiographs with drawn lungs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.cli.console import console, progress, report_progress, show_lung_figures, shown
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.cohort.lung_masks import LungCase
    from pneumoscope.cohort.manifest import Manifest


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
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order, augmentation.")] = None,
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
    from pneumoscope.cohort.original_sizes import read_sizes
    from pneumoscope.files import new_folder
    from pneumoscope.training.lungs import LungSettings, train_lung_net
    from pneumoscope.training.lungs_data import lung_cases, read_films
    from pneumoscope.training.lungs_export import write_lungs

    chosen = {"epochs": epochs, "seed": seed}
    settings = LungSettings(**{name: v for name, v in chosen.items() if v is not None})
    manifest = _manifest(films)
    originals = read_sizes(sizes) if sizes is not None else {}
    cases = {
        split: lung_cases(manifest, split, masks, originals) for split in ("train", "val", "test")
    }
    new_folder(out)
    with progress("Decoding radiographs") as decoding, progress("Training steps") as steps:
        train = read_films(cases["train"], settings.stored_side, decoding)
        val = read_films(cases["val"], settings.stored_side)
        net = train_lung_net(train, val, settings, epoch=_show_epoch, step=steps)
    origin = about or f"radiographs of {films.resolve().name}"
    model = write_lungs(net, settings, manifest, cases, origin, out)
    _measure(model, cases, out)
    console.print(f"Model: [bold]{shown(model)}[/bold]")


def _measure(model: Path, cases: Mapping[str, Sequence[LungCase]], out: Path) -> None:
    """Measure the file itself on val and test, and write the figures beside it."""
    from pneumoscope.assessment.lungs import lung_figures, score_lungs
    from pneumoscope.files import write_json
    from pneumoscope.lungs import LungSegmenter

    segmenter = LungSegmenter.load(model)
    info, figures = segmenter.info, {}
    for split in ("val", "test"):
        with progress(f"Measuring on {split}") as update:
            figures[split] = lung_figures(score_lungs(segmenter, cases[split], update))
        show_lung_figures(f"{info.id} on {split}", figures[split])
    replace(info, figures=figures).write(model)
    write_json(out / "metrics.json", {"model": info.id, "training": info.training, **figures})


def _manifest(films: Path) -> Manifest:
    from pneumoscope.cohort.layout import list_cohort
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.cohort.scan import ScanSettings, scan

    if films.is_file():
        return Manifest.read(films)
    official = "test" in (list_cohort(films).official or [])
    with progress("Scanning radiographs") as update:
        return scan(films, ScanSettings(keep_official=official), update).manifest


def _show_epoch(row: dict[str, float]) -> None:
    report_progress(
        f"epoch {int(row['epoch']) + 1}: loss {row['train_loss']:.4f}, val Dice "
        f"{row['val_dice']:.4f}, {row['seconds']:.0f} s"
    )
