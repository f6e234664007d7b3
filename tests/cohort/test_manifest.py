from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pneumoscope.cohort import Manifest
from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.finding_columns import FindingColumns
from pneumoscope.cohort.sidecar import portable_root
from pneumoscope.errors import CohortError, OutputError

from .films import film, save, save_dicom


def _manifest(root: Path, splits: str = "train train val test excluded") -> Manifest:
    names = splits.split()
    labels = ["PNEUMONIA" if k % 2 else "NORMAL" for k in range(len(names))]
    table = pd.DataFrame(
        {
            "image": [f"{label}/{k},é.png" for k, label in enumerate(labels)],
            "label": labels,
            "patient": [f"00{k}" for k in range(len(names))],
            "split": names,
            "sha256": ["ab"] * len(names),
            "width": range(len(names)),
            "height": 7,
            "age": ["007", "", "NA", " 4", "5"][: len(names)],
        }
    )
    return Manifest(table, root, ("NORMAL", "PNEUMONIA"), 9)


def test_written_and_read_again_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    before = _manifest(tmp_path / "data")
    before.write(tmp_path / "out" / "cohort.csv")
    after = Manifest.read(tmp_path / "out" / "cohort.csv")
    pd.testing.assert_frame_equal(after.table, before.table, check_dtype=False)
    assert (after.root, after.labels, after.seed) == (before.root, before.labels, 9)
    assert after.digest() == before.digest()
    assert after.table["width"].to_numpy().dtype.kind == "i"
    content = json.loads((tmp_path / "out" / "cohort.json").read_text())
    assert content == {
        "version": 1,
        "name": "cohort",
        "root": "../data",
        "labels": ["NORMAL", "PNEUMONIA"],
        "seed": 9,
    }


def test_cohort_and_manifest_move_together(tmp_path: Path) -> None:
    save(tmp_path / "a" / "NORMAL" / "0,é.png", film(1))
    _manifest(tmp_path / "a", "train").write(tmp_path / "a" / "cohort.csv")
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = Manifest.read(tmp_path / "b" / "cohort.csv")
    assert moved.paths()[0].is_file()
    assert moved.root == tmp_path / "b"


def test_a_far_root_is_stored_absolute(tmp_path: Path) -> None:
    assert portable_root(tmp_path, tmp_path) == "."
    assert portable_root(tmp_path / "data", tmp_path / "runs" / "one") == "../../data"
    far = portable_root(tmp_path / "data", tmp_path / "a" / "b" / "c" / "d")
    assert far == (tmp_path / "data").as_posix()
    assert portable_root(Path("/srv/films"), Path("/home/me")) == "/srv/films"


def test_subsets_targets_and_patients(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    assert len(manifest) == 5
    assert len(manifest.subset("all")) == 4
    train = manifest.subset("train")
    assert train.targets().tolist() == [0, 1]
    assert train.targets().dtype == np.int64
    assert train.patients() == ["000", "001"]
    assert train.paths()[1] == tmp_path / "PNEUMONIA" / "1,é.png"
    assert list(train.table.index) == [0, 1]
    # One label only, but both labels stay known.
    assert manifest.subset("val").labels == ("NORMAL", "PNEUMONIA")
    with pytest.raises(CohortError, match="no split 'tests'"):
        manifest.subset("tests")
    with pytest.raises(CohortError, match="'val' is empty"):
        train.subset("val")


def test_the_digest_sees_the_data_and_nothing_else(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    table = manifest.table
    reference = manifest.digest()
    same = replace(manifest, table=table[::-1].assign(age="x"), root=tmp_path / "z", seed=1)
    assert same.digest() == reference
    changes = {"label": "NORMAL", "patient": "other", "split": "test", "sha256": "cd"}
    for column, value in changes.items():
        changed = table.copy()
        changed.loc[1, column] = value
        assert replace(manifest, table=changed).digest() != reference, column


def test_the_digest_computes_missing_file_digests(tmp_path: Path) -> None:
    save(tmp_path / "a.png", film(1))
    save(tmp_path / "b.png", film(2))
    (tmp_path / "c.csv").write_text("image,label,patient\na.png,NORMAL,1\nb.png,PNEUMONIA,2\n")
    manifest = Manifest.read(tmp_path / "c.csv")
    before = manifest.digest()
    save(tmp_path / "b.png", film(3))
    assert manifest.digest() != before
    (tmp_path / "b.png").unlink()
    with pytest.raises(CohortError, match="No such file"):
        manifest.digest()


def test_a_plain_csv_gets_patients_splits_and_labels(tmp_path: Path) -> None:
    lines = [f"NORMAL/IM-{k:04d}-0001.jpeg,NORMAL" for k in range(20)]
    lines += [f"P/person{k}_virus_{v}.jpeg,PNEUMONIA" for k in range(40) for v in range(2)]
    path = tmp_path / "plain.csv"
    path.write_text("image,label\n" + "\n".join(lines) + "\n")
    manifest = Manifest.read(path)
    table = manifest.table
    assert manifest.labels == ("NORMAL", "PNEUMONIA")
    assert manifest.root == tmp_path
    assert table["patient"].iloc[0] == "IM-0000"
    assert table["patient"].nunique() == 60
    assert (table.groupby("patient")["split"].nunique() == 1).all()
    patients = table.drop_duplicates("patient")
    counts = patients.groupby(["label", "split"]).size().to_dict()
    assert counts["NORMAL", "train"] == 14
    assert counts["PNEUMONIA", "train"] == 28
    assert counts["PNEUMONIA", "val"] == counts["PNEUMONIA", "test"] == 6
    assert set(table["sha256"]) == {""}
    assert set(table["width"]) == {0}


def test_unknown_patients_are_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("image,label,patient\na.png,NORMAL,\nb.png,PNEUMONIA,7\n")
    with pytest.warns(UserWarning, match="patient of 1 of 2 radiographs is not known"):
        manifest = Manifest.read(path)
    assert manifest.patients() == ["file:a.png", "7"]


def test_dicom_patients_are_hashed(tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", film(1), "MRN-QX47")
    save_dicom(tmp_path / "b.dcm", film(2), "MRN-QX47")
    path = tmp_path / "c.csv"
    path.write_text("image,label\na.dcm,NORMAL\nb.dcm,PNEUMONIA\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manifest = Manifest.read(path)
    assert len(set(manifest.patients())) == 1
    manifest.write(tmp_path / "out.csv")
    assert "QX47" not in (tmp_path / "out.csv").read_text()


def test_split_names_are_understood_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    rows = "image,label,patient,split\na.png,NORMAL,1,Train\nb.png,PNEUMONIA,2,{}\n"
    path.write_text(rows.format("valid"))
    assert list(Manifest.read(path).table["split"]) == ["train", "val"]
    for wrong in ("fold3", ""):
        path.write_text(rows.format(wrong))
        with pytest.raises(CohortError, match="unknown splits") as caught:
            Manifest.read(path)
        assert caught.value.path == path


def test_labels_of_the_sidecar_and_positive(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("image,label,patient\na.png,A,1\nb.png,B,2\n")
    with pytest.raises(CohortError, match="--positive"):
        Manifest.read(path)
    assert Manifest.read(path, choice=Choice(positive="A")).labels == ("B", "A")
    (tmp_path / "c.json").write_text('{"root": ".", "labels": ["A", "B"]}')
    assert Manifest.read(path).labels == ("A", "B")
    assert Manifest.read(path, choice=Choice(positive="A")).labels == ("B", "A")
    (tmp_path / "c.json").write_text('{"root": ".", "labels": ["A", "C"]}')
    with pytest.raises(CohortError, match="labels \\(B\\) other than A and C"):
        Manifest.read(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "cannot be read"),
        ('{"version": 2, "root": "."}', "version 2"),
        ('{"version": 1, "root": ".", "labels": ["A"]}', "two labels"),
        ('{"version": 1, "root": ".", "labels": ["A", "A"]}', "two labels"),
        ('{"version": 1, "root": 3}', "needs a root"),
        ('{"version": 1, "root": ".", "seed": "x"}', "a seed"),
    ],
)
def test_a_damaged_sidecar_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "c.csv").write_text("image,label,patient\na.png,NORMAL,1\nb.png,PNEUMONIA,2\n")
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(CohortError, match=problem):
        Manifest.read(tmp_path / "c.csv")


def test_a_scanned_table_copied_without_its_sidecar_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "data" / "NORMAL" / "0,é.png", film(1))
    _manifest(tmp_path / "data").write(tmp_path / "out" / "cohort.csv")
    shutil.copy(tmp_path / "out" / "cohort.csv", tmp_path / "out" / "edited.csv")
    for foreign in (None, '{"images": []}'):
        if foreign is not None:
            (tmp_path / "out" / "edited.json").write_text(foreign)
        with pytest.raises(CohortError, match=r"edited\.json of the scan") as caught:
            Manifest.read(tmp_path / "out" / "edited.csv")
        assert caught.value.path == tmp_path / "out" / "edited.csv"
    assert Manifest.read(tmp_path / "out" / "edited.csv", images=tmp_path / "data").root
    # Beside its radiographs, of which one is left, it needs no sidecar.
    shutil.copy(tmp_path / "out" / "cohort.csv", tmp_path / "data" / "edited.csv")
    assert len(Manifest.read(tmp_path / "data" / "edited.csv")) == 5


@pytest.mark.parametrize(
    "content",
    [
        '{"labels": 3}',
        '{"version": "1.0", "images": []}',
        '{"version": 2, "images": []}',
        '{"version": "1.0", "root": "elsewhere"}',
        '{"version": true, "root": "elsewhere"}',
        '["root"]',
    ],
)
def test_a_json_file_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.csv").write_text("image,label,patient\na.png,NORMAL,1\nb.png,PNEUMONIA,2\n")
    (tmp_path / "c.json").write_text(content)
    assert Manifest.read(tmp_path / "c.csv").root == tmp_path


@pytest.mark.parametrize(
    ("choice", "lesions", "option"),
    [
        (Choice(label_column="age"), True, "--label-column"),
        (Choice(negative="NORMAL"), True, "--negative"),
        (Choice(findings=FindingColumns.parse("age")), True, "--findings"),
        (Choice(readers="majority"), False, "--readers"),
        (Choice(positive="A|B"), False, "--positive with several labels"),
    ],
)
def test_a_scanned_table_is_not_sorted_again(
    tmp_path: Path, choice: Choice, lesions: bool, option: str
) -> None:
    _manifest(tmp_path).write(tmp_path / "c.csv")
    problem = rf"c\.csv: was scanned already .*, so {option} changes nothing.*original table again"
    with pytest.raises(CohortError, match=problem):
        Manifest.read(tmp_path / "c.csv", choice=choice, lesions=lesions)


def test_what_may_be_meant_for_lesions_is_allowed(tmp_path: Path) -> None:
    _manifest(tmp_path).write(tmp_path / "c.csv")
    for choice in (Choice(positive="A|B", readers="R1"), Choice(positive="PNEUMONIA")):
        read = Manifest.read(tmp_path / "c.csv", choice=choice)
        assert read.labels == ("NORMAL", "PNEUMONIA") and len(read) == 5


def test_patients_in_two_splits_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    head = "image,label,patient,split\na.png,NORMAL,1,train\nb.png,PNEUMONIA,2,test\n"
    path.write_text(head + "c.png,NORMAL,1,excluded\nd.png,PNEUMONIA,2,test\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Manifest.read(path)
    path.write_text(head + "c.png,NORMAL,1,val\nd.png,PNEUMONIA,3,test\n")
    with pytest.warns(UserWarning, match=r"c\.csv: 1 of 3 patients are in two or more splits"):
        Manifest.read(path)


def test_bad_sizes_columns_and_roots(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("image,label,patient,width\na.png,NORMAL,1,12.5\nb.png,PNEUMONIA,2,3\n")
    with pytest.raises(CohortError, match="column width holds '12\\.5'"):
        Manifest.read(path)
    with pytest.raises(CohortError, match="lacks the columns split"):
        replace(_manifest(tmp_path), table=_manifest(tmp_path).table.drop(columns="split"))
    with pytest.raises(CohortError, match="does not exist"):
        _manifest(tmp_path / "gone").paths()


def test_writing_where_one_cannot(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    with pytest.raises(CohortError, match="a manifest is a CSV"):
        manifest.write(tmp_path / "cohort.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        manifest.write(tmp_path / "file" / "cohort.csv")


def test_labels_may_be_written_in_other_case(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("image,label,patient\na.png,normal,1\nb.png,Pneumonia,2\nc.png,normal,3\n")
    found = Manifest.read(path).labelled(("NORMAL", "PNEUMONIA"))
    assert found.labels == ("NORMAL", "PNEUMONIA") and found.targets().tolist() == [0, 1, 0]
    assert list(found.table["label"]) == ["NORMAL", "PNEUMONIA", "NORMAL"]
    other = Manifest.read(path).labelled(("NORMAL", "COVID"))
    assert other.labels == ("normal", "Pneumonia")


def test_a_folder_of_radiographs_is_to_be_scanned(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"is a folder and no manifest.*pneumoscope scan"):
        Manifest.read(tmp_path)


def test_weights_are_numbers_above_zero(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["NORMAL", "PNEUMONIA"]})
    (tmp_path / "plain.csv").write_text(table.to_csv(index=False))
    assert Manifest.read(tmp_path / "plain.csv").weights() is None
    table["weight"] = ["", "0.5"]
    (tmp_path / "weighed.csv").write_text(table.to_csv(index=False))
    weights = Manifest.read(tmp_path / "weighed.csv").weights()
    assert weights is not None and weights.tolist() == [1.0, 0.5]
    for wrong in ("0", "-1", "much", "inf"):
        table["weight"] = ["", wrong]
        (tmp_path / "wrong.csv").write_text(table.to_csv(index=False))
        with pytest.raises(CohortError, match=r"the weight of b\.png"):
            Manifest.read(tmp_path / "wrong.csv").weights()
