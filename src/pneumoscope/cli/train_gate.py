"""`pneumoscope train-gate`: the input gate, from frontal chest films."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pneumoscope.cli.console import console, errors, progress, shown
from pneumoscope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.gate import InputGate


def train_gate(
    cohort: Annotated[Path, typer.Argument(help="A manifest of upright frontal chest films.")],
    out: Annotated[Path, typer.Option(help="New folder for the model.")] = Path("gate"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and pictures.")] = None,
    about: Annotated[
        str | None, typer.Option(help="The films, their licence and who made them.")
    ] = None,
) -> None:
    """Train the input gate on the train films; what it is to flag is made from them, or drawn.

    The threshold is the lowest that flags at most 1 % of the val films of every cohort (column
    [bold]cohort[/bold]), from .5 to .98. Writes [bold]gate.onnx[/bold], [bold]gate.json[/bold].

    [dim]Example:[/dim]
      pneumoscope train-gate cohort.csv --out gate
    """
    require("train", "training the input gate")
    import numpy as np

    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import new_folder, sha256_file
    from pneumoscope.gate import GateInfo, InputGate
    from pneumoscope.training.cache import cached_pixels
    from pneumoscope.training.gate import GateSettings, choose_threshold, train_gate_net
    from pneumoscope.training.gate_films import phantoms
    from pneumoscope.training.gate_net import export_gate

    chosen = {"epochs": epochs, "seed": seed}
    settings = GateSettings(**{name: v for name, v in chosen.items() if v is not None})
    manifest = Manifest.read(cohort)
    parts = {split: manifest.subset(split) for split in ("train", "val")}
    new_folder(out)
    with progress("Decoding films") as update:
        films = cached_pixels(parts["train"], settings.stored_side, progress=update)
        val = cached_pixels(parts["val"], settings.stored_side, progress=update)
    drawn = phantoms(settings.phantoms, settings.stored_side, settings.seed)
    with progress("Training steps") as steps:
        net = train_gate_net(np.concatenate([films, drawn]), settings, epoch=_show, step=steps)
    model = out / "gate.onnx"
    difference = export_gate(net, settings.side, model)
    info = GateInfo(
        sha256=sha256_file(model),
        side=settings.side,
        threshold=0.5,
        licence="Apache-2.0",
        training_data=about or f"films of {cohort.stem}, and phantoms",
        training={
            "settings": settings.to_dict(),
            "films": {split: len(part.table) for split, part in parts.items()},
            "patients": {split: len(set(part.patients())) for split, part in parts.items()},
            "data_digest": manifest.digest(),
            "onnx_difference": difference,
        },
        figures={},
    )
    info.write(model)
    scores = _scores(InputGate.load(model), val)
    cohorts = cohort_names(parts["val"])
    threshold = choose_threshold([scores[cohorts == name] for name in np.unique(cohorts)])
    figures: dict[str, Any] = {
        f"val {name}": {
            "n": int((cohorts == name).sum()),
            "flagged": float((scores[cohorts == name] >= threshold).mean()),
        }
        for name in np.unique(cohorts)
    }
    replace(info, threshold=threshold, figures=figures).write(model)
    console.print(f"Threshold {threshold:.3f}; flagged: {shown(figures)}")
    console.print(f"Model: [bold]{shown(model)}[/bold]")


def cohort_names(manifest: Manifest) -> NDArray[np.str_]:
    """Each radiograph's cohort, `films` where the manifest has no such column."""
    import numpy as np

    table = manifest.table
    names = table["cohort"] if "cohort" in table.columns else ["films"] * len(table)
    return np.array([str(name) for name in names])


def _scores(gate: InputGate, films: NDArray[np.uint8]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([gate.judge(film).score for film in films])


def _show(row: dict[str, float]) -> None:
    errors.print(
        f"epoch {int(row['epoch']) + 1}: loss {row['loss']:.4f}, right {row['accuracy']:.4f}, "
        f"{row['seconds']:.0f} s"
    )
