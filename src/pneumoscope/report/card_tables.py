"""From what was measured of a model to the tables of its card, on paper and in the terminal.

`measured` is that part of `model_card.json`: `cohorts` (name to the content of `metrics.json`),
`cross` (training set to test set to `metrics.json`), `gate` (content of `check-gate`'s file),
`audits` and `audits_before` (name to the content of `audit.json`). Every part may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.report import subgroups
from pneumoscope.report.numbers import MISSING, figure_text, metric_name, number_text
from pneumoscope.report.overlap import seen_text

Measured = Mapping[str, Any]

_CLASSIFICATION = ("roc_auc", "accuracy", "sensitivity", "specificity", "ece")
_ABSTENTION = ("uncertain", "kept_positive", "kept_negative", "accuracy_decided")
_LOCALIZATION = ("peak_in_box", "area_matched", "energy_in_lungs", "peak_in_lungs")
_ROUTES = ("auc_whole", "auc_lungs_hidden", "auc_edge", "auc_markers_hidden")


@dataclass(frozen=True)
class CardTable:
    """One table: what it is about, its columns, its lines of text."""

    title: str
    words: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]


def card_tables(measured: Measured) -> list[CardTable]:
    """All tables that there is something to put into."""
    cohorts = measured.get("cohorts") or {}
    tables = [
        _classification(cohorts),
        _abstention(cohorts),
        _localization(cohorts),
        *(_subgroups(name, metrics) for name, metrics in cohorts.items()),
        _cross(measured.get("cross") or {}),
        _shortcuts(measured.get("audits_before") or {}, measured.get("audits") or {}),
        _gate(measured.get("gate") or {}),
    ]
    return [table for table in tables if table.lines]


def _classification(cohorts: Measured) -> CardTable:
    return CardTable(
        "Figures per cohort",
        _seen_words(cohorts),
        [
            "Cohort",
            "Radiographs",
            "Patients",
            "In train or val",
            *map(metric_name, (*_CLASSIFICATION, "ece_of_chance")),
        ],
        [
            [
                name,
                number_text(metrics["n"]),
                number_text(metrics["n_patients"]),
                seen_text(metrics),
                *_figures(metrics["classification"], _CLASSIFICATION),
                *_figures(metrics.get("calibration") or {}, ("ece_of_chance",)),
            ]
            for name, metrics in cohorts.items()
        ],
    )


def _seen_words(cohorts: Measured) -> str:
    """Whether the model was made with some of these radiographs."""
    checked = all(metrics.get("overlap") is not None for metrics in cohorts.values())
    if checked and all(seen_text(metrics) == "0" for metrics in cohorts.values()):
        return "No radiograph of these was used to train or tune the model, by SHA-256 of its file."
    return (
        "Radiographs in train or val were used to train or tune the model: figures of a cohort "
        f"that holds some are optimistic. {MISSING}: not checked."
    )


def _abstention(cohorts: Measured) -> CardTable:
    return CardTable(
        "Uncertain, please review",
        "What the review band, fitted on val, leaves to people, and what that is worth.",
        ["Cohort", *map(metric_name, _ABSTENTION)],
        [
            [name, *_figures(metrics["abstention"], _ABSTENTION)]
            for name, metrics in cohorts.items()
            if metrics.get("abstention")
        ],
    )


def _localization(cohorts: Measured) -> CardTable:
    lines = []
    for name, metrics in cohorts.items():
        for method, figures in (metrics.get("localization") or {}).items():
            if method in (metrics.get("localization_method"), "gradcam", "usual_location"):
                lines.append([name, method, *_figures(figures, _LOCALIZATION)])
    return CardTable(
        "Localization",
        "True positives, beside plain Grad-CAM of the same model. Against drawn lesions they are "
        "those of the test half of the patients, against outlines of lungs alone of all patients.",
        ["Cohort", "Heatmap", *map(metric_name, _LOCALIZATION)],
        lines,
    )


def _subgroups(name: str, metrics: Measured) -> CardTable:
    lines = subgroups.subgroup_lines(metrics)
    return CardTable(f"Subgroups of {name}", subgroups.WORDS, subgroups.COLUMNS, lines)


def _cross(cross: Measured) -> CardTable:
    tested = list(dict.fromkeys(name for row in cross.values() for name in row))
    return CardTable(
        "Trained on one set, tested on another",
        "ROC-AUC on the test parts; rows say what a model was trained on.",
        ["Trained on", *tested],
        [
            [
                trained,
                *(figure_text(row[name]["classification"]["roc_auc"]) if name in row else MISSING
                  for name in tested),
            ]
            for trained, row in cross.items()
        ],
    )  # fmt: skip


def _shortcuts(before: Measured, after: Measured) -> CardTable:
    lines = []
    for state, audits in (("before", before), ("this model", after)):
        for name, audit in audits.items():
            test = audit["tests"]["shortcuts"]
            table = [
                f"{row['label'].removeprefix('table: ')} {figure_text(row['figures']['auc'])}"
                for row in test["rows"]
                if row["label"].startswith("table: ")
            ]
            lines.append(
                [name, state if before else "this model", *_figures(test["figures"], _ROUTES),
                 "; ".join(table) or MISSING]
            )  # fmt: skip
    names = ["Whole radiograph", "Lungs hidden", "Edge alone", "Markers hidden", "Table alone"]
    return CardTable(
        "Shortcuts",
        "ROC-AUC with parts of the radiographs hidden; of several sets, the mean of theirs. What "
        "is kept without the lungs was not learned from the disease.",
        ["Cohort", "Model", *names],
        lines,
    )


def _gate(gate: Measured) -> CardTable:
    alarms = [
        [f"false positives, {name}", number_text(entry["n"]), figure_text(entry["flagged"])]
        for name, entry in (gate.get("false_alarms") or {}).items()
    ]
    kinds = [
        [f"detected: {name}", number_text(entry["n"]), figure_text(entry["flagged"])]
        for name, entry in (gate.get("detection") or {}).items()
    ]
    return CardTable(
        "Input gate",
        "Share of pictures flagged as unlike a frontal chest radiograph.",
        ["Pictures", "Number", "Flagged"],
        [*alarms, *kinds],
    )


def _figures(figures: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [figure_text(figures.get(key)) for key in keys]
