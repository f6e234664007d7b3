"""The diagrams of an assessment, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pneumoscope.evaluate import risk_curve
from pneumoscope.evaluate.calibration import calibrated
from pneumoscope.report.curves import precision_recall_figure, risk_figure, roc_figure
from pneumoscope.report.figures import (
    confusion_figure,
    history_figure,
    reliability_figure,
    score_figure,
)
from pneumoscope.report.html import Picture
from pneumoscope.report.overlap import fitted_on
from pneumoscope.report.style import figure_png

if TYPE_CHECKING:
    from pneumoscope.assessment.assessment import Assessment


def diagrams(found: Assessment) -> dict[str, Picture]:
    """The figures by file name; those that need both classes only where both are."""
    metrics, predictions = found.metrics, found.predictions
    targets, probabilities = predictions.targets, predictions.probabilities
    threshold, names = float(metrics["threshold"]), found.manifest.labels
    figures_of, fitted = metrics["classification"], fitted_on(metrics)
    figures: dict[str, Picture] = {
        "confusion": (
            "Confusion matrix",
            f"At the threshold {threshold:.3f}, {f'fitted on {fitted}' if fitted else 'as given'}.",
            figure_png(confusion_figure(metrics["confusion"], names=names)),
        )
    }
    if len(set(targets.tolist())) < 2:
        return figures
    figures["roc"] = (
        "ROC curve",
        "Every threshold's trade-off; the dot is the one used.",
        figure_png(
            roc_figure(probabilities, targets, threshold=threshold, auc=figures_of["roc_auc"])
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
    before = calibrated(predictions.logits, 1.0) if fitted else None
    figures["reliability"] = (
        "Reliability",
        "How often what was called p turned out positive"
        + ("; faint: before calibration." if fitted else "."),
        figure_png(reliability_figure(probabilities, targets, before=before)),
    )
    figures["scores"] = (
        "Probabilities by label",
        "Where the two labels overlap, decisions are doubtful. Counts are on a square-root scale.",
        figure_png(score_figure(probabilities, targets, threshold=threshold, names=names)),
    )
    figures["risk"] = (
        "Risk and coverage",
        "The share of wrong decisions when the least sure radiographs are left to people.",
        figure_png(
            risk_figure(
                risk_curve(probabilities, targets, threshold),
                outside_band=_outside_band(metrics["abstention"]),
            )
        ),
    )
    return figures


def _outside_band(abstention: Mapping[str, Any] | None) -> tuple[float, float] | None:
    """Share of radiographs that the review band leaves decided, and of wrong decisions there."""
    if abstention is None or abstention["accuracy_decided"]["value"] is None:
        return None
    return 1 - abstention["uncertain"]["value"], 1 - abstention["accuracy_decided"]["value"]


def history_picture(history: Sequence[Mapping[str, float]], selected_epoch: int) -> Picture:
    """Losses and val ROC-AUC by epoch, epochs counted from 1."""
    figure = history_figure(
        [row["epoch"] + 1 for row in history],
        [row["train_loss"] for row in history],
        [row["val_loss"] for row in history],
        [row["val_roc_auc"] for row in history],
        best_epoch=selected_epoch + 1,
    )
    return ("Training", "The epoch kept is the best on val.", figure_png(figure))
