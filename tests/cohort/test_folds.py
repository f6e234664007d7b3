"""Folds: every radiograph of train and val is tested once, and nobody is in two parts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pneumoscope.cohort.folds import fold_manifests
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import CohortError, SettingsError


def cohort(tmp_path: Path, patients: int = 40) -> Manifest:
    rows = [
        {
            "image": f"{patient}-{film}.png",
            "label": "PNEUMONIA" if patient % 3 else "NORMAL",
            "patient": f"p{patient}",
            "split": "test" if patient % 10 == 0 else "val" if patient % 5 == 0 else "train",
            "sha256": f"{patient}-{film}",
            "width": 1,
            "height": 1,
        }
        for patient in range(patients)
        for film in range(1 + patient % 4)
    ]
    return Manifest(pd.DataFrame(rows), tmp_path, ("NORMAL", "PNEUMONIA"))


@pytest.mark.parametrize("count", [3, 5])
def test_each_radiograph_is_tested_once_and_patients_stay_together(
    count: int, tmp_path: Path
) -> None:
    whole = cohort(tmp_path)
    parts = fold_manifests(whole, count)
    tested: Counter[str] = Counter()
    for part in parts:
        table = part.table
        tested.update(table["image"][table["split"] == "test"])
        assert (table.groupby("patient")["split"].nunique() == 1).all()
        for split in ("train", "val", "test"):
            # Each label is in each part.
            assert set(table["label"][table["split"] == split]) == {"NORMAL", "PNEUMONIA"}
        own_test = whole.table["split"] == "test"
        assert (table["split"][own_test] == "excluded").all()
        assert not (table["split"][~own_test] == "excluded").any()
    assert set(tested.values()) == {1}
    assert tested.total() == int((whole.table["split"] != "test").sum())
    # Labels are spread evenly: patients of a label differ by one at most.
    for label in whole.labels:
        counts = [
            part.table[(part.table["split"] == "test") & (part.table["label"] == label)][
                "patient"
            ].nunique()
            for part in parts
        ]
        assert max(counts) - min(counts) <= 1
    assert [p.digest() for p in fold_manifests(whole, count)] == [p.digest() for p in parts]
    other = fold_manifests(replace(whole, seed=7), count)
    assert other[0].digest() != parts[0].digest()


def test_patients_that_share_a_file_stay_together(tmp_path: Path) -> None:
    whole = cohort(tmp_path)
    table = whole.table.copy()
    table.loc[table["patient"].isin(["p1", "p2"]), "sha256"] = "the same"
    for part in fold_manifests(replace(whole, table=table), 4):
        splits = part.table.set_index("patient")["split"]
        assert splits["p1"].iloc[0] == splits["p2"].iloc[0]


def test_too_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="2 folds are too few"):
        fold_manifests(cohort(tmp_path), 2)
    with pytest.raises(CohortError, match=r"only \d+ patients of train and val are mainly"):
        fold_manifests(cohort(tmp_path, 12), 6)
