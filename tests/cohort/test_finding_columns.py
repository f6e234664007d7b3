"""Several findings as columns of a manifest: what tables and folders say of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pneumoscope.cohort import Manifest, ScanSettings, scan
from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.cohorts import NO_FILE, NOTHING_KNOWN, cohort_rows
from pneumoscope.cohort.formats.finding_columns import FindingColumns
from pneumoscope.errors import CohortError, SettingsError
from pneumoscope.workflow import read_cohort
from tests.cohort.films import film, save
from tests.cohort.test_field_tables import CHEXPERT, NIH, NIH_BOXES, VINDR, VINDR_LABELS, lay


def cells(path: Path, findings: str, **choice: str) -> dict[str, str]:
    """Per image its cells, joined by `,`, and then its label."""
    wanted = FindingColumns.parse(findings)
    rows = cohort_rows(path, Choice(findings=wanted, **choice), path.parent)
    assert rows is not None
    columns = [*wanted.columns, "label"]
    told = rows.table[columns].agg(",".join, axis=1)
    return {Path(image).stem: text for image, text in zip(rows.table.image, told, strict=True)}


def test_silence_of_a_list_is_absence(tmp_path: Path) -> None:
    names = ("00000001_000", "00000001_001", "00000002_000")
    path = lay(tmp_path, "entry.csv", NIH, *(f"{name}.png" for name in names))
    assert cells(path, "Heart=cardiomegaly,Other=Emphysema|Pneumonia") == {
        "00000001_000": "1,0,finding",
        "00000001_001": "1,1,finding",
        "00000002_000": "0,0,no finding",
    }
    rows = cohort_rows(path, Choice(findings=FindingColumns.parse("Pneumonia")), tmp_path)
    assert rows is not None and rows.left_out == {NO_FILE: 1}
    assert rows.format.endswith("(Data_Entry_2017.csv); findings: Pneumonia")


def test_silence_of_a_list_of_boxes_says_nothing(tmp_path: Path) -> None:
    path = lay(tmp_path, "boxes.csv", NIH_BOXES, "00013118_008.png", "00014716_007.png")
    assert cells(path, "Atelectasis,Pneumonia") == {
        "00013118_008": "1,,finding",
        "00014716_007": ",1,finding",
    }


def test_an_empty_or_uncertain_cell_says_nothing(tmp_path: Path) -> None:
    images = [line.split(",")[0] for line in CHEXPERT.splitlines()[1:]]
    path = lay(tmp_path, "train.csv", CHEXPERT, *images)
    wanted = FindingColumns.parse("Lung Opacity,Consolidation,Pneumonia")
    rows = cohort_rows(path, Choice(findings=wanted), tmp_path)
    assert rows is not None
    assert rows.left_out == {"that are lateral views": 1, NOTHING_KNOWN: 1}
    told = rows.table[list(wanted.columns)].agg(",".join, axis=1)
    # The first states that there is no finding; the third leaves pneumonia open.
    assert list(told) == ["0,0,0", "1,,1", "1,,"]


def test_several_readers(tmp_path: Path) -> None:
    path = lay(tmp_path, "vindr.csv", VINDR, *(f"f{number}.png" for number in range(4)))
    findings = "Opacity=Lung Opacity|Consolidation,Cardiomegaly"
    assert cells(path, findings) == {
        "f0": "0,0,no finding", "f1": "1,0,finding", "f2": "1,1,finding", "f3": "0,1,finding",
    }  # fmt: skip
    assert cells(path, findings, readers="majority") == {
        "f0": "0,0,no finding", "f1": "0,0,no finding", "f2": "1,0,finding", "f3": "0,1,finding",
    }  # fmt: skip
    assert cells(path, findings, readers="R1")["f2"] == "1,0,finding"
    wide = lay(tmp_path / "w", "train.csv", VINDR_LABELS, "g0.png", "g1.png", "g2.png")
    assert cells(wide, "Pneumonia,Other disease") == {
        "g0": "0,0,no finding", "g1": "1,0,finding", "g2": "0,1,finding",
    }  # fmt: skip


def test_plain_tables_by_list_by_class_and_by_column(tmp_path: Path) -> None:
    listed = lay(tmp_path, "a.csv", "image,label\n1.png,a|b\n2.png,none\n", "1.png", "2.png")
    assert cells(listed, "a,b") == {"1": "1,1,finding", "2": "0,0,no finding"}
    wide = tmp_path / "b.csv"
    wide.write_text("image,label,a,b\n1.png,x,1,\n2.png,y,0,-1\n")
    assert cells(wide, "a,b") == {"1": "1,,finding", "2": "0,,no finding"}
    wide.write_text("image,label,a,b\n1.png,PNEUMONIA,1,0\n2.png,NORMAL,0,0\n")
    assert cells(wide, "a,b") == {"1": "1,0,finding", "2": "0,0,no finding"}
    with pytest.raises(CohortError, match=r"no finding 'c'.*among its findings: a, b, none"):
        cells(listed, "a,c")


def test_label_folders(tmp_path: Path) -> None:
    for number, label in enumerate(("NORMAL", "BACTERIA", "VIRUS") * 3):
        save(tmp_path / label / f"{number}.png", film(number))
    found = scan(tmp_path, ScanSettings(findings="bacteria,VIRUS,Any=bacteria|virus"))
    table = found.manifest.table.set_index("image")
    assert found.manifest.labels == ("no finding", "finding")
    rows = table.loc[["NORMAL/0.png", "BACTERIA/1.png", "VIRUS/2.png"]]
    assert rows[["bacteria", "VIRUS", "Any", "label"]].agg(",".join, axis=1).to_list() == [
        "0,0,0,no finding",
        "1,0,1,finding",
        "0,1,1,finding",
    ]
    with pytest.raises(CohortError, match=r"no label folder 'TB'.*BACTERIA, NORMAL, VIRUS"):
        scan(tmp_path, ScanSettings(findings="TB"))


def test_a_manifest_of_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    lines = [f"{number}.png,{number % 2},{'' if number == 3 else number // 2}" for number in (0, 1)]
    lines += ["2.png,0,-1", "3.png,1,"]
    path.write_text("\n".join(["image,a,b", *lines]))
    for number in range(4):
        save(tmp_path / f"{number}.png", film(number))
    scan(path, ScanSettings(findings="a,b")).manifest.write(tmp_path / "cohort.csv")
    cohort = Manifest.read(tmp_path / "cohort.csv")
    assert cohort.states(["a", "b"]).tolist() == [[0, 0], [1, 0], [0, -1], [1, -1]]
    one = cohort.of_finding("a")
    assert one.labels == ("no a", "a") and one.targets().tolist() == [0, 1, 0, 1]
    assert len(cohort.of_finding("b")) == 2
    # A model of this finding measures on this column, any other on the label.
    assert cohort.labelled(("no a", "a")).targets().tolist() == [0, 1, 0, 1]
    for labels in (cohort.labels, ("NORMAL", "a"), ("no c", "c"), ("no split", "split")):
        assert cohort.labelled(labels) is cohort
    assert np.array_equal(one.labelled(one.labels).targets(), one.targets())
    with pytest.raises(CohortError, match=r"no column of a finding 'label'.*among a, b"):
        cohort.states(["label"])
    cohort.table.loc[0, "a"] = "maybe"
    with pytest.raises(CohortError, match="'maybe' does not say whether a finding is present"):
        cohort.states(["a"])
    cohort.table["a"] = ""
    with pytest.raises(CohortError, match="a is not known of any radiograph"):
        cohort.of_finding("a")


@pytest.mark.parametrize("text", ["", "a,", "a|b", "=b", "a=", "a,a", "split"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match=r"names no finding|is there already"):
        FindingColumns.parse(text)


def test_findings_have_no_single_positive_label() -> None:
    with pytest.raises(SettingsError, match="no single positive and negative label"):
        ScanSettings(findings="a", positive="b")


def test_a_table_read_as_a_cohort_has_the_columns(tmp_path: Path) -> None:
    path = lay(tmp_path, "entry.csv", NIH, "00000001_001.png", "00000002_000.png")
    cohort = read_cohort(path, findings="Emphysema,Opacity=Pneumonia|Infiltration")
    assert cohort.states(["Emphysema", "Opacity"]).tolist() == [[1, 0], [0, 0]]
    assert cohort.labels == ("no finding", "finding") and len(cohort) == 2
