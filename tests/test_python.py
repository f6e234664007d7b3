"""The public interface: its page to the letter, its names, and how its objects show themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pneumoscope
from pneumoscope import Explained, Reader
from pneumoscope.assessment.assessment import Assessment
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.bundles import BundleInfo
from pneumoscope.errors import CohortError, EvaluationError, ImageError, SettingsError
from pneumoscope.findings import Finding, Region
from pneumoscope.imaging import Radiograph
from pneumoscope.inference import heatmaps_beside
from pneumoscope.phantom import PhantomSettings, write_cohort
from tests.test_docs import ROOT, blocks


@pytest.mark.slow
def test_the_page_runs_to_the_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cohort(tmp_path / "phantoms", PhantomSettings(n=60, seed=7, size=96))
    names: dict[str, Any] = {}
    for code in blocks(ROOT / "docs" / "python.md", "python"):
        exec(code, names)
    assert {"metrics.json", "predictions.csv", "figures", "report.html"} == {
        path.name for path in (tmp_path / "evaluation").iterdir()
    }
    mine, other = names["assessment"], names["other"]
    assert isinstance(mine, Assessment) and isinstance(mine.subject, OwnModel)
    # The other program's probabilities tell the labels apart by construction.
    assert other.metrics["classification"]["roc_auc"]["value"] == 1
    figures = mine.figures_table()
    assert figures.loc["roc_auc", "value"] == mine.metrics["classification"]["roc_auc"]["value"]
    difference = names["compared"].localization["resnet18", "other"].figures["area_matched"]
    table = {}
    for name, found in (("gradcam", mine), ("diagonal", other)):
        own = found.metrics["localization_method"]
        assert name == "gradcam" or own == name
        rows = found.localization_table("annotated")
        chosen = rows[(rows["heatmap"] == own) & (rows["figure"] == "area_matched")]
        table[name] = chosen["value"].item()
    assert difference.value == pytest.approx(table["gradcam"] - table["diagonal"])
    for shown in (mine, names["compared"], names["found"], names["cohort"]):
        assert len(repr(shown)) < 200 and "array" not in repr(shown)
    for shown in (mine, names["compared"]):
        assert "Research use only" in shown._repr_html_()
    with pytest.raises(EvaluationError, match="other radiographs"):
        pneumoscope.compare_assessments(
            {
                "a": mine,
                "b": pneumoscope.assess(
                    names["probabilities"] | more(names), "cohort.csv", split="val"
                ),
            }
        )
    json.dumps(names["compared"].to_dict())


def more(names: dict[str, Any]) -> dict[str, float]:
    return dict.fromkeys(names["cohort"].subset("val").table["image"], 0.4)


@pytest.mark.slow
def test_importing_is_quick_and_light() -> None:
    code = (
        "import sys, pneumoscope\n"
        "heavy = {'torch', 'numpy', 'pandas', 'sklearn', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(pneumoscope.__all__) == set(dir(pneumoscope))\n"
        "for name in pneumoscope.__all__: getattr(pneumoscope, name)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def explained() -> Explained:
    pixels = np.linspace(0, 1, 240 * 320, dtype=np.float32).reshape(240, 320)
    heat = np.zeros((240, 320), dtype=np.float32)
    heat[40:120, 100:200] = 0.9
    finding = Finding.from_prediction(
        "<b>.png",
        probability=0.9,
        threshold=0.5,
        labels=("NORMAL", "PNEUMONIA"),
        model="m@1",
        regions=[Region(x=100, y=40, width=100, height=80, score=0.9, zone="left_upper")],
    )
    return Explained(
        "<b>.png", Radiograph(pixels, Path("b.png")), 2.0, heat, finding, {"gradcam": heat}, None
    )


def test_an_explained_radiograph_shows_itself(explained: Explained) -> None:
    assert repr(explained) == "<Explained <b>.png: PNEUMONIA 0.900, 320 x 240 pixels>"
    assert "[" not in repr(explained.radiograph)
    picture = explained.overlay()
    assert picture.size == (320, 240) and picture.mode == "RGB"
    colours = np.asarray(picture, dtype=int)
    # Colour where there is heat, gray elsewhere.
    assert np.ptp(colours[110, 190]) > 20 and np.ptp(colours[200, 20]) == 0
    page = explained._repr_html_()
    assert page.count("data:image/png") == 3 and "Research use only" in page
    for words in ("left upper", "probability 0.900", "Grad-CAM", "&lt;b&gt;.png"):
        assert words in page
    assert "<b>.png" not in page
    assert explained.to_dict() == json.loads(explained.finding.json_line())
    with pytest.raises(SettingsError, match=r"no heatmap 'layercam' \(others: gradcam\)"):
        explained.overlay("layercam")


def test_pictures_of_pillow_are_taken_as_files_are(
    run_folder: Path, phantoms: Path, tmp_path: Path
) -> None:
    reader = pneumoscope.load(run_folder)
    path = sorted((phantoms / "images").glob("*.png"))[0]
    by_file = reader.find(path)
    with Image.open(path) as picture:
        for same in (picture, picture.convert("RGB"), picture.convert("LA")):
            assert reader.find(same).finding.probability == by_file.finding.probability
        assert isinstance(reader.find([picture, path]), list)
        red = Image.merge("RGB", (picture, *[picture.point(lambda level: level // 2)] * 2))
        with pytest.raises(ImageError, match="colour picture"):
            reader.find(red)
    assert "Reader of" in repr(reader) and isinstance(reader.info, BundleInfo)
    assert isinstance(reader, Reader) and "gradcam" in reader.methods
    with_others = reader.find(path, methods=["gradcam"])
    np.testing.assert_array_equal(with_others.heatmap, by_file.heatmap)
    assert set(with_others.others) == {"gradcam"}


def test_mistakes_in_python_are_said(manifest_file: Path, phantoms: Path, tmp_path: Path) -> None:
    boxes = pneumoscope.read_annotations(boxes=phantoms / "boxes.csv")
    with pytest.raises(SettingsError, match="no annotations"):
        pneumoscope.read_annotations()
    with pytest.raises(SettingsError, match="no heatmaps to measure"):
        pneumoscope.assess({"a.png": 0.5}, manifest_file, boxes)
    with pytest.raises(SettingsError, match="are of another program"):
        pneumoscope.assess("default", manifest_file, threshold=0.4)
    with pytest.raises(SettingsError, match="probability from 0 to 1"):
        pneumoscope.assess({"a.png": 1.5}, manifest_file)
    with pytest.raises(SettingsError, match=r"'sede'.*Choose among seed"):
        pneumoscope.scan(phantoms, sede=1)


def test_an_engine_or_a_precision_that_does_not_exist_is_refused() -> None:
    for choice, words in (
        ({"engine": "tensorrt"}, "no engine 'tensorrt'. Choose among auto, onnxruntime"),
        ({"precision": "fp16"}, "no precision 'fp16'. Choose among auto, float32"),
    ):
        with pytest.raises(SettingsError, match=words):
            pneumoscope.load(**choice)  # type: ignore[arg-type]


def test_one_name_may_be_given_as_a_text(phantoms: Path, manifest_file: Path) -> None:
    reader = pneumoscope.load()
    path = sorted((phantoms / "images").glob("*.png"))[0]
    assert list(reader.find(path, methods="regional").others) == ["regional"]
    with pytest.raises(SettingsError, match=r"not by gradcam\. Load .* \(extra 'train'\)"):
        reader.find(path, methods="gradcam")
    # Nor by a baseline that only torch can make.
    with pytest.raises(SettingsError, match=r"Choose among regional, or .* extra 'train'"):
        heatmaps_beside(reader.engine, "randomised_weights")
    with pytest.raises(EvaluationError, match="no column hospital"):
        pneumoscope.assess(reader, manifest_file, by="hospital")


def test_the_description_of_a_model_fits_on_a_screen() -> None:
    assert len(repr(pneumoscope.load().info)) < 10_000


def test_a_table_of_localization_that_does_not_exist_is_refused(manifest_file: Path) -> None:
    images = pneumoscope.read_cohort(manifest_file).subset("test").table["image"]
    found = pneumoscope.assess(dict.fromkeys(images, 0.5), manifest_file)
    assert found.localization_table("annotated").empty
    with pytest.raises(SettingsError, match=r"'annoted'\. Choose among true_positives"):
        found.localization_table("annoted")  # type: ignore[arg-type]


def test_several_findings_may_be_a_text_or_a_list(phantoms: Path, tmp_path: Path) -> None:
    wanted = ["Opacity=PNEUMONIA", "Dense=PNEUMONIA"]
    table = phantoms / "cohort.csv"
    found = pneumoscope.scan(table, findings=wanted).manifest.table
    assert found.equals(pneumoscope.scan(table, findings=",".join(wanted)).manifest.table)
    read = pneumoscope.read_cohort(table, findings=wanted)
    assert read.table["Opacity"].value_counts().to_dict() == {
        value: (found["Opacity"] == value).sum() for value in ("0", "1")
    }
    with pytest.raises(CohortError, match="no column of a finding 'Nodule'"):
        pneumoscope.train(read, tmp_path / "run", findings="Opacity, Nodule")


def test_epoch_for_epochs_is_refused_before_any_work(manifest_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"epochs=3"):
        pneumoscope.train(manifest_file, tmp_path / "run", epoch=3)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
