"""Tables of the field as cohorts: recognised by content, findings sorted into two labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.cohort import Manifest, ScanSettings, scan
from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.cohorts import NEITHER, NO_FILE, cohort_rows
from pneumoscope.errors import CohortError
from tests.cohort.films import film, save

RSNA = """patientId,x,y,width,height,Target
aa-1,,,,,0
bb-2,264.0,152.0,213.0,379.0,1
bb-2,562.0,152.0,256.0,453.0,1
cc-3,,,,,0
"""
RSNA_CLASSES = """patientId,class
aa-1,No Lung Opacity / Not Normal
bb-2,Lung Opacity
bb-2,Lung Opacity
cc-3,Normal
"""
NIH_BOXES = """Image Index,Finding Label,Bbox [x,y,w,h],,,
00013118_008.png,Atelectasis,225.08,547.01,86.77,79.18,,,
00014716_007.png,Pneumonia,686.10,131.54,185.49,313.49,,,
"""
NIH = """Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,OriginalImage[Width,Height]
00000001_000.png,Cardiomegaly,0,1,58,2682,2749
00000001_001.png,Cardiomegaly|Emphysema,1,1,58,2894,2729
00000002_000.png,No Finding,0,2,81,2500,2048
00000003_001.png,Infiltration|Pneumonia,1,3,74,2638,2446
"""
VINDR = """image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max
f0,No finding,14,R1,,,,
f0,No finding,14,R2,,,,
f0,No finding,14,R3,,,,
f1,Lung Opacity,7,R1,691,1375,1653,1831
f1,No finding,14,R2,,,,
f1,No finding,14,R3,,,,
f2,Consolidation,4,R1,10,20,30,50
f2,Consolidation,4,R2,11,21,31,51
f2,Cardiomegaly,3,R3,11,21,31,51
f3,Cardiomegaly,3,R1,10,20,30,50
f3,Cardiomegaly,3,R2,10,20,30,50
f3,Cardiomegaly,3,R3,10,20,30,50
"""
VINDR_LABELS = """image_id,rad_id,Consolidation,Lung Opacity,Pneumonia,Other disease,No finding
g0,R1,0,0,0,0,1
g1,R1,0,0,1,0,0
g2,R1,0,0,0,1,0
"""
SIIM_IMAGES = """id,boxes,label,StudyInstanceUID
x1_image,"[{'x': 7.5, 'y': 5.0, 'width': 10.0, 'height': 20.0}]",opacity 1 7.5 5 17.5 25,s1
x2_image,,none 1 0 0 1 1,s2
x3_image,,none 1 0 0 1 1,s1
"""
SIIM_STUDIES = """id,Negative for Pneumonia,Typical Appearance,Indeterminate Appearance,\
Atypical Appearance
s1_study,0,1,0,0
s2_study,1,0,0,0
"""
CHEXPERT = """Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Lung Opacity,Consolidation,Pneumonia
CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,
CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Female,87,Frontal,AP,,1.0,-1.0,1.0
CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Female,87,Lateral,,,1.0,-1.0,1.0
CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Male,41,Frontal,PA,,1.0,,-1.0
CheXpert-v1.0-small/train/patient00004/study1/view1_frontal.jpg,Male,20,Frontal,PA,,,,
"""


def lay(folder: Path, name: str, text: str, *images: str) -> Path:
    """A table, and empty files where it expects radiographs."""
    for image in images:
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / name).write_text(text)
    return folder / name


def labels(path: Path, choice: Choice | None = None) -> dict[str, str]:
    rows = cohort_rows(path, choice or Choice(), path.parent)
    assert rows is not None
    return dict(zip(rows.table["image"], rows.table["label"], strict=True))


def test_rsna_with_its_classes(tmp_path: Path) -> None:
    path = lay(tmp_path, "labels.csv", RSNA, "t/aa-1.dcm", "t/bb-2.dcm", "t/cc-3.dcm")
    known = {"t/aa-1.dcm": "NORMAL", "t/bb-2.dcm": "PNEUMONIA", "t/cc-3.dcm": "NORMAL"}
    assert labels(path) == known
    with pytest.raises(CohortError, match=r"no finding 'Normal'.*No Lung Opacity"):
        labels(path, Choice(negative="Normal"))
    classes = lay(tmp_path, "info.csv", RSNA_CLASSES)
    assert labels(classes) == known
    assert labels(path) == known
    assert labels(path, Choice(negative="Normal")) == {
        "t/bb-2.dcm": "PNEUMONIA",
        "t/cc-3.dcm": "NORMAL",
    }
    rows = cohort_rows(path, Choice(negative="Normal"), tmp_path)
    assert rows is not None and rows.left_out == {NEITHER: 1}
    assert list(rows.table["class"]) == ["Lung Opacity", "Normal"]


def test_nih_by_finding(tmp_path: Path) -> None:
    images = [f"images_001/images/{name}.png" for name in ("00000001_000", "00000002_000")]
    path = lay(tmp_path, "entry.csv", NIH, *images, "images_002/images/00000003_001.png")
    found = cohort_rows(path, Choice(), tmp_path)
    assert found is not None and found.left_out == {NEITHER: 2}
    assert labels(path) == {
        images[1]: "NORMAL",
        "images_002/images/00000003_001.png": "PNEUMONIA",
    }
    # The file name has the patient's number with all its zeros, which other tables share.
    assert list(Manifest.read(path).table["patient"]) == ["00000002", "00000003"]
    heart = Choice(positive="Cardiomegaly|Effusion", negative="no finding")
    found = cohort_rows(path, heart, tmp_path)
    assert found is not None and found.left_out == {NEITHER: 1, NO_FILE: 1}
    assert labels(path, heart) == {images[0]: "PNEUMONIA", images[1]: "NORMAL"}


def test_a_list_of_boxes_is_a_cohort_of_positives(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    for name in ("00014716_007", "00013118_008"):
        save(tmp_path / f"{name}.png", film(1))
    path.write_text(NIH_BOXES)
    both = ScanSettings(positive="Pneumonia|Lung Opacity", negative="No Finding")
    assert list(scan(path, both).manifest.targets()) == [1]
    result = scan(path)
    assert result.manifest.labels == ("NORMAL", "PNEUMONIA")
    assert list(result.manifest.table["image"]) == ["00014716_007.png"]
    assert list(result.manifest.targets()) == [1]
    assert result.audit.left_out == {NEITHER: 1}
    assert (f"left out {NEITHER}", "1") in result.audit.summary()
    recognised = "NIH's list of boxes (BBox_List_2017.csv); positive: Pneumonia"
    assert result.audit.to_dict()["recognised"] == recognised


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        ("union", {"f0": "NORMAL", "f1": "PNEUMONIA", "f2": "PNEUMONIA"}),
        ("majority", {"f0": "NORMAL", "f1": "NORMAL", "f2": "PNEUMONIA"}),
        ("R2", {"f0": "NORMAL", "f1": "NORMAL", "f2": "PNEUMONIA"}),
        ("R3", {"f0": "NORMAL", "f1": "NORMAL"}),
    ],
)
def test_vindr_by_readers(tmp_path: Path, readers: str, expected: dict[str, str]) -> None:
    path = lay(tmp_path, "train.csv", VINDR, *(f"train/f{n}.dicom" for n in range(4)))
    found = labels(path, Choice(readers=readers))
    assert {Path(image).stem: label for image, label in found.items()} == expected
    with pytest.raises(CohortError, match=r"no reader 'R9'.*R1, R2, R3"):
        labels(path, Choice(readers="R9"))


def test_vindr_labels_siim_and_chexpert(tmp_path: Path) -> None:
    path = lay(tmp_path / "v", "image_labels.csv", VINDR_LABELS, "g0.png", "g1.png", "g2.png")
    assert labels(path) == {"g0.png": "NORMAL", "g1.png": "PNEUMONIA"}
    films = [f"s1/u/{name}.png" for name in ("x1", "x2", "x3")]
    path = lay(tmp_path / "s", "train_image_level.csv", SIIM_IMAGES, *films)
    assert labels(path) == {films[0]: "PNEUMONIA"}  # no table of studies, no negatives
    studies = lay(tmp_path / "s", "train_study_level.csv", SIIM_STUDIES)
    for table in (path, studies):
        assert labels(table) == dict(zip(films, ["PNEUMONIA", "NORMAL", "PNEUMONIA"], strict=True))
    path.unlink()
    with pytest.raises(CohortError, match=r"SIIM's table of studies.*Put train_image_level.csv"):
        labels(studies)
    films = [line.split(",")[0] for line in CHEXPERT.splitlines()[1:]]
    path = lay(tmp_path / "c", "train.csv", CHEXPERT, *films)
    found = cohort_rows(path, Choice(), tmp_path / "c")
    assert found is not None
    assert found.left_out == {"that are lateral views": 1, NEITHER: 2}
    assert labels(path) == {films[0]: "NORMAL", films[1]: "PNEUMONIA"}
    assert list(Manifest.read(path).table["patient"]) == ["patient00001", "patient00002"]
    # The table may also lie inside the folder that its paths begin with.
    inside = lay(tmp_path / "d", "train.csv", CHEXPERT, films[0].split("/", 2)[2])
    assert list(labels(inside).values()) == ["NORMAL"]


@pytest.mark.parametrize(
    ("header", "no", "yes"),
    [
        ("label", "0", "1"),
        ("label", "no", "Yes"),
        ("label", "False", "True"),
        ("label", "0.0", "1.0"),
    ],
)
def test_truth_values_are_labels(tmp_path: Path, header: str, no: str, yes: str) -> None:
    path = lay(tmp_path, "a.csv", f"image,{header},patient\na,{no},1\nb/b.png,{yes},2\n", "a.png")
    manifest = Manifest.read(path)
    assert manifest.labels == ("NORMAL", "PNEUMONIA")
    assert list(manifest.table["image"]) == ["a.png", "b/b.png"]
    assert list(manifest.targets()) == [0, 1]
    again = Manifest.read(path, choice=Choice(positive=yes))
    assert again.labels == ("NORMAL", "PNEUMONIA") and list(again.targets()) == [0, 1]
    # Findings that are chosen for the annotations are no labels of a manifest that has been made.
    manifest.write(tmp_path / "made.csv")
    made = Manifest.read(tmp_path / "made.csv", choice=Choice(positive="Lung Opacity|Mass"))
    assert made.labels == manifest.labels and list(made.targets()) == [0, 1]


def test_any_table_by_column_and_words(tmp_path: Path) -> None:
    text = "file_name,dx,age\na.png,viral,3\nb.png,bacterial,4\nc.png,clear,5\nd.png,TB,6\n"
    path = lay(tmp_path, "t.csv", text, "x/a.png", "x/b.png", "x/c.png", "x/d.png")
    with pytest.raises(CohortError, match="--label-column"):
        labels(path)
    choice = Choice(positive="Viral|Bacterial", negative="clear", label_column="dx")
    assert labels(path, choice) == {
        "x/a.png": "PNEUMONIA",
        "x/b.png": "PNEUMONIA",
        "x/c.png": "NORMAL",
    }
    rows = cohort_rows(path, choice, tmp_path)
    assert rows is not None and rows.left_out == {NEITHER: 1}
    assert list(rows.table["age"]) == ["3", "4", "5"]
    with pytest.raises(CohortError, match=r"without a column 'dy'.*found: file_name, dx, age"):
        labels(path, Choice(label_column="dy"))
    # One column for each finding, as many tables have.
    wide = lay(tmp_path, "w.csv", "image,pneumonia,fracture\na,1,0\nb,0,1\nc,,1\n")
    assert labels(wide, Choice(positive="Pneumonia")) == {
        "x/a.png": "PNEUMONIA",
        "x/b.png": "NORMAL",
    }


def plain(folder: Path, text: str) -> Path:
    """A plain table of the radiographs a.png to e.png."""
    return lay(folder, "plain.csv", text, *(f"{name}.png" for name in "abcde"))


@pytest.mark.parametrize(
    ("header", "rows", "problem"),
    [
        ("Image,Label", "a,PNEUMONIA b, c,NORMAL", "line 3 has no label"),
        ("filename,label", "a,PNEUMONIA b,nan c,NORMAL", "line 3 has no label"),
        ("Image,Label", "a,1 b, c,0", "line 3 has no label"),
        ("Image,Label", "a,1 b,2 c,0", r"3 labels are present \(0, 1, 2\)"),
        ("Image,Label", "a,1 b,NA c,0", r"3 labels are present \(0, 1, NA\)"),
        ("Image,Label", "a,NORMAL b,-1 c,PNEUMONIA", "3 labels are present"),
        ("Image,Label", "a,PNEUMONIA b,-1", "not clear whether '-1' is a label"),
        ("image,label", "a,PNEUMONIA b,NA", "not clear whether 'NA' is a label"),
        ("Image,Label", "a,PNEUMONIA b,NORMAL a,NORMAL", "lines 2 and 4 name the same image"),
        ("Image,Label", "a,1 b,0 ./a,0", "lines 2 and 4 name the same image"),
        ("Image,Label", "a,1 b,0 a.png,0", r"a and a\.png name the same image"),
        ("image,label", "a,1 b,0 a.png,0", r"a and a\.png name the same image"),
    ],
)
def test_a_label_that_is_not_clear_is_refused(
    tmp_path: Path, header: str, rows: str, problem: str
) -> None:
    path = plain(tmp_path, "\n".join([header, *rows.split(), ""]))
    with pytest.raises(CohortError, match=problem):
        Manifest.read(path)
    with pytest.raises(CohortError, match=problem):
        scan(path)


def test_a_chosen_column_is_as_strict(tmp_path: Path) -> None:
    path = plain(tmp_path, "image,label,dx\na,1,sick\nb,,well\nc,0,\n")
    for column, line in (("label", 3), ("dx", 4)):
        with pytest.raises(CohortError, match=f"line {line} has no label"):
            labels(path, Choice(label_column=column))
    # Of sorted labels a blank is left out and counted, whatever side is named.
    for positive in ("sick", None):
        choice = Choice(positive, "well", label_column="dx")
        assert labels(path, choice) == {"a.png": "PNEUMONIA", "b.png": "NORMAL"}
        found = cohort_rows(path, choice, tmp_path)
        assert found is not None and found.left_out == {NEITHER: 1}


def test_uncertain_truth_values_are_left_out(tmp_path: Path) -> None:
    path = plain(tmp_path, "Image,Label\na,1\nb,-1\nc,0\n")
    known = {"a.png": "PNEUMONIA", "c.png": "NORMAL"}
    for choice in (Choice(), Choice(positive="1"), Choice(positive="1", negative="0")):
        assert labels(path, choice) == known
        found = cohort_rows(path, choice, tmp_path)
        assert found is not None and found.left_out == {NEITHER: 1}
    # A third number is of neither side, if somebody says which are which.
    path = plain(tmp_path, "Image,Label\na,1\nb,2\nc,0\n")
    assert labels(path, Choice(positive="1", negative="0")) == known
    every = plain(tmp_path, "Image,Label\na,1\nb,1\n")
    assert list(Manifest.read(every).targets()) == [1, 1]


def test_one_positive_label_says_which_of_two(tmp_path: Path) -> None:
    path = plain(tmp_path, "Image,Label\na,TB\nb,effusion\n")
    with pytest.raises(CohortError, match="cannot tell which label is positive"):
        Manifest.read(path)
    manifest = Manifest.read(path, choice=Choice(positive="tb"))
    assert manifest.labels == ("effusion", "TB") and list(manifest.targets()) == [1, 0]
    with pytest.raises(CohortError, match="no reader 'R1'"):
        Manifest.read(path, choice=Choice(positive="tb", readers="R1"))
    # Also against what the words mean; a column of findings has no labels of its own.
    path = plain(tmp_path, "Image,Label\na,NORMAL\nb,PNEUMONIA\n")
    for choice, order in ((Choice(), 1), (Choice(positive="normal"), -1)):
        assert Manifest.read(path, choice=choice).labels == ("NORMAL", "PNEUMONIA")[::order]
    path = plain(tmp_path, "Image,Normal,Mass\na,1,0\nb,0,1\n")
    manifest = Manifest.read(path, choice=Choice(positive="Normal"))
    assert manifest.labels == ("NORMAL", "PNEUMONIA") and list(manifest.targets()) == [1, 0]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # One finding: what has neither box nor label is without it.
        ("a,mass,1,1,2,2 b,,,,,", {"a.png": "mass", "b.png": "NORMAL"}),
        ("a,,1,1,2,2 b,,,,,", {"a.png": "PNEUMONIA", "b.png": "NORMAL"}),
        # Several labels, or numbers: a blank is not known.
        ("a,sick,1,1,2,2 b,,,,, c,well,,,,", {"a.png": "sick", "c.png": "well"}),
        ("a,1,1,1,2,2 b,,,,, c,0,,,,", {"a.png": "PNEUMONIA", "c.png": "NORMAL"}),
        ("a,1,1,1,2,2 a,1,5,5,2,2 b,nan,nan,nan,nan,nan c,0,,,,",
         {"a.png": "PNEUMONIA", "c.png": "NORMAL"}),
    ],
)  # fmt: skip
def test_blank_labels_of_a_list_of_boxes(
    tmp_path: Path, rows: str, expected: dict[str, str]
) -> None:
    header = "image,Label,x,y,width,height"
    assert labels(plain(tmp_path, "\n".join([header, *rows.split(), ""]))) == expected


def test_blanks_and_repeats_of_published_tables_are_theirs(tmp_path: Path) -> None:
    films = [line.split(",")[0] for line in CHEXPERT.splitlines()[1:]]
    path = lay(tmp_path / "c", "train.csv", CHEXPERT, *films)
    assert labels(path, Choice(label_column="Pneumonia")) == dict.fromkeys(films[1:3], "PNEUMONIA")
    path = lay(tmp_path / "r", "info.csv", RSNA_CLASSES, "aa-1.dcm", "bb-2.dcm", "cc-3.dcm")
    assert labels(path, Choice(label_column="class"))["bb-2.dcm"] == "Lung Opacity"
    path = lay(tmp_path / "r", "labels.csv", RSNA.replace(",,,,0\nbb", ",,,,\nbb"))
    with pytest.raises(CohortError, match="line 2 has no label"):
        labels(path)


def test_usual_names_of_the_patient(tmp_path: Path) -> None:
    for image, patient in (("File Name", "PatientID"), ("Image", "subject_id"), ("img", "Patient")):
        text = f"{image},Diagnosis,{patient},Split\na,sick,P1,train\nb,healthy,P1,valid\n"
        path = plain(tmp_path, text)
        with pytest.warns(UserWarning, match=r"plain\.csv: 1 of 1 patients are in two or more"):
            table = Manifest.read(path).table
        assert list(table["patient"]) == ["P1", "P1"]
        assert list(table["split"]) == ["train", "val"]
    # RSNA calls the image so.
    alone = plain(tmp_path, "patientId,label\na,sick\nb,healthy\n")
    assert Manifest.read(alone).patients() == ["file:a.png", "file:b.png"]


def test_other_separators(tmp_path: Path) -> None:
    path = plain(tmp_path, "Image;Diagnosis;note\na;sick;1,5\nb;healthy;2\n")
    assert labels(path) == {"a.png": "sick", "b.png": "healthy"}
    path = plain(tmp_path, "Image|Diagnosis\na|sick\n")
    with pytest.raises(CohortError, match="separated by bars"):
        labels(path)


def test_scan_sorts_and_counts(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        save(tmp_path / "films" / f"{name}.png", film(number))
    path = tmp_path / "t.csv"
    path.write_text("image,label\na,Pneumonia\nb,No Finding\nc,Hernia\n")
    settings = ScanSettings(
        positive="Pneumonia|Consolidation", negative="No Finding", images=tmp_path / "films"
    )
    result = scan(path, settings)
    assert list(result.manifest.table["label"]) == ["PNEUMONIA", "NORMAL"]
    assert result.manifest.root == (tmp_path / "films").resolve()
    assert result.audit.left_out == {NEITHER: 1}
    with pytest.raises(CohortError, match="--positive and --negative"):
        scan(path, ScanSettings(images=tmp_path / "films"))


def test_a_table_without_its_films_says_where_it_looked(tmp_path: Path) -> None:
    path = lay(tmp_path, "labels.csv", RSNA, "other.png", "findings/bb-2.png")
    # Pictures that `predict` wrote are named as radiographs are.
    (tmp_path / "findings" / "predict.json").write_text("{}")
    with pytest.raises(CohortError, match=r"RSNA's table of boxes.*none of its 3.*--images"):
        labels(path)
    outside = lay(tmp_path, "x.csv", "image,Finding Label,Bbox [x,y,w,h]\n../a,Pneumonia,1,1,2,2\n")
    outside.write_text("Image Index,Finding Label,Bbox [x,y,w,h]\n../a,Pneumonia,1,1,2,2\n")
    with pytest.raises(CohortError, match="leads out"):
        labels(outside)
