from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.cohort.tables import read_table
from pneumoscope.errors import CohortError


def _write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "cohort.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_extra_columns_are_kept_untouched(tmp_path: Path) -> None:
    text = 'image,label,age,note\r\na.png, NORMAL ,007," x, ""y"" "\r\n\r\nb.png,PNEUMONIA,,NA\r\n'
    table = read_table(_write(tmp_path, text))
    assert list(table.columns) == ["image", "label", "age", "note"]
    assert table.to_numpy().tolist() == [
        ["a.png", "NORMAL", "007", ' x, "y" '],
        ["b.png", "PNEUMONIA", "", "NA"],
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path, b"\xef\xbb\xbfimage,label\na.png,0\n"))
    assert list(table.columns) == ["image", "label"]


def test_paths_are_normalised(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path, "image,label\n./a//b.png,0\nx\\y.png,1\nu/../v.png,1\n"))
    assert list(table["image"]) == ["a/b.png", "x/y.png", "v.png"]


@pytest.mark.parametrize(
    "content",
    [
        "image;label;note\na.png;0;1,5\n",
        "\ufeffimage;label;note\na.png;0;1,5\n",
        "image\tlabel\tnote\na.png\t0\t1,5\n",
        "sep=;\nimage;label;note\na.png;0;1,5\n",
        'sep=,\r\n\r\nimage,label,note\r\na.png,0,"1,5"\r\n',
    ],
)
def test_the_header_tells_what_separates_the_columns(tmp_path: Path, content: str) -> None:
    table = read_table(_write(tmp_path, content))
    assert list(table.columns) == ["image", "label", "note"]
    assert table.to_numpy().tolist() == [["a.png", "0", "1,5"]]


@pytest.mark.parametrize("name", ["patient_id", "PatientID", "Patient ID", "Patient", "subject_id"])
def test_usual_names_of_patient_and_split(tmp_path: Path, name: str) -> None:
    table = read_table(_write(tmp_path, f"image,label,{name},Split\na.png,0,P1,train\n"))
    assert table["patient"].tolist() == table[name].tolist() == ["P1"]
    assert table["split"].tolist() == ["train"]
    both = read_table(_write(tmp_path, f"image,label,{name},patient,split\na.png,0,P1,P2,val\n"))
    assert both["patient"].tolist() == ["P2"]
    assert both["split"].tolist() == ["val"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "the table is empty"),
        ("\n \n", "the table is empty"),
        ("image,label\n", "no rows"),
        ("image|label\na.png|0\n", "separated by bars"),
        ("image;label;age, years\na.png;0;3\n", "separated by semicolons"),
        ("image;label\na.png,0\n", "line 2 has 1 fields, the header 2"),
        ("Image,label\na.png,0\n", r"column image is missing \(found: Image, label\)"),
        ("file,class\na.png,0\n", "column image and label is missing"),
        ("image,label,age,age\na.png,0,1,1\n", "column age is there twice"),
        ("image,label,\na.png,0,1\n", "a column has no name"),
        ("image,label\na.png\n", "line 2 has 1 fields, the header 2"),
        ("image,label\na.png,0\nb.png,0,1\n", "line 3 has 3 fields, the header 2"),
        ("image,label\na.png,\n", "line 2 has no label"),
        ("image,label\n,0\n", "line 2 names no image"),
        ("image,label\na\0.png,0\n", "line 2 names no image"),
        ("image,label\na.png,0\n\n./a.png,1\n", "lines 2 and 4 name the same image"),
        ("image,label\n/etc/a.png,0\n", "line 2 has an absolute path"),
        ("image,label\nC:\\films\\a.png,0\n", "line 2 has an absolute path"),
        ("image,label\n\\\\host\\share\\a.png,0\n", "line 2 has an absolute path"),
        ("image,label\na/../../b.png,0\n", "leads out of the cohort's folder"),
        ('image,label\n"a.png,0\n', "is not a CSV"),
        (b"image,label\n\xff\xfe.png,0\n", "not UTF-8"),
        ("image,label\na.png,0\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_every_defect_has_its_message(tmp_path: Path, content: str | bytes, problem: str) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(CohortError, match=problem) as caught:
        read_table(path)
    assert caught.value.path == path


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="No such file"):
        read_table(tmp_path / "none.csv")
