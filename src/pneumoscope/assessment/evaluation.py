"""Evaluating a bundle on a cohort: shared by `evaluate`, `train` (on val) and `demo`.

Radiographs go through the same path as in `predict`, so that what is measured is what is delivered.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.overlap import overlap_figures, shared
from pneumoscope.assessment.study import LocalizationStudy
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import read_film, stated_sizes
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    Predictions,
    ReviewBand,
    abstention_report,
    classification_report,
    risk_curve,
)
from pneumoscope.evaluate.calibration import (
    calibrated,
    chance_calibration_error,
    expected_calibration_error,
)
from pneumoscope.evaluate.subgroups import subgroup_figures
from pneumoscope.files import atomic_path, sha256_file, write_json, write_text
from pneumoscope.inference import Engine, Failed, explain_in
from pneumoscope.report.curves import precision_recall_figure, risk_figure, roc_figure
from pneumoscope.report.figures import confusion_figure, reliability_figure, score_figure
from pneumoscope.report.html import Picture
from pneumoscope.report.localization_figures import localization_pictures
from pneumoscope.report.style import figure_png


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured on one split.

    Attributes:
        manifest: the split's radiographs that could be read.
        predictions: their logits and probabilities.
        metrics: the content of `metrics.json`.
        unreadable: (image, reason).
        overlaps: of the reported true positives with lesions, image to area-matched overlap of the
            bundle's own heatmap.
        changed: images whose file is not the one that the manifest names.
    """

    manifest: Manifest
    predictions: Predictions
    metrics: dict[str, Any]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    overlaps: dict[str, float] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def changed_sentence(images: Sequence[str]) -> str:
    """What to know of files that are not those of the manifest."""
    first = ", ".join(images[:5])
    return (
        f"{len(images)} file{'s' * (len(images) > 1)} changed since the manifest was written "
        f"(SHA-256 differs), so labels may be of other radiographs: {first}. Scan the cohort again."
    )


def measure(
    engine: Engine,
    manifest: Manifest,
    split: str,
    *,
    annotations: Annotations | None = None,
    methods: Sequence[str] = (),
    by: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a split and compute its figures.

    Args:
        engine: a loaded bundle.
        manifest: the cohort; its labels must be the bundle's.
        split: train, val, test or all.
        annotations: lesions or lungs, to measure localization by.
        methods: further heatmaps to measure beside the bundle's own.
        by: columns of the manifest to break the figures down by.
        progress: called with (done, total).

    Raises:
        EvaluationError: the labels differ, no radiograph could be read, or none is annotated.
        CohortError: the split is empty, or an annotation cannot be used.
        SettingsError: a method is not known.
    """
    part = suitable(engine, manifest, split)
    if missing := [name for name in by if name not in part.table.columns]:
        raise EvaluationError(
            f"the cohort has no column {', '.join(missing)}",
            remedy="name columns of the manifest in --by",
        )
    images = part.table["image"].tolist()
    study = None
    if annotations is not None:
        # Other engines explain by the bundle's own method alone.
        possible = None if engine.runtime.engine == "torch" else engine.methods
        info = engine.info
        study = LocalizationStudy(
            part, annotations, info.heatmap, methods, by, possible, info.region_threshold
        )
    logits: dict[str, float] = {}
    probabilities: dict[str, float] = {}
    unreadable: list[tuple[str, str]] = []
    films = zip(part.paths(), stated_sizes(part.table), strict=True)
    stream = explain_in(
        engine,
        list(zip(images, films, strict=True)),
        lambda film: read_film(*film),
        others=() if study is None else study.others,
        lungs=study is not None,
    )
    for done, item in enumerate(stream, start=1):
        if isinstance(item, Failed):
            unreadable.append((item.name, str(item.finding.error)))
        else:
            logits[item.name] = item.logit
            probabilities[item.name] = float(item.finding.probability or 0.0)
            if study is not None:
                study.add(item)
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
    digests = [sha256_file(path) for path in readable.paths()]
    named = zip(readable.table["image"], readable.table["sha256"], digests, strict=True)
    changed = [image for image, known, now in named if known not in ("", now)]
    seen = shared(engine.info, readable, digests)
    metrics = {
        "split": split,
        **report.to_dict(),
        "calibration": _calibration(engine, predictions),
        "abstention": _abstention(engine, predictions),
        "subgroups": subgroup_figures(
            predictions,
            {name: readable.table[name].astype(str).tolist() for name in by},
            engine.info.threshold,
        ),
        **({"localization": None} if study is None else study.to_dict()),
        "model": engine.info.model_id,
        "data_digest": manifest.digest(),
        "overlap": overlap_figures(seen, predictions, engine.info.threshold),
        "trained_on_this_cohort": manifest.digest() == engine.info.training.data_digest,
        "unreadable": len(unreadable),
        "changed": len(changed),
    }
    overlaps = {} if study is None else study.overlaps
    return Evaluation(readable, predictions, metrics, unreadable, overlaps, changed)


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


def _calibration(engine: Engine, predictions: Predictions) -> dict[str, Any]:
    return {
        "temperature": engine.info.temperature,
        "bias": engine.info.bias,
        "ece_before": expected_calibration_error(_before(predictions), predictions.targets),
        "ece_after": expected_calibration_error(predictions.probabilities, predictions.targets),
        "ece_of_chance": chance_calibration_error(predictions.probabilities).to_dict(),
        "fitted_on": "val",
    }


def _abstention(engine: Engine, predictions: Predictions) -> dict[str, Any] | None:
    """The bundle's review band and what it does here; None where the bundle has none."""
    review, threshold = engine.info.review, engine.info.threshold
    if review is None:
        return None
    band = ReviewBand(review.coverage, review.low, review.high)
    figures = abstention_report(predictions, threshold, band)
    curve = risk_curve(predictions.probabilities, predictions.targets, threshold)
    return {
        "promised": review.coverage,
        "band_low": review.low,
        "band_high": review.high,
        **{name: figure.to_dict() for name, figure in figures.items()},
        "risk_area": curve.area,
    }


def _before(predictions: Predictions) -> NDArray[np.float64]:
    return calibrated(predictions.logits, 1.0)


def write_evaluation(out: Path, evaluation: Evaluation) -> list[Picture]:
    """Write `metrics.json`, `predictions.csv` and the figures; the figures for the report."""
    write_json(out / "metrics.json", evaluation.metrics)
    write_text(out / "predictions.csv", predictions_csv(evaluation))
    figures = evaluation_figures(evaluation)
    pictures = {**figures, **localization_pictures(evaluation.metrics)}
    for name, (_, _, png) in pictures.items():
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
    figures["risk"] = (
        "Risk and coverage",
        "The share of wrong decisions when the least sure radiographs are left to people.",
        figure_png(
            risk_figure(
                risk_curve(probabilities, targets, threshold),
                uncertain=metrics["abstention"] and metrics["abstention"]["uncertain"]["value"],
            )
        ),
    )
    return figures
