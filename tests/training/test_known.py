"""What training starts from must not know the radiographs that are held out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoscope.bundles import DEFAULT_FOLDER, SeenInfo
from pneumoscope.bundles.info import INFO_FILE
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.folds import cross_validate
from pneumoscope.errors import SettingsError
from pneumoscope.training import runner
from pneumoscope.training.known import known_before
from pneumoscope.training.settings import make_settings


@pytest.fixture
def teacher(manifest_file: Path, tmp_path: Path) -> Path:
    """A bundle that says it was trained on the phantoms as their manifest splits them."""
    bundle = tmp_path / "teacher"
    shutil.copytree(DEFAULT_FOLDER, bundle, ignore=shutil.ignore_patterns("*.onnx"))
    manifest = Manifest.read(manifest_file)
    seen = SeenInfo.of(manifest.digest(), *manifest.keys_by_split())
    described = json.loads((bundle / INFO_FILE).read_text()) | {"seen": seen.model_dump()}
    (bundle / INFO_FILE).write_text(json.dumps(described))
    return bundle


def test_the_same_split_is_fine_and_another_one_is_told(manifest_file: Path, teacher: Path) -> None:
    manifest = Manifest.read(manifest_file)
    settings = make_settings(teacher=str(teacher))
    assert known_before(manifest, settings) == ""
    table = manifest.table
    swapped = table["split"].map({"train": "test", "test": "train", "val": "val"})
    other = replace(manifest, table=table.assign(split=swapped))
    count = int((table["split"] == "train").sum())
    for chosen in (settings, make_settings(weights=str(teacher))):
        assert known_before(other, chosen).startswith(f"{count} radiographs of val or test were")
    assert known_before(other, make_settings(teacher="default")) == ""
    assert known_before(other, make_settings(weights="none")) == ""


def test_training_warns(
    manifest_file: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.read(manifest_file)
    split = manifest.table["split"].map({"train": "val", "val": "train", "test": "test"})
    other = replace(manifest, table=manifest.table.assign(split=split))
    monkeypatch.setattr(runner, "_run", lambda *_: None)
    with pytest.warns(UserWarning, match="Figures on them are too good"):
        runner.start_run(other, make_settings(teacher=str(teacher)), tmp_path / "run")


def test_folds_refuse_it(manifest_file: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    with pytest.raises(SettingsError, match="too good"):
        cross_validate(Manifest.read(manifest_file), make_settings(teacher=str(teacher)), out, 3)
    assert not out.exists()
