"""Annotations of the field by content: each format on the film's own grid, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.drawings import Drawings
from pneumoscope.cohort.formats.reading import read_drawings
from pneumoscope.errors import CohortError, MissingExtra
from tests.cohort.test_field_tables import (
    CHEXPERT,
    NIH,
    NIH_BOXES,
    RSNA,
    RSNA_CLASSES,
    SIIM_IMAGES,
    SIIM_STUDIES,
    VINDR,
)

HEIGHT, WIDTH = 40, 50
BOX = [10.0, 5.0, 20.0, 15.0]
CORNERS = "x_min,y_min,x_max,y_max"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def on_film(
    drawings: Drawings, image: str = "images/a.png", height: int = HEIGHT, width: int = WIDTH
) -> Any:
    found = drawings.match([image]).get(image)
    return None if found is None else found.on(height, width)


def filled(*boxes: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """x, y, width, height of whole pixels."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = True
    return mask


@pytest.mark.parametrize(
    "text",
    [
        "image,x,y,width,height\na.png,10,5,20,15\n",
        "file_name,x1,y1,x2,y2\n/data/images/a.jpg,10,5,30,20\n",
        "path,xmin,ymin,xmax,ymax,class\nimages/a,10,5,30,20,pneumonia\n",
        # Twice the size: the file says so.
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,100,80,opacity,20,10,60,40\n",
        "image,label,x,y,w,h\na,1,10,5,20,15\nb,0,,,,\n",
    ],
)
def test_plain_tables(tmp_path: Path, text: str) -> None:
    drawings = read_drawings(write(tmp_path, "boxes.csv", text))
    np.testing.assert_allclose(on_film(drawings), [BOX])


def test_boxes_are_gathered_and_a_film_may_have_none(tmp_path: Path) -> None:
    text = (
        "image,note,x,y,width,height\na/1.png,left,1.5,2,3,4\nb.png,,0,0,10,10\n"
        "a/1.png,right,7,8,9,10\nhealthy.png,,,,,\n"
    )
    drawings = read_drawings(write(tmp_path, "boxes.csv", text))
    np.testing.assert_array_equal(on_film(drawings, "a/1.png"), [[1.5, 2, 3, 4], [7, 8, 9, 10]])
    assert on_film(drawings, "healthy.png") is None
    assert drawings.summary() == "a table of images: 3 radiographs; lesions: 3"


def test_tables_of_the_field(tmp_path: Path) -> None:
    rsna = read_drawings(write(tmp_path / "r", "labels.csv", RSNA))
    # RSNA's and NIH's boxes are counted on 1024 x 1024 pixels, whatever size the film has now.
    np.testing.assert_allclose(
        on_film(rsna, "t/bb-2.png", 512, 512),
        np.array([[264, 152, 213, 379], [562, 152, 256, 453]]) / 2,
    )
    assert on_film(rsna, "aa-1.dcm") is None
    nih = read_drawings(write(tmp_path / "n", "boxes.csv", NIH_BOXES))
    np.testing.assert_allclose(
        on_film(nih, "00014716_007.png", 1024, 1024), [[686.10, 131.54, 185.49, 313.49]]
    )
    assert on_film(nih, "00013118_008.png", 1024, 1024) is None
    assert nih.summary().endswith("lesions: 1 Pneumonia; left out: 1 Atelectasis")
    other = read_drawings(tmp_path / "n" / "boxes.csv", Choice(positive="atelectasis"))
    assert on_film(other, "00013118_008.png", 1024, 1024) is not None
    siim = read_drawings(write(tmp_path / "s", "train_image_level.csv", SIIM_IMAGES))
    np.testing.assert_allclose(on_film(siim, "x/x1.dcm"), [[7.5, 5, 10, 20]])
    found: Any = siim.match(["x1.png"])["x1.png"]
    # A film that was squashed from 200 x 40 (width x height) to 50 x 40 says so.
    np.testing.assert_allclose(found.on(40, 50, (40, 200)), [[7.5 / 4, 5, 2.5, 20]])


def test_nih_spells_infiltration_in_two_ways(tmp_path: Path) -> None:
    head = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    rows = (
        "a.png,Infiltrate,256,256,512,512,,,\na.png,Mass,1,1,9,9,,,\na.png,Pneumonia,1,1,9,9,,,\n"
    )
    path = write(tmp_path, "BBox_List_2017.csv", head + rows)
    drawings = read_drawings(path, Choice(positive="Pneumonia|Infiltration"))
    assert drawings.taken == {"Infiltrate": 1, "Pneumonia": 1} and drawings.left_out == {"Mass": 1}


def test_several_readers(tmp_path: Path) -> None:
    text = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n" + "".join(
        f"a,{name},7,{reader},{box}\n"
        for name, reader, box in (
            ("Lung Opacity", "R1", "10,5,30,20"),
            ("Lung Opacity", "R2", "20,5,40,20"),
            ("Cardiomegaly", "R2", "0,0,50,40"),
            ("No finding", "R3", ",,,"),
        )
    )
    path = write(tmp_path, "train.csv", text)
    both = on_film(read_drawings(path))
    np.testing.assert_array_equal(both, filled((10, 5, 30, 15)))
    agreed = on_film(read_drawings(path, Choice(readers="majority")))
    np.testing.assert_array_equal(agreed, filled((20, 5, 10, 15)))
    one = read_drawings(path, Choice(readers="R1"))
    np.testing.assert_array_equal(on_film(one), [[10, 5, 20, 15]])
    assert on_film(read_drawings(path, Choice(readers="R3"))) is None


def coco_file(folder: Path, **annotation: object) -> Path:
    content = {
        "images": [
            {"id": 1, "file_name": "train2017/images/a.png", "width": WIDTH, "height": HEIGHT},
            {"id": 2, "file_name": "b.png", "width": WIDTH, "height": HEIGHT},
        ],
        "categories": [{"id": 5, "name": "opacity"}, {"id": 6, "name": "heart"}],
        "annotations": [
            {"image_id": 1, "category_id": 5, **annotation},
            {"image_id": 1, "category_id": 6, "bbox": [0, 0, 50, 40]},
        ],
    }
    return write(folder, "coco.json", json.dumps(content))


def test_boxes_of_a_resized_radiograph_are_not_lost(tmp_path: Path) -> None:
    # On the original of 250 x 200 pixels; the radiograph was stored in 50 x 40.
    rows = "a,R8,Lung Opacity,100,100,150,150\na,R9,Lung Opacity,100,100,150,150\n"
    path = write(tmp_path, "train.csv", f"image_id,rad_id,class_name,{CORNERS}\n{rows}")
    drawing = read_drawings(path).match(["a.png"])["a.png"]
    with pytest.raises(CohortError, match=r"at \(100, 100\) of a is not .* scan --sizes"):
        drawing.on(HEIGHT, WIDTH)
    np.testing.assert_array_equal(drawing.on(HEIGHT, WIDTH, (200, 250)), filled((20, 20, 10, 10)))
    one = write(tmp_path, "one.csv", f"image_id,class_name,{CORNERS}\na,Lung Opacity,60,9,90,30\n")
    with pytest.raises(CohortError, match="scan --sizes"):
        on_film(read_drawings(one))
    rows = "a,R8,0.1,0.1,0.1,0.1\na,R9,0.1,0.1,0.1,0.1\n"
    path = write(tmp_path, "fractions.csv", f"image,reader,x,y,width,height\n{rows}")
    with pytest.raises(CohortError, match="no fractions"):
        on_film(read_drawings(path))


def test_coco(tmp_path: Path) -> None:
    lesion = filled((10, 5, 20, 15))
    runs = coco.encode(np.asfortranarray(lesion.astype(np.uint8)))
    runs["counts"] = runs["counts"].decode()
    polygon = [[10, 5, 30, 5, 30, 20, 10, 20]]
    flat = lesion.ravel(order="F").astype(int)
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    for outline in (polygon, runs, {"size": [HEIGHT, WIDTH], "counts": counts}):
        path = coco_file(tmp_path, bbox=[9, 5, 22, 16], segmentation=outline)
        np.testing.assert_array_equal(on_film(read_drawings(path)), [[9, 5, 22, 16]])
        drawings = read_drawings(path, outlines=True)
        np.testing.assert_array_equal(on_film(drawings), lesion)
        # The same annotation on a film that was made half as large.
        half = on_film(drawings, height=20, width=25)
        assert half is not None and half.shape == (20, 25)
        assert np.flatnonzero(half.any(axis=1)).tolist() == list(range(2, 10))
        with pytest.raises(CohortError, match=r"drawn on 50 x 40 pixels, .* 40 x 40: another"):
            on_film(drawings, width=40)
        assert on_film(drawings, "b.png") is None
    assert drawings.summary().endswith("lesions: 1 opacity; left out: 1 heart")
    with pytest.raises(CohortError, match="cannot be read"):
        read_drawings(coco_file(tmp_path, segmentation={"size": [40, 50], "counts": [7]}))


def test_chexlocalize(tmp_path: Path) -> None:
    image = "patient64541_study1_view1_frontal"
    lesion = filled((10, 5, 21, 16))
    outline = [[[10, 5], [30, 5], [30, 20], [10, 20]]]
    polygons = {image: {"img_size": [HEIGHT, WIDTH], "Airspace Opacity": outline, "Edema": []}}
    runs = {
        name: {"size": [HEIGHT, WIDTH], "counts": coco.encode(area)["counts"].decode()}
        for name, area in (
            ("Airspace Opacity", np.asfortranarray(lesion.astype(np.uint8))),
            ("Cardiomegaly", np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")),
        )
    }
    film = "CheXpert-v1.0/valid/patient64541/study1/view1_frontal.jpg"
    for content in (polygons, {image: runs}):
        drawings = read_drawings(write(tmp_path, "gt.json", json.dumps(content)))
        np.testing.assert_array_equal(on_film(drawings, film), lesion)
    with pytest.raises(CohortError, match=r"no finding 'Fracture'.*Airspace Opacity"):
        read_drawings(tmp_path / "gt.json", Choice(positive="Fracture"))


def test_yolo(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(folder, "a.txt", "0 0.4 0.3125 0.4 0.375\n1 0.5 0.5 1 1\n")
    write(folder, "b.txt", "")
    with pytest.raises(CohortError, match=r"2 findings \(0, 1\).*--positive"):
        read_drawings(folder)
    np.testing.assert_allclose(on_film(read_drawings(folder, Choice(positive="0"))), [BOX])
    for name, text in (("classes.txt", "opacity\nheart\n"), ("data.yaml", "names: [opacity, x]")):
        path = write(tmp_path, name, text)
        drawings = read_drawings(folder)
        np.testing.assert_allclose(on_film(drawings), [BOX])
        assert on_film(drawings, "b.png") is None
        path.unlink()
    for text in ("names:\n", "names: {opacity: 0}\n"):
        path = write(tmp_path, "data.yaml", text)
        # Classes without a name are called by their numbers.
        np.testing.assert_allclose(on_film(read_drawings(folder, Choice(positive="0"))), [BOX])
        path.unlink()
    write(folder, "a.txt", "0 .2 .125 .6 .125 .6 .5 .2 .5\n")
    outline = on_film(read_drawings(folder))
    np.testing.assert_array_equal(outline, filled((10, 5, 20, 15)))
    write(folder, "a.txt", "0 100 20 30 40\n")
    with pytest.raises(CohortError, match="line 1 cannot be read as YOLO's"):
        read_drawings(folder)


VOC = """<annotation><filename>a.png</filename>
<size><width>100</width><height>80</height><depth>1</depth></size>
<object><name>Pneumonia</name>
<bndbox><xmin>20</xmin><ymin>10</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object>
</annotation>"""


def test_voc(tmp_path: Path) -> None:
    write(tmp_path / "v", "a.xml", VOC)
    write(tmp_path / "v", "b.xml", "<annotation></annotation>")
    drawings = read_drawings(tmp_path / "v")
    np.testing.assert_allclose(on_film(drawings), [BOX])
    assert on_film(drawings, "b.png") is None
    for text, problem in (
        ("<html></html>", "root is <html>"),
        ("<!DOCTYPE x><annotation></annotation>", "entities"),
        (VOC.replace("<xmax>60", "<xmax>6"), "without area"),
    ):
        with pytest.raises(CohortError, match=problem):
            read_drawings(write(tmp_path, "a.xml", text))


def test_folders_of_masks(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    lesion = filled((10, 5, 20, 15))
    for name, mask in (("images/a.png", lesion), ("b_mask.png", lesion), ("c.png", lesion & False)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / name)
    drawings = read_drawings(folder)
    for image in ("images/a.png", "b.jpg"):
        np.testing.assert_array_equal(on_film(drawings, image), lesion)
    assert on_film(drawings, "c.png") is None
    with pytest.raises(CohortError, match="50 x 40 pixels, its radiograph 25 x 20"):
        on_film(drawings, height=20, width=25)
    write(folder, "a.xml", VOC)
    with pytest.raises(CohortError, match="1 Pascal VOC's XML, 3 pictures of masks"):
        read_drawings(folder)


def test_nifti(tmp_path: Path) -> None:
    nibabel: Any = pytest.importorskip("nibabel")

    lesion = filled((10, 5, 20, 15))
    itk, none = np.diag([-1.0, -1.0, 1.0, 1.0]), np.eye(4)
    columns_first = lesion.T.astype(np.uint8)
    for affine, data in (
        (itk, columns_first[:, :, None]),
        (itk, columns_first),
        (none, columns_first),
        (none, lesion.astype(np.uint8)),
    ):
        nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(on_film(read_drawings(tmp_path)), lesion)
        np.testing.assert_array_equal(on_film(read_drawings(tmp_path / "a.nii.gz")), lesion)
    square = np.zeros((8, 8), dtype=np.uint8)
    nibabel.save(nibabel.Nifti1Image(square, none), tmp_path / "a.nii.gz")
    with pytest.raises(CohortError, match="not clear which way it lies"):
        on_film(read_drawings(tmp_path), height=8, width=8)
    (tmp_path / "a.nii.gz").write_bytes(b"no NIfTI")
    with pytest.raises(CohortError, match="cannot be read as a NIfTI mask"):
        on_film(read_drawings(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "image,x,y\na.png,1,2\n", "labels or of boxes .* name boxes x,y,width,height"),
        ("a.csv", "x,y,width,height\n1,2,3,4\n", "without a column of images"),
        ("a.csv", "image,x,y,width,height\na.png,1,2,three,4\n", "line 2 has a coordinate"),
        ("a.csv", "image,x,y,width,height\na,1,2,3,4\nb,1,2,,4\n", "line 3 has a coordinate"),
        ("a.csv", "image,x,y,width,height\na.png,1,2,0,4\n", "line 2 has a box without area"),
        ("a.csv", "image,x,y,width,height\na.png,1,2,inf,4\n", "line 2 has a box without area"),
        ("a.csv", "image,x1,y1,x2,y2\na.png,10,2,5,4\n", "line 2 has a box without area"),
        ("a.csv", "", "is empty"),
        ("a.csv", RSNA_CLASSES, "RSNA's table of classes.*no boxes.*stage_2_train_labels"),
        ("a.csv", NIH, "NIH's table of labels.*no boxes.*BBox_List_2017"),
        ("a.csv", CHEXPERT, "CheXpert's table of labels.*CheXlocalize"),
        ("a.csv", SIIM_STUDIES, "table of studies.*train_image_level"),
        ("a.csv", "image,label\na,1\n", "a table of images, which holds no boxes"),
        ("a.json", "{}", "neither COCO's"),
        ("a.json", "[1, 2", "cannot be read as JSON"),
        ("a.json", '{"images": [{"id": 1}], "annotations": []}', "incomplete"),
        ("a.png", "\x89PNG", "not an annotation file"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(CohortError, match=problem):
        read_drawings(write(tmp_path, name, text))


def test_other_defects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CohortError, match="does not exist"):
        read_drawings(tmp_path / "none.csv")
    with pytest.raises(CohortError, match="holds no annotations"):
        read_drawings(tmp_path)
    path = write(tmp_path, "b.csv", "image,x,y,width,height\na,1,2,3,4\n")
    drawings = read_drawings(path)
    with pytest.raises(CohortError, match=r"none of these radiographs: it has a, the cohort has b"):
        drawings.match(["b.png"])
    with pytest.raises(CohortError, match=r"the name a may mean x/a.png or y/a.png"):
        drawings.match(["x/a.png", "y/a.png"])
    write(tmp_path, "b.csv", "image,x,y,width,height\nx/a,1,2,3,4\ny/a,1,2,3,4\n")
    with pytest.raises(CohortError, match=r"two names for a.png: x/a and y/a"):
        read_drawings(path).match(["a.png"])
    # Films of other folders with the same file name are other films.
    assert list(read_drawings(path).match(["y/a.png", "z/a.png"])) == ["y/a.png"]
    outline = coco_file(tmp_path, segmentation=[[1, 1, 9, 1, 9, 9]])
    monkeypatch.setattr("pneumoscope.extras._installed", lambda name: name != "pycocotools")
    with pytest.raises(MissingExtra, match=r"needs pycocotools.*annotations"):
        read_drawings(outline)


def test_vindr_default_findings(tmp_path: Path) -> None:
    drawings = read_drawings(write(tmp_path, "train.csv", VINDR))
    assert drawings.taken == {"Lung Opacity": 1, "Consolidation": 2}
    assert drawings.left_out == {"Cardiomegaly": 4}
    negative = read_drawings(write(tmp_path, "boxes.csv", "image,x,y,width,height\na,,,,\n"))
    assert negative.summary() == "a table of images: 1 radiographs; lesions: none"
