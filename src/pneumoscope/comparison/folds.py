"""Cross-validation: a run for each fold, and what all of them say of radiographs they never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.assessment.assessment import Assessment
from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.assessment.runs import document_run
from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.folds import fold_manifests
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.plan import (
    PlannedRun,
    check_folder,
    clear_remains,
    occupied,
    standing,
)
from pneumoscope.comparison.results import METRICS, PREDICTIONS
from pneumoscope.errors import SettingsError
from pneumoscope.evaluate import Predictions
from pneumoscope.evaluate.classification import classification_report
from pneumoscope.files import write_json, write_text
from pneumoscope.inference import load_engine
from pneumoscope.training.cache import Progress
from pneumoscope.training.history import read_history
from pneumoscope.training.known import known_before
from pneumoscope.training.listener import RunListener
from pneumoscope.training.runner import HISTORY, relabelled, resume_run, start_run
from pneumoscope.training.settings import TrainingSettings

# Each fold has its own threshold, so what needs one is stated fold by fold.
POOLED = ("roc_auc", "pr_auc", "brier", "ece")


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """A finished cross-validation.

    Attributes:
        folder: with `runs/fold1-seed...`, `predictions.csv` and `metrics.json`.
        metrics: `pooled` (out-of-fold figures over all radiographs, with intervals), `folds` (the
            figures of each fold's test part, with its threshold) and `data_digest`.
    """

    folder: Path
    metrics: dict[str, Any]


def cross_validate(
    manifest: Manifest,
    settings: TrainingSettings,
    out: Path,
    count: int,
    *,
    listener: RunListener | None = None,
    measuring: Progress | None = None,
    started: Callable[[int, str], None] = lambda *_: None,
) -> CrossValidation:
    """Train a run for each fold and predict the fold that it never saw.

    Called again it goes on where it stopped: trained folds are kept, an unfinished one is resumed.

    Args:
        manifest: the cohort; its own test split is left out.
        settings: of every run.
        out: a new folder, or one of an earlier call.
        count: of folds, at least 3.
        listener: hears of training.
        measuring: called with (done, total) radiographs measured.
        started: called with each fold's number, from 1, and its stage.

    Raises:
        SettingsError, CohortError: see `fold_manifests`; or the teacher or the start weights know
            radiographs of the folds.
        RunError: a folder holds a run with other settings or data; or see `start_run`.
        OutputError: `out` holds something else, or another process is at work there.
    """
    if settings.several:
        raise SettingsError(
            "cross-validation is of one finding", remedy="give one, and a folder for each"
        )
    manifest = relabelled(manifest, settings)
    parts = fold_manifests(manifest, count)
    tested = manifest.table[manifest.table["split"].isin(["train", "val"])].assign(split="test")
    if known := known_before(replace(manifest, table=tested), settings):
        raise SettingsError(known, remedy="give --folds a teacher or weights of other radiographs")
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    found = []
    with occupied(out, manifest.digest()):
        for number, part in enumerate(parts, start=1):
            run = PlannedRun(settings, out / "runs" / f"fold{number}-seed{settings.seed}")
            _trained(run, part, listener, partial(started, number))
            model = OwnModel(load_engine(run.folder))
            found.append((run, assess(model, part, split="test", progress=measuring)))
        metrics = _metrics(found, manifest.digest())
        write_text(out / PREDICTIONS, _table([one for _, one in found]))
        write_json(out / METRICS, metrics)
    return CrossValidation(out, metrics)


def _trained(
    run: PlannedRun,
    part: Manifest,
    listener: RunListener | None,
    started: Callable[[str], None],
) -> None:
    stage = standing(run, part.digest()).stage
    started(stage)
    if stage == "unfinished":
        resume_run(run.folder, listener)
    elif stage == "new":
        if run.folder.exists():
            clear_remains(run.folder)
        start_run(part, run.settings, run.folder, listener)
    if not (run.folder / METRICS).is_file():
        document_run(run.folder, read_history(run.folder / HISTORY))


def _metrics(found: Sequence[tuple[PlannedRun, Assessment]], digest: str) -> dict[str, Any]:
    parts = [(_calibrated(run, one), one) for run, one in found]
    pooled = Predictions(
        images=[image for _, one in parts for image in one.predictions.images],
        patients=[patient for _, one in parts for patient in one.predictions.patients],
        targets=np.concatenate([one.predictions.targets for _, one in parts]),
        logits=np.concatenate([logits for logits, _ in parts]),
        probabilities=np.concatenate([one.predictions.probabilities for _, one in parts]),
    )
    figures = classification_report(pooled, 0.5).to_dict()["classification"]
    return {
        "n": len(pooled.images),
        "n_patients": len(set(pooled.patients)),
        "pooled": {name: figures[name] for name in POOLED},
        "folds": [
            {
                "run": run.name,
                "n": one.metrics["n"],
                "threshold": one.metrics["threshold"],
                "classification": one.metrics["classification"],
            }
            for run, one in found
        ],
        "data_digest": digest,
    }


def _calibrated(run: PlannedRun, found: Assessment) -> Any:
    """Log-odds (N,) on one scale: each fold's own are those of its network."""
    _, info = read_bundle(run.folder)
    return found.predictions.logits / info.temperature + info.bias


def _table(found: Sequence[Assessment]) -> str:
    """`predictions.csv` of all folds, with a column that names the fold."""
    lines: list[str] = []
    for number, one in enumerate(found, start=1):
        head, *rows = one.predictions_csv().splitlines()
        lines += [] if lines else [f"{head},fold"]
        lines += [f"{row},{number}" for row in rows]
    return "\n".join(lines) + "\n"
