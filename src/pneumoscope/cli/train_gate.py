"""`pneumoscope train-gate`: the input gate, from frontal chest radiographs and other pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.cli.console import console, progress, report_progress, shown
from pneumoscope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.training.gate import GateSettings
    from pneumoscope.training.gate_net import GateNet
    from pneumoscope.training.gate_others import OtherPictures


def train_gate(
    cohort: Annotated[
        Path, typer.Argument(help="A manifest of upright frontal chest radiographs.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the model.")] = Path("gate"),
    others: Annotated[
        Path | None,
        typer.Option(help="A CSV with image,kind: pictures other than frontal chest radiographs."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Networks, each without one such part of --others."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and pictures.")] = None,
    about: Annotated[
        str | None, typer.Option(help="The radiographs, their licence and who made them.")
    ] = None,
) -> None:
    """Train the input gate on the train radiographs and on pictures of other things.

    The kinds lateral, ct, mr and brain in [bold]--others[/bold] have their own reason; all other
    kinds are not_chest. Without [bold]--others[/bold], the gate cannot find lateral radiographs
    and CT slices.

    A hash puts .8 of these pictures in train; copies stay together. With
    [bold]--folds 3[/bold], three networks are trained, each without a third of the pictures, and
    the gate is their mean. gate.json says what was flagged of the pictures that a network was not
    trained on.

    The threshold is the lowest that flags at most 1 % of the val radiographs of every cohort
    (column [bold]cohort[/bold]), from .4 to .98. Writes [bold]gate.onnx[/bold] and
    [bold]gate.json[/bold].

    [dim]Example:[/dim]
      pneumoscope train-gate cohort.csv --others others/list.csv --folds 3 --out gate
    """
    require("train", "training the input gate")
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.errors import SettingsError
    from pneumoscope.files import new_folder
    from pneumoscope.training.gate import GateSettings
    from pneumoscope.training.gate_delivery import write_gate
    from pneumoscope.training.gate_others import read_others

    chosen = {"epochs": epochs, "seed": seed}
    settings = GateSettings(**{name: v for name, v in chosen.items() if v is not None})
    manifest = Manifest.read(cohort)
    pictures = None if others is None else read_others(others)
    if folds is not None and pictures is None:
        raise SettingsError("--folds needs other pictures", remedy="give --others")
    new_folder(out)
    films, val = _decoded(manifest, settings)
    nets, unseen = _nets(films, pictures, settings, folds)
    words = about or f"radiographs of {cohort.stem}, and phantoms"
    model = out / "gate.onnx"
    info = write_gate(nets, unseen, manifest, pictures, val, settings, model, words)
    console.print(f"Threshold {info.threshold:.3f}; flagged: {shown(info.figures)}")
    console.print(f"Model: [bold]{shown(model)}[/bold]")


def _nets(
    films: NDArray[np.uint8],
    others: OtherPictures | None,
    settings: GateSettings,
    folds: int | None,
) -> tuple[list[GateNet], list[NDArray[np.bool_]]]:
    """The networks, and for each the other pictures that it was not trained on."""
    import numpy as np

    from pneumoscope.training.gate import train_gate_nets
    from pneumoscope.training.gate_films import sources

    made = sources(films, others, settings.phantoms, settings.seed)
    if others is None:
        unseen = [np.zeros(0, dtype=bool)]
    elif folds is None:
        unseen = [others.splits != "train"]
    else:
        unseen = [others.folds(folds) == fold for fold in range(folds)]
    with progress("Training steps") as steps:
        return train_gate_nets(made, settings, unseen, epoch=_show, step=steps), unseen


def _decoded(
    manifest: Manifest, settings: GateSettings
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Radiographs of train and of val."""
    from pneumoscope.training.cache import cached_pixels

    side = settings.stored_side
    with progress("Decoding radiographs") as update:
        films = cached_pixels(manifest.subset("train"), side, progress=update)
        return films, cached_pixels(manifest.subset("val"), side, progress=update)


def _show(row: dict[str, float]) -> None:
    report_progress(
        f"epoch {int(row['epoch']) + 1}: loss {row['loss']:.4f}, right {row['accuracy']:.4f}, "
        f"{row['seconds']:.0f} s"
    )
