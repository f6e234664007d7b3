"""From `metrics.json` to the tables of the page and of the model card.

`metrics.json` holds `split`, `n`, `n_patients`, `classification` (name to `value`, `low`, `high`),
`confusion` (`tn`, `fp`, `fn`, `tp`), `threshold`, `calibration`, `abstention`, and `localization`,
which has its own module. Every part may be missing, and a key nobody named is shown under its own
words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.report.numbers import (
    MISSING,
    figure_text,
    is_interval,
    is_table,
    metric_meaning,
    metric_name,
    number_text,
)

_RANKING = ("roc_auc", "pr_auc", "sensitivity_at_specificity_90", "best_f1")
_CALIBRATION = ("brier", "ece", "calibration_slope", "calibration_intercept", "log_loss")
HEADLINES = ("roc_auc", "sensitivity", "specificity", "accuracy")


@dataclass(frozen=True)
class Row:
    """One figure: its name, its text, and what it says."""

    name: str
    text: str
    meaning: str


@dataclass(frozen=True)
class Group:
    """Figures that belong together."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Tile:
    """A headline figure: the value large, its interval small."""

    name: str
    value: str
    interval: str


def headline_tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    """The figures at the top of the page; those missing are left out."""
    figures = metrics.get("classification") or {}
    tiles = []
    for key in HEADLINES:
        if is_interval(figures.get(key)):
            value, _, interval = figure_text(figures[key]).partition(" ")
            tiles.append(Tile(metric_name(key), value, interval.strip("()")))
    return tiles


def figure_groups(metrics: Mapping[str, Any]) -> list[Group]:
    """Classification, calibration and abstention, grouped by what they depend on."""
    figures = dict(metrics.get("classification") or {})
    ranking = _taken(figures, _RANKING)
    calibration = {**_taken(figures, _CALIBRATION), **(metrics.get("calibration") or {})}
    threshold = metrics.get("threshold")
    title = "Decisions" if threshold is None else f"Decisions at threshold {threshold:.3g}"
    if metrics.get("prevalence") is not None:
        title += f" (PPV and NPV at prevalence {metrics['prevalence']:.3g})"
    abstention = metrics.get("abstention") or {}
    titles = (title, "Over all thresholds", "Calibration", "Uncertain, please review")
    groups = [Group(each, []) for each in titles]
    for group, values in zip(groups, (figures, ranking, calibration, abstention), strict=True):
        group.rows.extend(_rows(values))
    return [group for group in groups if group.rows]


def flow_table(splits: Mapping[str, Mapping[str, int]]) -> tuple[list[str], list[list[str]]]:
    """Columns and lines of the patient flow: a line per split and their sum."""
    keys = list(dict.fromkeys(key for counts in splits.values() for key in counts))
    lines = [
        [name, *(number_text(counts.get(key)) for key in keys)] for name, counts in splits.items()
    ]
    if len(splits) > 1:
        # No patient is in two splits, so patients add up like radiographs do.
        sums = [sum(counts.get(key, 0) for counts in splits.values()) for key in keys]
        lines.append(["total", *map(number_text, sums)])
    return ["Split", *keys], lines


def confusion_sentences(confusion: Mapping[str, int], labels: Sequence[str]) -> list[str]:
    """The confusion matrix in words."""
    negative, positive = labels
    tn, fp, fn, tp = (int(confusion[cell]) for cell in ("tn", "fp", "fn", "tp"))
    return [
        f"Of {tp + fn:,} radiographs labelled {positive}, {tp:,} were found and {fn:,} missed.",
        f"Of {tn + fp:,} labelled {negative}, {tn:,} were cleared and {fp:,} were false positives.",
    ]


def _taken(figures: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The figures of `keys`, by friendly name so that aliases count, removed from `figures`."""
    names = {metric_name(key) for key in keys}
    found = [key for key in figures if metric_name(key) in names]
    return {key: figures.pop(key) for key in found}


def _rows(values: Mapping[str, Any], prefix: str = "") -> list[Row]:
    rows: list[Row] = []
    for key, value in values.items():
        name = f"{prefix}{metric_name(key)}"
        if is_table(value):
            rows += _rows(value, prefix=f"{name}: ")
        elif not isinstance(value, list | tuple):
            text = figure_text(value)
            reason = str(value.get("reason", "")) if is_interval(value) else ""
            rows.append(Row(name, text, reason if text == MISSING else metric_meaning(key)))
    return rows
