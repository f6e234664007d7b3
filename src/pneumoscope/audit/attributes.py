"""What a cohort's table tells of the label, without any radiograph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pneumoscope.cohort.manifest import Manifest

COLUMNS = ("view", "sex", "age")
"""Columns looked at, where a cohort has them."""

_DECADE = 10


def table_scores(manifest: Manifest, part: Manifest) -> Mapping[str, Mapping[str, float]]:
    """By column, by image: the share of positives among train radiographs of the same kind.

    Ages count by decade. Shares are drawn towards one half as if one radiograph of either label
    more had been seen. Empty without a train split.

    Args:
        manifest: the whole cohort.
        part: the radiographs that are asked about, none of them of train.
    """
    train = manifest.table[manifest.table["split"] == "train"]
    found: dict[str, Mapping[str, float]] = {}
    for column in COLUMNS:
        if column not in part.table or train.empty:
            continue
        kinds = _kinds(train[column])
        positive = (train["label"] == manifest.labels[1]).astype(float)
        counted = pd.DataFrame({"kind": kinds, "positive": positive})[kinds != ""]
        asked = _kinds(part.table[column])
        if counted["kind"].nunique() < 2 or (asked == "").any():
            continue
        sums = counted.groupby("kind")["positive"].agg(["sum", "count"])
        rates = (sums["sum"] + 1) / (sums["count"] + 2)
        scores = asked.map(rates).fillna(0.5).astype(float)
        found[column] = dict(zip(part.table["image"], scores.tolist(), strict=True))
    return found


def _kinds(values: pd.Series[str]) -> pd.Series[str]:
    """Categories as they are, numbers by decade; empty where unknown."""
    text = values.astype(str).str.strip()
    numbers = pd.to_numeric(text.where(text != ""), errors="coerce")
    if numbers.notna().sum() < (text != "").sum() or not (text != "").any():
        return text
    decades = np.floor(numbers / _DECADE)
    named: pd.Series[str] = decades.map(lambda value: "" if pd.isna(value) else f"{value:.0f}")
    return named
