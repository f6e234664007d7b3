"""`train-lungs` and `check-lungs`, from folders and tables to files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.assessment.lungs import lung_figures, score_lungs
from pneumoscope.cli.check_lungs import check_lungs
from pneumoscope.cli.train_lungs import train_lungs
from pneumoscope.cohort.lung_masks import read_lung_table
from pneumoscope.errors import CohortError, OutputError
from pneumoscope.lungs import LungSegmenter


@pytest.fixture(scope="module")
def table(phantoms: Path) -> Path:
    """Twelve phantoms of the cohort with their lungs, as `check-lungs` reads them."""
    with (phantoms / "cohort.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:12]
    path = phantoms / "lungs.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "mask", "patient", "view"))
        for row in rows:
            mask = f"lungs/{Path(row['image']).name}"
            writer.writerow((row["image"], mask, row["patient"], row["view"]))
    return path


def test_check_lungs_writes_figures_by_view(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    check_lungs(table, None, "view", out)
    figures = json.loads(out.read_text())
    assert figures["model"] == LungSegmenter.load().info.id
    groups = figures["by"]["view"]
    assert set(groups) == {"AP", "PA"}
    assert sum(group["n"] for group in groups.values()) == figures["n"] == 12
    total = sum(group["n"] * group["dice"]["value"] for group in groups.values())
    assert figures["dice"]["value"] == pytest.approx(total / 12)
    for group in (figures, *groups.values()):
        dice, iou = group["dice"]["value"], group["iou"]["value"]
        assert 0.7 < iou < dice < 1
        assert group["dice"]["low"] <= dice <= group["dice"]["high"]


def test_figures_are_means_over_films(table: Path) -> None:
    scores = score_lungs(LungSegmenter.load(), read_lung_table(table)[:5])
    figures = lung_figures(scores)
    assert figures["dice"]["value"] == pytest.approx(np.mean([s["dice"] for s in scores]))
    assert figures["dice_median"] == pytest.approx(np.median([s["dice"] for s in scores]))
    for score in scores:
        assert score["iou"] == pytest.approx(score["dice"] / (2 - score["dice"]))
    with pytest.raises(CohortError, match="no column 'age'"):
        lung_figures(scores, "age")


@pytest.mark.slow
def test_train_lungs_writes_a_model_that_serves(
    manifest_file: Path, phantoms: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    train_lungs(manifest_file, phantoms / "lungs", None, out, 1, 3, "phantoms of nobody")
    metrics = json.loads((out / "metrics.json").read_text())
    segmenter = LungSegmenter.load(out / "lungs.onnx")
    assert metrics["model"] == segmenter.info.id
    assert segmenter.info.training_data == "phantoms of nobody"
    assert segmenter.info.figures == {name: metrics[name] for name in ("val", "test")}
    assert metrics["training"]["settings"]["epochs"] == 1
    assert metrics["training"]["films"]["test"] == metrics["test"]["n"]
    assert metrics["training"]["onnx_difference"] < 1e-3
    with pytest.raises(OutputError, match="already exists"):
        train_lungs(manifest_file, phantoms / "lungs", None, out, 1, 3, None)
