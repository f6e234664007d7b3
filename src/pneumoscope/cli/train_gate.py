"""`pneumoscope train-gate`: the input gate, from frontal chest radiographs and other pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, progress, shown, tell_epoch
from pneumoscope.extras import require


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
    epochs: options.Epochs = None,
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
    from pneumoscope.training.gate.delivery import make_gate
    from pneumoscope.training.gate.others import read_others
    from pneumoscope.training.gate.training import GateSettings

    with progress("Decoding radiographs") as decoding, progress("Training steps") as steps:
        info = make_gate(
            Manifest.read(cohort),
            None if others is None else read_others(others),
            GateSettings.of(epochs=epochs, seed=seed),
            out,
            folds=folds,
            about=about or f"radiographs of {cohort.stem}, and phantoms",
            decoding=decoding,
            epoch=partial(tell_epoch, {"loss": "loss", "right": "accuracy"}),
            step=steps,
        )
    console.print(f"Threshold {info.threshold:.3f}; flagged: {shown(info.figures)}")
    console.print(f"Model: [bold]{shown(out / 'gate.onnx')}[/bold]")
