"""What was measured is recognised, read back, and merged over seeds."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.plan import PlannedRun
from pneumoscope.comparison.results import (
    LOCALIZATION,
    is_documented,
    is_measured,
    keep,
    localization,
    read_scores,
)
from pneumoscope.errors import EvaluationError
from pneumoscope.files import write_json
from pneumoscope.inference import load_engine
from pneumoscope.training.settings import make_settings


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> PlannedRun:
    """A finished run without figures."""
    folder = tmp_path / "resnet18-seed1"
    shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns("metrics.json"))
    return PlannedRun(make_settings(backbone="resnet18", weights="none", seed=1), folder)


def test_scores_are_those_that_were_measured(run: PlannedRun, manifest_file: Path) -> None:
    manifest = Manifest.read(manifest_file)
    found = assess(OwnModel(load_engine(run.folder)), manifest)
    keep(run.folder, "test", {}, found.metrics, found.predictions_csv())
    write_json(run.folder / "metrics.json", {"classification": {"roc_auc": {"value": 0.75}}})
    scores = read_scores(run, "test", manifest.labels[1])
    assert (scores.backbone, scores.seed, scores.val_roc_auc) == ("resnet18", 1, 0.75)
    np.testing.assert_allclose(scores.probabilities, found.predictions.probabilities, atol=1e-6)
    np.testing.assert_array_equal(scores.targets, found.predictions.targets)
    assert list(scores.images) == found.predictions.images
    assert list(scores.patients) == found.predictions.patients
    assert scores.threshold == found.metrics["threshold"]


def test_scores_finer_than_the_rounded_column(run: PlannedRun) -> None:
    rows = "image,patient,label,split,logit,probability,decision\n"
    rows += "a,p,NORMAL,test,16.100000,1.000000,PNEUMONIA\n"
    rows += "b,q,PNEUMONIA,test,16.200000,1.000000,PNEUMONIA\n"
    keep(run.folder, "test", {}, {"threshold": 0.5, "calibration": {"temperature": 1.0}}, rows)
    write_json(run.folder / "metrics.json", {"classification": {"roc_auc": {"value": 0.5}}})
    low, high = read_scores(run, "test", "PNEUMONIA").probabilities
    assert low < high < 1


def test_a_measurement_is_of_this_bundle_and_these_annotations(run: PlannedRun) -> None:
    folder = run.folder
    assert not is_measured(folder, "test", {})
    keep(folder, "test", {"masks": "/m"}, {}, "image\n")
    assert is_measured(folder, "test", {"masks": "/m"})
    assert is_measured(folder, "test", {})  # its probabilities serve
    assert not is_measured(folder, "test", {"masks": "/other"})
    assert not is_measured(folder, "val", {})
    path = folder / "bundle" / "bundle.json"
    path.write_text(path.read_text() + " ")
    assert not is_measured(folder, "test", {})
    keep(folder, "test", {}, {}, "image\n")
    (folder / "test" / "predictions.csv").unlink()
    assert not is_measured(folder, "test", {})
    (folder / "test" / "metrics.json").write_text("{")
    assert not is_measured(folder, "test", {})


def test_the_figures_on_val_are_of_the_model(run: PlannedRun) -> None:
    assert not is_documented(run.folder, "resnet18@1")
    write_json(run.folder / "metrics.json", {"model": "resnet18@1"})
    assert not is_documented(run.folder, "resnet18@1")
    (run.folder / "report.html").write_text("")
    assert is_documented(run.folder, "resnet18@1")
    assert not is_documented(run.folder, "resnet18@2")


def test_damaged_predictions_are_told(run: PlannedRun) -> None:
    write_json(run.folder / "metrics.json", {"classification": {"roc_auc": {"value": 0.5}}})
    keep(run.folder, "test", {}, {"threshold": 0.5, "calibration": {"temperature": 1.0}}, "image\n")
    with pytest.raises(EvaluationError, match="run the same command again"):
        read_scores(run, "test", "PNEUMONIA")


def test_annotations_are_told_apart_by_their_content(tmp_path: Path) -> None:
    boxes, lungs = tmp_path / "boxes.csv", tmp_path / "lungs"
    boxes.write_text("image,x,y,width,height\na,1,1,2,2\n")
    lungs.mkdir()
    (lungs / "a.png").write_bytes(b"a mask")
    found = Annotations.read(boxes, None, lungs)
    assert found is not None
    before = found.identity()
    assert set(before) == {"boxes", "lungs"} and found.identity() == before
    boxes.write_text("image,x,y,width,height\na,1,1,2,3\n")
    (lungs / "a.png").write_bytes(b"corrected in place")
    after = found.identity()
    assert all(after[name] != before[name] for name in before)


def figures(value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {name: {"value": value, "low": low, "high": high} for name in LOCALIZATION}


def test_localization_is_the_mean_over_seeds_in_the_widest_interval(tmp_path: Path) -> None:
    for seed, found in ((1, figures(0.4, 0.2, 0.5)), (2, figures(0.6, 0.3, 0.8))):
        write_json(
            tmp_path / str(seed) / "test" / "metrics.json",
            {
                "localization_method": "own",
                "localization": {"own": {**found, "pxap": found["peak_in_box"]}, "random": {}},
                "localization_all": {"own": figures(None, None, None)},
            },
        )
    merged = localization([tmp_path / "1", tmp_path / "2"], "test")
    assert tuple(merged) == LOCALIZATION
    peak = merged["peak_in_box"]
    assert (peak.value, peak.low, peak.high) == pytest.approx((0.5, 0.2, 0.8))


def test_localization_by_lungs_alone_and_without_any(tmp_path: Path) -> None:
    own = {"energy_in_lungs": {"value": 0.7, "low": None, "high": None}}
    content: dict[str, Any] = {"localization_method": "own", "localization": {"own": own}}
    path = tmp_path / "test" / "metrics.json"
    write_json(path, content)
    merged = localization([tmp_path], "test")
    assert merged["energy_in_lungs"].value == 0.7
    assert math.isnan(merged["energy_in_lungs"].low) and len(merged) == 1
    path.write_text(json.dumps({"localization": None}))
    assert localization([tmp_path], "test") == {}
