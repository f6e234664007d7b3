"""Bundles: what was written comes back, and anything else is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pneumoscope.bundles import read_bundle
from pneumoscope.errors import BundleError


@pytest.fixture
def bundle(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))


def test_a_run_and_its_bundle_are_the_same(run_folder: Path) -> None:
    assert read_bundle(run_folder) == read_bundle(run_folder / "bundle")
    folder, info = read_bundle(run_folder)
    assert folder.name == "bundle"
    assert info.labels == ("NORMAL", "PNEUMONIA")
    assert info.model_id.startswith("resnet18@")
    assert info.training.splits["train"]["patients"] > 0


def test_altered_weights_are_refused(bundle: Path) -> None:
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"model\.safetensors: was altered"):
        read_bundle(bundle)


def test_missing_weights_are_refused(bundle: Path) -> None:
    (bundle / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="missing from the bundle"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2 is unknown"),
        ({"surprise": 1}, "surprise"),
        ({"threshold": 1.5}, "threshold"),
        ({"temperature": 0}, "temperature"),
        ({"files": {"../../etc/passwd": "00"}}, "files"),
        ({"heatmap": "guess!"}, "heatmap.*is not a heatmap"),
        ({"files": {}}, r"names no model\.safetensors"),
    ],
)
def test_what_is_unknown_is_refused(bundle: Path, change: dict[str, object], message: str) -> None:
    path = bundle / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle)


def test_no_json_no_folder_no_bundle(bundle: Path, tmp_path: Path) -> None:
    (bundle / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        read_bundle(bundle)
    with pytest.raises(BundleError, match="no such bundle"):
        read_bundle(tmp_path / "absent")
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        read_bundle(tmp_path.parent)
