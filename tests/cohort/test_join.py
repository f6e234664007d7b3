from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pneumoscope.cohort import Manifest
from pneumoscope.cohort.join import join
from pneumoscope.errors import CohortError


def _cohort(root: Path, labels: tuple[str, str], digests: str, **extra: list[str]) -> Manifest:
    root.mkdir(parents=True, exist_ok=True)
    n = len(digests)
    table = pd.DataFrame(
        {
            "image": [f"{k}.png" for k in range(n)],
            "label": [labels[k % 2] for k in range(n)],
            "patient": [f"P{k}" for k in range(n)],
            "split": ["train", "val", "test", "train"][:n],
            "sha256": list(digests),
            "width": 5,
            "height": 7,
            **extra,
        }
    )
    return Manifest(table, root, labels, 9)


def test_rows_keep_their_split_and_are_found_below_the_common_folder(tmp_path: Path) -> None:
    children = _cohort(tmp_path / "children", ("NORMAL", "PNEUMONIA"), "abcd", age=["4"] * 4)
    adults = _cohort(tmp_path / "far" / "adults", ("no", "yes"), "efg", sex=["F"] * 3)
    joined = join([("children", children), ("adults", adults)])
    assert joined.root == tmp_path.resolve()
    assert joined.labels == ("NORMAL", "PNEUMONIA")
    rows = joined.table
    assert rows["image"].tolist()[3:5] == ["children/3.png", "far/adults/0.png"]
    assert rows["label"].tolist()[4:] == ["NORMAL", "PNEUMONIA", "NORMAL"]
    assert rows["split"].tolist() == [*children.table["split"], *adults.table["split"]]
    # The same number is another person elsewhere.
    assert rows["patient"].nunique() == 7
    assert rows["cohort"].tolist() == ["children"] * 4 + ["adults"] * 3
    assert rows["age"].tolist() == ["4"] * 4 + [""] * 3
    joined.write(tmp_path / "out" / "joint.csv")
    again = Manifest.read(tmp_path / "out" / "joint.csv")
    pd.testing.assert_frame_equal(again.table, rows, check_dtype=False)
    assert again.paths() == joined.paths()


def test_a_file_held_by_two_cohorts_counts_once(tmp_path: Path) -> None:
    one = _cohort(tmp_path / "one", ("NORMAL", "PNEUMONIA"), "aabc")
    two = _cohort(tmp_path / "two", ("NORMAL", "PNEUMONIA"), "dbd")
    splits = join([("one", one), ("two", two)]).table["split"].tolist()
    # Only what crosses cohorts: a scan has judged the twins within one.
    assert splits == ["train", "val", "test", "train", "train", "excluded", "test"]


def test_unknown_digests_are_no_duplicates(tmp_path: Path) -> None:
    one = _cohort(tmp_path / "one", ("NORMAL", "PNEUMONIA"), "ab")
    two = _cohort(tmp_path / "two", ("NORMAL", "PNEUMONIA"), "cd")
    for manifest in (one, two):
        manifest.table["sha256"] = ""
    assert "excluded" not in set(join([("one", one), ("two", two)]).table["split"])


@pytest.mark.parametrize("names", [["one"], ["one", "one"], []])
def test_fewer_than_two_cohorts_are_refused(tmp_path: Path, names: list[str]) -> None:
    cohort = _cohort(tmp_path / "one", ("NORMAL", "PNEUMONIA"), "ab")
    with pytest.raises(CohortError, match="cannot join"):
        join([(name, cohort) for name in names])
