"""Every format of docs/annotations.md by the command that stands there: one lesion, one mask."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from highdicom.pr import GraphicObject
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from pydicom import dcmread
from pydicom.uid import generate_uid

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.cohort import Manifest, ScanSettings, scan
from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.dicom.presentation_state import presentation_state
from pneumoscope.errors import CohortError
from tests.cohort.films import film, save
from tests.cohort.test_field_dicom import annotation, segment
from tests.dicom.films import film as dicom_film
from tests.dicom.films import result

PAGE = Path(__file__).parents[2] / "docs" / "annotations.md"
SIDE = 64
MASK: NDArray[np.bool_] = np.zeros((SIDE, SIDE), dtype=np.bool_)
MASK[16:32, 16:48] = True
CORNERS = [[16, 16], [48, 16], [48, 32], [16, 32]]


def rows() -> dict[str, str]:
    """Format and command of each row of the page's table of formats."""
    section = PAGE.read_text(encoding="utf-8").split("## Formats")[1].split("\n## ")[0]
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines())
    return {row[0]: row[-1].strip("`") for row in cells if row[-1].endswith("`")}


def text(name: str, content: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return "films/a.png"

    return write


def named(film: str, *writers: Callable[[Path], str]) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        for writer in writers:
            writer(folder)
        return film

    return write


def chexlocalize(folder: Path) -> str:
    encoded = coco.encode(np.asfortranarray(MASK.astype(np.uint8)))
    finding = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    content = {"patient00001_study1_view1_frontal": {"Airspace Opacity": finding}}
    text("gt_segmentations_val.json", json.dumps(content))(folder)
    return "valid/patient00001/study1/view1_frontal.png"


def masks(folder: Path) -> str:
    (folder / "masks" / "films").mkdir(parents=True)
    Image.fromarray(MASK.astype(np.uint8) * 255).save(folder / "masks" / "films" / "a.png")
    return "films/a.png"


def nifti(folder: Path) -> str:
    nibabel: Any = pytest.importorskip("nibabel")
    (folder / "nifti").mkdir()
    image = nibabel.Nifti1Image(MASK.T.astype(np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0]))
    nibabel.save(image, folder / "nifti" / "a.nii.gz")
    return "films/a.png"


def segmentation(folder: Path) -> str:
    path = dicom_film(folder / "a.dcm", height=SIDE, width=SIDE)
    (folder / "seg").mkdir()
    Segmentation(
        [dcmread(path)],
        MASK.astype(np.uint8)[None],
        segmentation_type="BINARY",
        segment_descriptions=[segment(1, "Pneumonia")],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    ).save_as(folder / "seg" / "1.dcm")
    return "a.dcm"


def presentation(folder: Path) -> str:
    path = dicom_film(folder / "a.dcm", height=SIDE, width=SIDE)
    (folder / "gsps").mkdir()
    state = presentation_state(result(path))
    outline = np.array([*CORNERS, CORNERS[0]], dtype=float)
    state.GraphicAnnotationSequence = [
        annotation(path, GraphicObject("POLYLINE", outline, units="PIXEL"))
    ]
    state.save_as(folder / "gsps" / "1.dcm")
    return "a.dcm"


RSNA = text("stage_2_train_labels.csv", "patientId,x,y,width,height,Target\na,256,256,512,256,1\n")
VINDR = text(
    "train.csv",
    "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
    "a,Lung Opacity,7,R1,16,16,48,40\na,Consolidation,7,R2,16,10,48,32\na,No finding,7,R3,,,,\n",
)
SIIM = text(
    "train_image_level.csv",
    "id,boxes,label,StudyInstanceUID\n"
    "a_image,\"[{'x': 16, 'y': 16, 'width': 32, 'height': 16}]\",opacity 1 16 16 48 32,s\n",
)
STUDIES = text(
    "train_study_level.csv",
    "id,Negative for Pneumonia,Typical Appearance,Indeterminate Appearance,Atypical Appearance\n"
    "s_study,0,1,0,0\n",
)
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": SIDE, "height": SIDE}],
    "categories": [{"id": 1, "name": "pneumonia"}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "segmentation": [np.ravel(CORNERS).tolist()]}
    ],
}
VOC = (
    "<annotation><object><name>pneumonia</name><bndbox><xmin>16</xmin><ymin>16</ymin>"
    "<xmax>48</xmax><ymax>32</ymax></bndbox></object></annotation>"
)
WRITERS: dict[str, Callable[[Path], str]] = {
    "CSV of boxes": text("boxes.csv", "image,x1,y1,x2,y2\na,16,16,48,32\n"),
    "RSNA, boxes": RSNA,
    "RSNA, labels": RSNA,
    "NIH, boxes": text(
        "BBox_List_2017.csv",
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\na.png,Pneumonia,256,256,512,256,,,\n",
    ),
    "NIH, labels": text(
        "Data_Entry_2017.csv", "Image Index,Finding Labels,Patient ID\na.png,Mass|Pneumonia,7\n"
    ),
    "VinDr-CXR, boxes": VINDR,
    "VinDr-CXR, labels": VINDR,
    "SIIM-COVID, boxes": SIIM,
    "SIIM-COVID, labels": named("films/a.png", SIIM, STUDIES),
    "CheXpert, labels": named(
        "valid/patient00001/study1/view1_frontal.png",
        text(
            "valid.csv",
            "Path,Frontal/Lateral,No Finding,Lung Opacity,Pneumonia\n"
            "CheXpert-v1.0/valid/patient00001/study1/view1_frontal.jpg,Frontal,0.0,1.0,1.0\n",
        ),
    ),
    "CheXlocalize": chexlocalize,
    "COCO": text("instances.json", json.dumps(COCO)),
    "YOLO": text("labels/a.txt", "0 0.5 0.375 0.5 0.25\n"),
    "Pascal VOC": text("xml/a.xml", VOC),
    "masks": masks,
    "NIfTI masks": nifti,
    "DICOM Segmentation": segmentation,
    "DICOM presentation state": presentation,
}


def test_the_page_has_all_formats() -> None:
    assert list(rows()) == list(WRITERS)


@pytest.mark.parametrize("name", WRITERS)
def test_the_command_of_each_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = WRITERS[name](tmp_path)
    if not (tmp_path / image).exists():
        save(tmp_path / image, film(1, SIDE))
    command, path, *options = shlex.split(rows()[name])
    given = dict(zip(options[::2], options[1::2], strict=True))
    readers = given.get("--readers", "union")
    if command == "scan":
        found = scan(Path(path), ScanSettings(readers=readers)).manifest
        assert found.table[["image", "label"]].to_numpy().tolist() == [[image, "PNEUMONIA"]]
        return
    table = {"image": [image], "label": ["PNEUMONIA"], "patient": ["1"]}
    pd.DataFrame(table).to_csv("cohort.csv", index=False)
    boxes, masks = (Path(given[o]) if o in given else None for o in ("--boxes", "--masks"))
    annotations = Annotations.read(boxes, masks, None, Choice(readers=readers))
    assert annotations is not None
    lesions = annotations.of(Manifest.read(Path(path))).lesions(image, SIDE, SIDE)
    assert lesions is not None
    np.testing.assert_array_equal(lesions.mask, MASK)
    np.testing.assert_array_equal(lesions.boxes, [[16, 16, 32, 16]])


def test_a_resized_film_states_its_original_size(tmp_path: Path) -> None:
    VINDR(tmp_path)
    save(tmp_path / "a.png", film(1, 32))
    table = {"image": ["a.png"], "label": ["PNEUMONIA"], "patient": ["1"]}
    size = {"orig_width": [SIDE], "orig_height": [SIDE]}
    pd.DataFrame({**table, **size}).to_csv(tmp_path / "cohort.csv", index=False)
    annotations = Annotations.read(tmp_path / "train.csv", None, None, Choice(readers="majority"))
    assert annotations is not None
    lesions = annotations.of(Manifest.read(tmp_path / "cohort.csv")).lesions("a.png", 32, 32)
    assert lesions is not None
    np.testing.assert_array_equal(lesions.boxes, [[8, 8, 16, 8]])
    with pytest.raises(CohortError, match="none of these radiographs"):
        pd.DataFrame({**table, "image": ["b.png"]}).to_csv(tmp_path / "other.csv", index=False)
        save(tmp_path / "b.png", film(2, 32))
        annotations.of(Manifest.read(tmp_path / "other.csv"))
