"""`pneumoscope train-gate`: the input gate, from frontal chest films and other pictures."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pneumoscope.cli.console import console, errors, progress, shown
from pneumoscope.extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.gate import InputGate
    from pneumoscope.training.gate import GateSettings
    from pneumoscope.training.gate_net import GateNet
    from pneumoscope.training.gate_others import OtherPictures


def train_gate(
    cohort: Annotated[Path, typer.Argument(help="A manifest of upright frontal chest films.")],
    out: Annotated[Path, typer.Option(help="New folder for the model.")] = Path("gate"),
    others: Annotated[
        Path | None,
        typer.Option(help="A CSV with image,kind: pictures that are no frontal chest film."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Networks, each without one such part of --others."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and pictures.")] = None,
    about: Annotated[
        str | None, typer.Option(help="The films, their licence and who made them.")
    ] = None,
) -> None:
    """Train the input gate on the train films and on pictures of other things.

    The kinds lateral, ct, mr and brain in [bold]--others[/bold] have their own reason; all other
    kinds are not_chest. Without [bold]--others[/bold], the gate cannot find lateral films and CT
    slices. A hash puts .8 of these pictures in train; copies stay together. With
    [bold]--folds 3[/bold], three networks are trained, each without a third of the pictures, and
    the gate is their mean. gate.json says what was flagged of the pictures that a network was not
    trained on.
    The threshold is the lowest that flags at most 1 % of the val films of every cohort (column
    [bold]cohort[/bold]), from .4 to .98. Writes [bold]gate.onnx[/bold] and [bold]gate.json[/bold].

    [dim]Example:[/dim]
      pneumoscope train-gate cohort.csv --others others/list.csv --folds 3 --out gate
    """
    require("train", "training the input gate")
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.errors import SettingsError
    from pneumoscope.files import new_folder
    from pneumoscope.training.gate import GateSettings
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
    words = about or f"films of {cohort.stem}, and phantoms"
    write_gate(nets, unseen, manifest, pictures, val, settings, out / "gate.onnx", words)


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


def write_gate(
    nets: Sequence[GateNet],
    unseen: Sequence[NDArray[np.bool_]],
    manifest: Manifest,
    others: OtherPictures | None,
    val: NDArray[np.uint8],
    settings: GateSettings,
    model: Path,
    about: str,
) -> None:
    """Write the networks as one gate, with its threshold and figures.

    Args:
        nets: one network, or those of cross-validation; the gate gives their mean.
        unseen: for each, bool (M,), the other pictures that it was not trained on.
        manifest: the films.
        others: the other pictures, or None.
        val: uint8 (N, S, S), the val films.
        settings: how the networks were trained.
        model: the ONNX file.
        about: what they were trained on.
    """
    parts = {split: manifest.subset(split) for split in ("train", "val")}
    training = {
        "settings": settings.to_dict(),
        "networks": len(nets),
        "films": {split: len(part.table) for split, part in parts.items()},
        "patients": {split: len(set(part.patients())) for split, part in parts.items()},
        "data_digest": manifest.digest(),
        "others": {} if others is None else dict(sorted(Counter(others.names).items())),
        "others_digest": None if others is None else others.digest,
    }
    cohorts = cohort_names(parts["val"])
    found: list[dict[str, Any]] = []
    for net, hidden in zip(nets, unseen, strict=True):
        if others is None:
            break
        # Each network by itself, at its own threshold.
        with tempfile.TemporaryDirectory() as folder:
            single = _write([net], training, settings, Path(folder) / "gate.onnx", about)
            gate, _ = _at_threshold(single, val, cohorts)
            found += flagged_pictures(gate, others.subset(hidden))
    gate, figures = _at_threshold(_write(nets, training, settings, model, about), val, cohorts)
    figures |= {f"unseen {kind}": entry for kind, entry in by_kind(found).items()}
    figures["unseen, not flagged"] = sorted(e["image"] for e in found if not e["flagged"])
    replace(gate.info, figures=figures).write(model)
    console.print(f"Threshold {gate.info.threshold:.3f}; flagged: {shown(figures)}")
    console.print(f"Model: [bold]{shown(model)}[/bold]")


def _write(
    nets: Sequence[GateNet],
    training: dict[str, Any],
    settings: GateSettings,
    model: Path,
    about: str,
) -> Path:
    from pneumoscope.files import sha256_file
    from pneumoscope.gate import GateInfo
    from pneumoscope.training.gate_net import export_gate

    difference = export_gate(nets, settings.side, model)
    GateInfo(
        sha256=sha256_file(model),
        side=settings.side,
        threshold=0.5,
        licence="Apache-2.0",
        training_data=about,
        training=training | {"onnx_difference": difference},
        figures={},
    ).write(model)
    return model


def cohort_names(manifest: Manifest) -> NDArray[np.str_]:
    """Each radiograph's cohort, `films` where the manifest has no such column."""
    import numpy as np

    table = manifest.table
    names = table["cohort"] if "cohort" in table.columns else ["films"] * len(table)
    return np.array([str(name) for name in names])


def flagged_pictures(gate: InputGate, others: OtherPictures) -> list[dict[str, Any]]:
    """For each picture its image, kind, score, whether it is flagged, and the reason."""
    from pneumoscope.imaging import model_input

    return [
        {"image": path.name, "kind": name, **asdict(gate.judge(*model_input(film, 224)))}
        for path, name, film in zip(others.paths, others.names, others.films, strict=True)
    ]


def by_kind(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By the table's kinds: number, share flagged, and counts of the reasons."""
    figures = {}
    for kind in sorted({entry["kind"] for entry in found}):
        own = [entry for entry in found if entry["kind"] == kind]
        reasons = Counter(entry["reason"] for entry in own if entry["flagged"])
        share = sum(entry["flagged"] for entry in own) / len(own)
        figures[kind] = {"n": len(own), "flagged": share, "reasons": dict(reasons.most_common())}
    return figures


def _decoded(
    manifest: Manifest, settings: GateSettings
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Films of train and of val."""
    from pneumoscope.training.cache import cached_pixels

    side = settings.stored_side
    with progress("Decoding films") as update:
        films = cached_pixels(manifest.subset("train"), side, progress=update)
        return films, cached_pixels(manifest.subset("val"), side, progress=update)


def _at_threshold(
    model: Path, val: NDArray[np.uint8], cohorts: NDArray[np.str_]
) -> tuple[InputGate, dict[str, Any]]:
    """Choose the threshold on val films and write it; the gate, and what it flags per cohort."""
    import numpy as np

    from pneumoscope.gate import InputGate
    from pneumoscope.training.gate import choose_threshold

    gate = InputGate.load(model)
    scores = np.array([gate.judge(film).score for film in val])
    names = np.unique(cohorts)
    threshold = choose_threshold([scores[cohorts == name] for name in names])
    figures = {
        f"val {name}": {
            "n": int((cohorts == name).sum()),
            "flagged": float((scores[cohorts == name] >= threshold).mean()),
        }
        for name in names
    }
    replace(gate.info, threshold=threshold).write(model)
    return InputGate.load(model), figures


def _show(row: dict[str, float]) -> None:
    errors.print(
        f"epoch {int(row['epoch']) + 1}: loss {row['loss']:.4f}, right {row['accuracy']:.4f}, "
        f"{row['seconds']:.0f} s"
    )
