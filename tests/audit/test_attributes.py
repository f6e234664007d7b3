"""What a cohort's table tells of the label."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pneumoscope.audit import table_scores
from pneumoscope.cohort.manifest import Manifest


def manifest(**columns: list[str]) -> Manifest:
    """Eight radiographs of train, two of test."""
    n = 10
    table = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(n)],
            "label": ["PNEUMONIA"] * 4 + ["NORMAL"] * 4 + ["NORMAL", "PNEUMONIA"],
            "patient": [str(i) for i in range(n)],
            "split": ["train"] * 8 + ["test"] * 2,
            "sha256": "",
            "width": 1,
            "height": 1,
            **columns,
        }
    )
    return Manifest(table, Path(), ("NORMAL", "PNEUMONIA"), 42)


def test_shares_are_those_of_train() -> None:
    whole = manifest(view=["AP"] * 3 + ["PA"] * 5 + ["PA", "AP"])
    found = table_scores(whole, whole.subset("test"))
    # AP: 3 of 3 positive; PA: 1 of 5; one radiograph of either label more.
    assert found == {"view": {"8.png": pytest.approx(2 / 7), "9.png": pytest.approx(4 / 5)}}


def test_ages_count_by_decade() -> None:
    whole = manifest(age=["41", "44", "49", "42", "61", "65", "63", "69", "60", "40"])
    found = table_scores(whole, whole.subset("test"))["age"]
    assert found["9.png"] == pytest.approx(5 / 6) and found["8.png"] == pytest.approx(1 / 6)


def test_columns_that_tell_nothing_are_left_out() -> None:
    same = manifest(view=["AP"] * 10, sex=["F"] * 9 + [""])
    assert table_scores(same, same.subset("test")) == {}
    assert table_scores(manifest(), manifest().subset("test")) == {}
