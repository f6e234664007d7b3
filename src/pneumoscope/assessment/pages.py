"""The report pages of the commands: what each says of model, data and figures."""

from __future__ import annotations

from typing import Any

from pneumoscope.assessment.evaluation import Evaluation, changed_sentence
from pneumoscope.bundles import BundleInfo
from pneumoscope.report.figures import history_figure
from pneumoscope.report.html import Picture, ReportContent, render_report
from pneumoscope.report.localization_figures import localization_pictures
from pneumoscope.report.model_card import ModelCard, render_model_card
from pneumoscope.report.overlap import overlap_sentences
from pneumoscope.report.style import figure_png


def evaluation_page(
    info: BundleInfo,
    evaluation: Evaluation,
    figures: list[Picture],
    pictures: list[Picture],
    rule: str,
    *,
    title: str | None = None,
    kind: Any = "evaluation",
) -> str:
    """The page of an evaluation, as HTML."""
    metrics = evaluation.metrics
    return render_report(
        ReportContent(
            title=title or info.model_id,
            subtitle=f"Split '{metrics['split']}': {metrics['n']} radiographs of "
            f"{metrics['n_patients']} patients",
            kind=kind,
            metrics=metrics,
            facts=model_facts(info),
            splits=info.training.splits,
            figures=figures,
            localization_figures=list(localization_pictures(metrics).values()),
            gallery=pictures,
            gallery_rule=rule if pictures else "",
            notes=_notes(evaluation),
            labels=info.labels,
        )
    )


def model_facts(info: BundleInfo) -> list[tuple[str, str]]:
    """What the model is and where it comes from."""
    architecture, training = info.architecture, info.training
    settings = training.settings
    return [
        ("Model", info.model_id),
        (
            "Architecture",
            f"{architecture.backbone}, {architecture.head} head, input {architecture.size} px",
        ),
        ("Start weights", f"{training.weights['name']} ({training.weights['licence']})"),
        ("Start weights' SHA-256", str(training.weights["sha256"] or "none")),
        (
            "Training",
            f"preset {settings['preset']}, seed {settings['seed']}, best of {settings['epochs']} "
            f"epochs: {training.selected_epoch + 1}",
        ),
        ("Threshold", f"{info.threshold:.4f} on the calibrated probability, fitted on val"),
        ("Temperature, bias", f"{info.temperature:.4f}, {info.bias:.4f}, fitted on val"),
        ("Training data's digest", training.data_digest),
        ("Versions", ", ".join(f"{k} {v}" for k, v in training.versions.items())),
        ("Pneumoscope", info.version),
    ]


def _notes(evaluation: Evaluation) -> list[str]:
    notes = overlap_sentences(evaluation.metrics)
    if evaluation.changed:
        notes.append(changed_sentence(evaluation.changed))
    if evaluation.unreadable:
        first = ", ".join(image for image, _ in evaluation.unreadable[:5])
        notes.append(f"{len(evaluation.unreadable)} radiographs could not be read: {first}.")
    return notes


def history_picture(history: list[dict[str, float]], selected_epoch: int) -> Picture:
    """Losses and val ROC-AUC by epoch, epochs counted from 1."""
    figure = history_figure(
        [row["epoch"] + 1 for row in history],
        [row["train_loss"] for row in history],
        [row["val_loss"] for row in history],
        [row["val_roc_auc"] for row in history],
        best_epoch=selected_epoch + 1,
    )
    return ("Training", "The epoch kept is the best on val.", figure_png(figure))


def model_card(info: BundleInfo, metrics: dict[str, Any]) -> str:
    """The bundle's model card, in Markdown."""
    return render_model_card(ModelCard.from_bundle(info.model_dump(mode="json"), metrics=metrics))
