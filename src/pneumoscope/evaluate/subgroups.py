"""Classification figures of parts of a set: by sex, age, view, or any column of the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.ages import age_in_years
from pneumoscope.evaluate.classification import classification_report
from pneumoscope.evaluate.predictions import Predictions

FIGURES = ("roc_auc", "accuracy", "sensitivity", "specificity", "ece")
"""Figures reported for each group."""

FEWEST = 20
"""Smaller groups are counted, not measured."""

_MOST_KINDS = 12
_BAND = 20


def subgroup_figures(
    predictions: Predictions, columns: Mapping[str, Sequence[str]], threshold: float
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures with patient-level intervals for each value of each column.

    A column of many numbers, such as ages (`58` or `058Y`), is cut into bands of 20. Radiographs
    without a value are left out; groups of fewer than `FEWEST` radiographs, or of one label, have
    counts alone.

    Args:
        predictions: the whole set.
        columns: name to one text per radiograph, empty where unknown.
        threshold: decision threshold in [0, 1], fitted on other radiographs.

    Returns:
        By column and group, both as text: `n`, `n_patients`, `n_positive`, and each of `FIGURES` as
        `value`, `low`, `high`, or None.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for column, values in columns.items():
        kinds = kinds_of(values)
        found[column] = {
            kind: _group(predictions, kinds == kind, threshold)
            for kind in sorted(set(kinds.tolist()) - {""})
        }
    return found


def kinds_of(values: Sequence[str]) -> NDArray[np.str_]:
    """The group of each value: its text, or of many numbers the band of 20; "" where unknown."""
    text = np.array([str(value).strip() for value in values])
    known = text[text != ""]
    if len(set(known.tolist())) <= _MOST_KINDS or not all(map(np.isfinite, map(_number, known))):
        return text
    return np.array([_band(value) if value else "" for value in text])


def _number(text: str) -> float:
    """A number, or an age in years; not a number for other text."""
    if (age := age_in_years(text)) is not None:
        return age
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _band(text: str) -> str:
    low = int(_number(text) // _BAND) * _BAND
    return f"{low}-{low + _BAND - 1}"


def _group(predictions: Predictions, rows: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    part = predictions.only(rows)
    positive = int(part.targets.sum())
    counts = {"n": len(part), "n_patients": part.n_patients, "n_positive": positive}
    if len(part) < FEWEST or positive in (0, len(part)):
        return {**counts, **dict.fromkeys(FIGURES)}
    figures = classification_report(part, threshold).figures
    return {**counts, **{name: figures[name].to_dict() for name in FIGURES}}
