from __future__ import annotations

import warnings
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


def test_a_patient_known_by_a_shared_file_is_in_one_split(tmp_path: Path) -> None:
    one = _cohort(tmp_path / "one", ("NORMAL", "PNEUMONIA"), "abcd")  # train val test train
    # The first file is one's P1 (val); P0 and P1 have a further file each, P2 is somebody else.
    two = _cohort(tmp_path / "two", ("NORMAL", "PNEUMONIA"), "befg")
    two.table["patient"] = ["P0", "P0", "P1", "P0"]
    two.table["split"] = ["train", "train", "val", "val"]
    with pytest.warns(UserWarning, match=r"^1 radiographs are excluded: a shared file shows"):
        splits = join([("one", one), ("two", two)]).table["split"].tolist()[4:]
    assert splits == ["excluded", "excluded", "val", "val"]


def test_a_third_cohort_may_show_that_two_patients_are_one(tmp_path: Path) -> None:
    one = _cohort(tmp_path / "one", ("NORMAL", "PNEUMONIA"), "abc")  # train val test
    two = _cohort(tmp_path / "two", ("NORMAL", "PNEUMONIA"), "def")
    three = _cohort(tmp_path / "three", ("NORMAL", "PNEUMONIA"), "bfgh")
    three.table["patient"] = ["P7", "P7", "P7", "P8"]
    three.table["split"] = ["val", "val", "val", "test"]
    with pytest.warns(UserWarning, match=r"^1 radiographs are excluded"):
        joined = join([("one", one), ("two", two), ("three", three)]).table
    splits = joined.set_index("image")["split"]
    # By its files b and f, P7 is one's P1 (val) and two's P2 (test).
    assert splits["two/2.png"] == "excluded" and splits["one/1.png"] == "val"
    assert splits[["three/2.png", "three/3.png"]].tolist() == ["val", "test"]


@pytest.mark.parametrize("scanned", [True, False])
def test_two_cohorts_of_one_folder_make_a_manifest_that_can_be_read(
    tmp_path: Path, scanned: bool
) -> None:
    one = _cohort(tmp_path / "films", ("NORMAL", "PNEUMONIA"), "abcd")  # train val test train
    two = _cohort(tmp_path / "films", ("NORMAL", "PNEUMONIA"), "abxy")
    two.table["image"] = ["0.png", "1.png", "8.png", "9.png"]
    two.table["patient"] = ["P0", "P1", "P1", "P9"]
    if not scanned:
        two.table["sha256"] = ""
    with pytest.warns(UserWarning, match="excluded: a shared file"):
        joined = join([("one", one), ("two", two)])
    # 8.png is a test radiograph of a patient whom the first cohort has in val.
    assert joined.table["image"].tolist() == [*one.table["image"], "8.png", "9.png"]
    assert joined.table["split"].tolist() == [*one.table["split"], "excluded", "train"]
    joined.write(tmp_path / "joint.csv")
    assert len(Manifest.read(tmp_path / "joint.csv")) == 6


def test_no_patient_is_excluded_without_a_shared_file(tmp_path: Path) -> None:
    one = _cohort(tmp_path / "one", ("NORMAL", "PNEUMONIA"), "aab")
    two = _cohort(tmp_path / "two", ("NORMAL", "PNEUMONIA"), "ccd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = join([("one", one), ("two", two)])
    assert "excluded" not in set(joined.table["split"])


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
