"""Evaluating a bundle on a cohort: shared by `evaluate`, `train` (on val) and `demo`.

Radiographs go through the same path as in `predict`, so that what is measured is what is delivered.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.annotations import find_mask, read_mask
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Predictions, classification_report
from pneumoscope.evaluate.calibration import calibrated, expected_calibration_error
from pneumoscope.evaluate.pointing import PointingGame
from pneumoscope.files import atomic_path, write_json, write_text
from pneumoscope.inference import Engine, Explained, Failed, explain_files
from pneumoscope.report.curves import precision_recall_figure, roc_figure
from pneumoscope.report.figures import confusion_figure, reliability_figure, score_figure
from pneumoscope.report.html import Picture
from pneumoscope.report.style import figure_png

METHOD = "gradcam"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured on one split.

    Attributes:
        manifest: the split's radiographs that could be read.
        predictions: their logits and probabilities.
        metrics: the content of `metrics.json`.
        unreadable: (image, reason).
    """

    manifest: Manifest
    predictions: Predictions
    metrics: dict[str, Any]
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def measure(
    engine: Engine,
    manifest: Manifest,
    split: str,
    *,
    masks: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a split and compute its figures.

    Args:
        engine: a loaded bundle.
        manifest: the cohort; its labels must be the bundle's.
        split: train, val, test or all.
        masks: folder of lesion masks, to measure where heatmaps peak on true positives.
        progress: called with (done, total).

    Raises:
        EvaluationError: the labels differ, or no radiograph could be read.
        CohortError: the split is empty.
    """
    part = suitable(engine, manifest, split)
    images = part.table["image"].tolist()
    pointing = _Pointing(masks, dict(zip(images, part.targets().tolist(), strict=True)))
    patients = dict(zip(images, part.patients(), strict=True))
    logits: dict[str, float] = {}
    probabilities: dict[str, float] = {}
    unreadable: list[tuple[str, str]] = []
    stream = explain_files(engine, list(zip(images, part.paths(), strict=True)))
    for done, item in enumerate(stream, start=1):
        if isinstance(item, Failed):
            unreadable.append((item.name, str(item.finding.error)))
        else:
            logits[item.name] = item.logit
            probabilities[item.name] = float(item.finding.probability or 0.0)
            pointing.add(item, patients[item.name], engine.info.labels[1])
        if progress is not None:
            progress(done, len(images))
    if not logits:
        raise EvaluationError(
            f"none of the {len(images)} radiographs of split '{split}' could be read",
            path=part.root,
            remedy=f"the first: {unreadable[0][0]}: {unreadable[0][1]}",
        )
    readable = only(part, set(logits))
    predictions = Predictions(
        images=readable.table["image"].tolist(),
        patients=readable.patients(),
        targets=readable.targets(),
        logits=np.array([logits[image] for image in readable.table["image"]]),
        probabilities=np.array([probabilities[image] for image in readable.table["image"]]),
    )
    report = classification_report(predictions, engine.info.threshold)
    metrics = {
        "split": split,
        **report.to_dict(),
        "calibration": _calibration(engine, predictions),
        "localization": pointing.to_dict(),
        "model": engine.info.model_id,
        "data_digest": manifest.digest(),
        "trained_on_this_cohort": manifest.digest() == engine.info.training.data_digest,
        "unreadable": len(unreadable),
    }
    return Evaluation(readable, predictions, metrics, unreadable)


def suitable(engine: Engine, manifest: Manifest, split: str) -> Manifest:
    """The split's radiographs, checked against the bundle before any work is begun.

    Raises:
        EvaluationError: the cohort's labels are not the bundle's.
        CohortError: the split is empty.
    """
    if manifest.labels != engine.info.labels:
        raise EvaluationError(
            f"the cohort's labels {manifest.labels} are not the bundle's {engine.info.labels}",
            remedy="rename the cohort's labels",
        )
    return manifest.subset(split)


def only(manifest: Manifest, images: set[str]) -> Manifest:
    """The rows of these radiographs."""
    rows = manifest.table["image"].isin(images)
    return replace(manifest, table=manifest.table[rows].reset_index(drop=True))


class _Pointing:
    """Peaks of heatmaps on true positives that have a mask."""

    def __init__(self, masks: Path | None, targets: dict[str, int]) -> None:
        self._masks = masks
        self._targets = targets
        self._game = PointingGame()
        self._missed = 0
        self._seen = 0

    def add(self, item: Explained, patient: str, positive: str) -> None:
        if self._masks is None or not self._targets[item.name]:
            return
        path = find_mask(self._masks, item.name)
        if path is None:
            return
        mask = read_mask(path, *item.heatmap.shape)
        if not mask.any():
            return
        self._seen += 1
        if item.finding.label == positive:
            self._game.accumulate(item.heatmap, mask, patient)
        else:
            self._missed += 1

    def to_dict(self) -> dict[str, Any] | None:
        if self._masks is None:
            return None
        if self._seen == self._missed:
            raise EvaluationError(
                "no true positive has a lesion mask",
                path=self._masks,
                remedy="give masks with the radiographs' relative paths or names, as PNG",
            )
        figures = self._game.compute()
        return {
            METHOD: {"peak_in_lesion": figures["peak_in_lesion"].to_dict()},
            "random": {"peak_in_lesion": figures["random_point"].to_dict()},
            "n_true_positives": figures["n"],
            "n_missed": self._missed,
            "n_flat": figures["flat"],
        }


def _calibration(engine: Engine, predictions: Predictions) -> dict[str, float | str]:
    return {
        "temperature": engine.info.temperature,
        "ece_before": expected_calibration_error(_before(predictions), predictions.targets),
        "ece_after": expected_calibration_error(predictions.probabilities, predictions.targets),
        "fitted_on": "val",
    }


def _before(predictions: Predictions) -> NDArray[np.float64]:
    return calibrated(predictions.logits, 1.0)


def write_evaluation(out: Path, evaluation: Evaluation) -> list[Picture]:
    """Write `metrics.json`, `predictions.csv` and the figures; the figures for the report."""
    write_json(out / "metrics.json", evaluation.metrics)
    write_text(out / "predictions.csv", predictions_csv(evaluation))
    figures = evaluation_figures(evaluation)
    for name, (_, _, png) in figures.items():
        with atomic_path(out / "figures" / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    return list(figures.values())


def predictions_csv(evaluation: Evaluation) -> str:
    """One line per radiograph: image, patient, label, split, logit, probability, decision."""
    table, predictions = evaluation.manifest.table, evaluation.predictions
    threshold, labels = evaluation.metrics["threshold"], evaluation.manifest.labels
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("image", "patient", "label", "split", "logit", "probability", "decision"))
    for row, logit, probability in zip(
        table[["image", "patient", "label", "split"]].itertuples(index=False),
        predictions.logits,
        predictions.probabilities,
        strict=True,
    ):
        decision = labels[int(probability >= threshold)]
        writer.writerow((*row, f"{logit:.6f}", f"{probability:.6f}", decision))
    return buffer.getvalue()


def evaluation_figures(evaluation: Evaluation) -> dict[str, Picture]:
    """The figures by file name; those that need both classes only where both are."""
    metrics, predictions = evaluation.metrics, evaluation.predictions
    targets, probabilities = predictions.targets, predictions.probabilities
    threshold, names = float(metrics["threshold"]), evaluation.manifest.labels
    figures_of = metrics["classification"]
    figures: dict[str, Picture] = {
        "confusion": (
            "Confusion matrix",
            f"At the threshold {threshold:.3f}, fitted on val.",
            figure_png(confusion_figure(metrics["confusion"], names=names)),
        )
    }
    if len(set(targets.tolist())) < 2:
        return figures
    figures["roc"] = (
        "ROC curve",
        "Every threshold's trade-off; the dot is the one used.",
        figure_png(
            roc_figure(
                probabilities,
                targets,
                threshold=threshold,
                auc=figures_of["roc_auc"],
            )
        ),
    )
    figures["precision_recall"] = (
        "Precision and recall",
        "At the sample's prevalence.",
        figure_png(
            precision_recall_figure(
                probabilities, targets, threshold=threshold, auc=figures_of["pr_auc"]
            )
        ),
    )
    figures["reliability"] = (
        "Reliability",
        "How often what was called p turned out positive; faint: before calibration.",
        figure_png(reliability_figure(probabilities, targets, before=_before(predictions))),
    )
    figures["scores"] = (
        "Probabilities by label",
        "Where the two labels overlap, decisions are doubtful.",
        figure_png(score_figure(probabilities, targets, threshold=threshold, names=names)),
    )
    return figures
