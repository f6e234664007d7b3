"""What was measured on a split, kept beside the run it belongs to.

`runs/X/test/` holds `predictions.csv` and `metrics.json` as `evaluate` writes them; the metrics
name, under `measured`, the bundle and the lesion annotations they were measured with. They are
written last, so that a folder with them is complete.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.comparison.plan import PlannedRun, bundle_digest
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Interval, ModelScores
from pneumoscope.evaluate.calibration import calibrated
from pneumoscope.files import write_json, write_text

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"
LOCALIZATION = (
    "peak_in_box",
    "area_matched",
    "mean_iou@0.5",
    "mean_iou",
    "energy_in_lungs",
    "peak_in_lungs",
)
"""The figures a comparison shows; each run's own `metrics.json` holds all of them."""


def is_documented(folder: Path, model: str) -> bool:
    """Whether the run's own `metrics.json`, on val, is about the model its bundle holds."""
    found = _known(folder / METRICS, "model")
    return bool(found == model) and (folder / "report.html").is_file()


def is_measured(folder: Path, split: str, truth: Mapping[str, str]) -> bool:
    """Whether a run's bundle as it is now was measured on the split.

    Args:
        folder: of the run.
        split: test or val.
        truth: `Annotations.identity` of those asked for; without any, a measurement with some
            serves as well.
    """
    found = _known(folder / split / METRICS, "measured")
    if found is None:
        return False
    fits = found.get("truth") == dict(truth) or not truth
    there = (folder / split / PREDICTIONS).is_file()
    return bool(there and fits and found.get("bundle") == bundle_digest(folder))


def _known(path: Path, key: str) -> Any:
    """A part of a `metrics.json`; None where the file or the part is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(
    folder: Path, split: str, truth: Mapping[str, str], metrics: Mapping[str, Any], rows: str
) -> None:
    """Write what was measured.

    Args:
        folder: of the run.
        split: what was measured on.
        truth: `Annotations.identity` of those used.
        metrics: the content of `metrics.json`.
        rows: the content of `predictions.csv`.
    """
    write_text(folder / split / PREDICTIONS, rows)
    measured = {"bundle": bundle_digest(folder), "truth": dict(truth)}
    write_json(folder / split / METRICS, {**metrics, "measured": measured})


def read_scores(run: PlannedRun, split: str, positive: str) -> ModelScores:
    """A run's probabilities on the split.

    They are computed anew from logit and calibration: the column `probability` is rounded, and ties
    would blur the ranking.

    Raises:
        EvaluationError: the files are damaged.
    """
    metrics = _metrics(run.folder / split / METRICS)
    on_val = _metrics(run.folder / METRICS)["classification"]["roc_auc"]["value"]
    path = run.folder / split / PREDICTIONS
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        logits = np.array([float(row["logit"]) for row in rows])
        return ModelScores(
            backbone=run.backbone,
            seed=run.seed,
            targets=np.array([int(row["label"] == positive) for row in rows], dtype=np.int64),
            probabilities=calibrated(
                logits,
                float(metrics["calibration"]["temperature"]),
                float(metrics["calibration"].get("bias", 0.0)),
            ),
            patients=[row["patient"] for row in rows],
            images=[row["image"] for row in rows],
            threshold=float(metrics["threshold"]),
            val_roc_auc=float(on_val),
        )
    except (OSError, ValueError, KeyError, TypeError, EvaluationError) as error:
        raise EvaluationError("cannot be used", path=path, remedy=_remedy(path)) from error


def localization(folders: Sequence[Path], split: str) -> dict[str, Interval]:
    """The main figures of the bundles' own heatmaps, of one backbone's runs.

    As in `evaluate` they are over the true positives of each run (with lesions, of the reported
    half), so that not all backbones are measured on the very same radiographs.

    Over several seeds a figure is their mean, and its interval reaches from the lowest to the
    highest end of theirs: wider than it need be, never narrower.
    """
    parts: list[Mapping[str, Any]] = []
    for folder in folders:
        metrics = _metrics(folder / split / METRICS)
        if metrics.get("localization"):
            parts.append(metrics["localization"].get(metrics["localization_method"], {}))
    shared = [name for name in LOCALIZATION if parts and all(name in one for one in parts)]
    return {name: _merged([one[name] for one in parts]) for name in shared}


def _merged(figures: Sequence[Mapping[str, float | None]]) -> Interval:
    value, low, high = (
        np.array([math.nan if one[key] is None else float(str(one[key])) for one in figures])
        for key in ("value", "low", "high")
    )
    return Interval(float(value.mean()), float(low.min()), float(high.max()))


def _metrics(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError("cannot be read", path=path, remedy=_remedy(path)) from error
    if not isinstance(content, dict):
        raise EvaluationError("holds no metrics", path=path, remedy=_remedy(path))
    return content


def _remedy(path: Path) -> str:
    return f"remove {path.name} and run the same command again"
