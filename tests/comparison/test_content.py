"""What the pages are told, from a finished run."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.content import absent, make_content, metrics_content
from pneumoscope.comparison.cost import COST
from pneumoscope.comparison.finished import start_of
from pneumoscope.comparison.plan import PlannedRun, bundle_digest
from pneumoscope.comparison.session import Outcome, Task
from pneumoscope.evaluate import ModelScores, compare_models
from pneumoscope.files import write_json
from pneumoscope.training.settings import make_settings, read_settings

COSTS = {
    "parameters": 10,
    "gmacs": 1.5,
    "bundle_mb": 2.0,
    "train_seconds_per_1000": None,
    "radiographs_per_second": 8.0,
    "heatmaps_per_second": 4.0,
    "peak_memory_mb": None,
    "machine": "abacus",
}


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> PlannedRun:
    folder = tmp_path / "resnet18-seed1"
    shutil.copytree(run_folder, folder)
    return PlannedRun(read_settings(folder / "config.yaml"), folder)


def scores(seed: int) -> ModelScores:
    rng = np.random.default_rng(seed)
    targets = np.arange(20) % 2
    return ModelScores(
        backbone="resnet18",
        seed=seed,
        targets=targets,
        probabilities=np.clip(0.5 * targets + 0.5 * rng.random(20), 0, 1),
        patients=[f"p{i}" for i in range(20)],
        images=[f"{i}.png" for i in range(20)],
        threshold=0.5,
        val_roc_auc=0.8,
    )


def test_content_says_what_was_done(run: PlannedRun, manifest_file: Path) -> None:
    manifest = Manifest.read(manifest_file)
    task = Task(manifest, manifest.digest(), "test")
    problem = "the hub cannot be reached"
    outcome = Outcome([run], {"vit_b_16-seed1": problem, "resnet18-seed2": "diverged"})
    cost = {"version": 1, "bundle": bundle_digest(run.folder), "cost": COSTS}
    write_json(run.folder / COST, cost)
    content = make_content(
        outcome, task, compare_models([scores(1)], resamples=20), name="c", sheet=None, command="x"
    )
    assert content.starts == {"resnet18": "from scratch"}
    found = content.costs["resnet18"]
    seconds = float((run.folder / "history.csv").read_text().splitlines()[1].split(",")[-1])
    train = len(manifest.subset("train"))
    assert found.train_seconds_per_1000 == pytest.approx(seconds * 1000 / train)
    assert found.machine == "abacus" and math.isnan(found.peak_memory_mb)
    assert content.cohort["test"] == len(manifest.subset("test"))
    assert content.settings["size"] == 64 and "backbone" not in content.settings
    # A backbone whose other seed is in the comparison is not itself absent from it.
    assert content.failures == {"vit_b_16": problem, "resnet18-seed2": "diverged"}
    written = json.loads(json.dumps(metrics_content(content, outcome, task), allow_nan=False))
    assert written["costs"]["resnet18"]["peak_memory_mb"] is None
    assert written["runs"]["resnet18-seed1"]["bundle_digest"] == bundle_digest(run.folder)
    assert written["rows"][0]["name"] == "resnet18" and written["cohort"]["digest"]


def test_a_seed_that_failed_is_told_from_its_backbone_whatever_its_name() -> None:
    settings = make_settings(backbone="hf-hub:owner/name")
    outcome = Outcome(
        [PlannedRun(settings, Path("hf-hub-owner-name-seed1"))],
        {"hf-hub-owner-name-seed2": "diverged"},
    )
    assert absent(outcome) == {"hf-hub-owner-name-seed2": "diverged"}


def test_a_backbone_that_failed_with_every_seed_is_said_once() -> None:
    outcome = Outcome([], {"vit_b_16-seed1": "no weights", "vit_b_16-seed2": "no weights"})
    assert absent(outcome) == {"vit_b_16": "no weights"}


@pytest.mark.parametrize(
    ("choice", "name", "words"),
    [
        ("none", "random (from scratch)", "from scratch"),
        ("auto", "timm/resnet18.tv_in1k", "ImageNet (timm/resnet18.tv_in1k)"),
        ("auto", "timm/resnet34.a1_in1k", "ImageNet (timm/resnet34.a1_in1k)"),
        ("auto", "microsoft/rad-dino", "its own weights (microsoft/rad-dino)"),
        ("my.pth", "my.pth", "weights file (my.pth)"),
    ],
)
def test_the_start_in_words(run: PlannedRun, choice: str, name: str, words: str) -> None:
    path = run.folder / "bundle" / "bundle.json"
    content = json.loads(path.read_text())
    content["training"]["weights"] |= {"choice": choice, "name": name}
    write_json(path, content)
    assert start_of(read_bundle(replace(run).folder)[1]) == words
