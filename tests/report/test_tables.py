from __future__ import annotations

from typing import Any

import pytest

from pneumoscope.report import tables
from pneumoscope.report.numbers import figure_text, interval_text, metric_name, number_text


def interval(value: float | None) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"value": 0.9812, "low": 0.972, "high": 0.9888}, "0.981 (0.972 to 0.989)"),
        ({"value": 0.5, "low": None, "high": None}, "0.500"),
        ({"value": None, "low": None, "high": None}, "n/a"),
        ({"value": float("nan"), "low": 0.1, "high": 0.2}, "n/a"),
        (-0.08, "-0.080"),
        (1234, "1,234"),
        (None, "n/a"),
        (float("inf"), "n/a"),
        ("val", "val"),
        (True, "True"),
    ],
)
def test_figure_text(value: object, text: str) -> None:
    assert figure_text(value) == text


def test_interval_text_without_ends() -> None:
    assert interval_text({"value": 1}) == "1.000"
    assert number_text(0) == "0"


REVIEW = "Uncertain, please review"


def test_names_are_friendly_and_never_missing() -> None:
    assert metric_name("roc_auc") == metric_name("auroc") == "ROC-AUC"
    assert metric_name("sensitivity_at_specificity_90") == "Sensitivity at specificity ≥\u00a0.90"
    assert metric_name("my_own_figure") == "My own figure"


def test_groups_put_each_figure_once_where_it_belongs() -> None:
    metrics: dict[str, Any] = {
        "threshold": 0.4,
        "prevalence": 0.25,
        "classification": {
            "sensitivity": interval(0.9),
            "roc_auc": interval(0.95),
            "ece": interval(0.02),
            "mcc": interval(None),
            "odd_one": interval(0.1),
        },
        "calibration": {"temperature": 1.3, "before": {"ece": 0.1}, "bins": [1, 2]},
        "abstention": {"promised": 0.95, "uncertain": interval(0.1)},
    }
    groups = {group.title: group.rows for group in tables.figure_groups(metrics)}
    decisions = "Decisions at threshold 0.4 (PPV and NPV at prevalence 0.25)"
    assert list(groups) == [decisions, "Over all thresholds", "Calibration", REVIEW]
    assert [row.name for row in groups[REVIEW]] == ["Coverage promised", "Uncertain"]
    assert [row.name for row in groups[decisions]] == ["Sensitivity", "MCC", "Odd one"]
    assert groups[decisions][1].text == "n/a"
    assert [row.name for row in groups["Calibration"]] == ["ECE", "Temperature", "Before: ECE"]
    assert tables.figure_groups({}) == []


def test_tiles_split_value_and_interval() -> None:
    tiles = tables.headline_tiles(
        {"classification": {"roc_auc": interval(0.95), "sensitivity": interval(None)}}
    )
    assert [(tile.name, tile.value, tile.interval) for tile in tiles] == [
        ("ROC-AUC", "0.950", "0.940 to 0.960"),
        ("Sensitivity", "n/a", ""),
    ]


def test_flow_sums_the_splits() -> None:
    columns, lines = tables.flow_table(
        {"train": {"NORMAL": 1000, "patients": 700}, "test": {"NORMAL": 300, "patients": 200}}
    )
    assert columns == ["Split", "NORMAL", "patients"]
    assert lines[-1] == ["total", "1,300", "900"]
    assert tables.flow_table({}) == (["Split"], [])


def test_confusion_in_words() -> None:
    first, second = tables.confusion_sentences(
        {"tn": 227, "fp": 10, "fn": 7, "tp": 662}, ("NORMAL", "PNEUMONIA")
    )
    assert first == "Of 669 radiographs labelled PNEUMONIA, 662 were found and 7 missed."
    assert second == "Of 237 labelled NORMAL, 227 were cleared and 10 were false positives."
