"""A trained input gate as a file, with its threshold and figures."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import SettingsError
from pneumoscope.files import new_folder, sha256_file
from pneumoscope.gate import GateInfo, InputGate
from pneumoscope.imaging import model_input
from pneumoscope.training.cache import Progress, cached_pixels
from pneumoscope.training.gate.net import GateNet, export_gate
from pneumoscope.training.gate.others import OtherPictures
from pneumoscope.training.gate.pictures import sources
from pneumoscope.training.gate.training import GateSettings, Row, choose_threshold, train_gate_nets


def make_gate(
    manifest: Manifest,
    others: OtherPictures | None,
    settings: GateSettings,
    out: Path,
    *,
    folds: int | None = None,
    about: str,
    decoding: Progress | None = None,
    epoch: Callable[[Row], None] | None = None,
    step: Progress | None = None,
) -> GateInfo:
    """Train a gate; write `gate.onnx` and `gate.json` into a new folder; what is written of it.

    Args:
        manifest: upright frontal chest radiographs.
        others: pictures of other things, or None.
        settings: how to train.
        out: the folder.
        folds: networks, each without such a part of the other pictures; None for one network that
            is trained on their train part.
        about: what the gate is trained on.
        decoding: called with (done, total) radiographs decoded.
        epoch, step: as of `train_gate_nets`.

    Raises:
        SettingsError: folds, and no other pictures.
        RunError: see `train_gate_nets`.
        OutputError: `out` holds something.
    """
    if folds is not None and others is None:
        raise SettingsError("--folds needs other pictures", remedy="give --others")
    new_folder(out)
    films, val = (
        cached_pixels(manifest.subset(split), settings.stored_side, progress=decoding)
        for split in ("train", "val")
    )
    if others is None:
        unseen = [np.zeros(0, dtype=bool)]
    elif folds is None:
        unseen = [others.splits != "train"]
    else:
        unseen = [others.folds(folds) == fold for fold in range(folds)]
    made = sources(films, others, settings.phantoms, settings.seed)
    nets = train_gate_nets(made, settings, unseen, epoch=epoch, step=step)
    return write_gate(nets, unseen, manifest, others, val, settings, out / "gate.onnx", about)


def write_gate(
    nets: Sequence[GateNet],
    unseen: Sequence[NDArray[np.bool_]],
    manifest: Manifest,
    others: OtherPictures | None,
    val: NDArray[np.uint8],
    settings: GateSettings,
    model: Path,
    about: str,
) -> GateInfo:
    """Write the networks as one gate, with its threshold and figures; what is written of it.

    Args:
        nets: one network, or those of cross-validation; the gate gives their mean.
        unseen: for each, bool (M,), the other pictures that it was not trained on.
        manifest: the radiographs.
        others: the other pictures, or None.
        val: uint8 (N, S, S), the val radiographs.
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
    cohorts = parts["val"].cohorts()
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
    info = replace(gate.info, figures=figures)
    info.write(model)
    return info


def _write(
    nets: Sequence[GateNet],
    training: dict[str, Any],
    settings: GateSettings,
    model: Path,
    about: str,
) -> Path:
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


def flagged_pictures(gate: InputGate, others: OtherPictures) -> list[dict[str, Any]]:
    """For each picture its image, kind, score, whether it is flagged, and the reason."""
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


def _at_threshold(
    model: Path, val: NDArray[np.uint8], cohorts: NDArray[np.str_]
) -> tuple[InputGate, dict[str, Any]]:
    """Choose the threshold on val and write it; the gate, and what it flags per cohort."""

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
