"""The bundle that comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pneumoscope
from pneumoscope.bundles import DEFAULT, DEFAULT_FOLDER, find_bundle, read_bundle
from pneumoscope.bundles.info import ONNX_FILE, WEIGHTS_FILE

RESULTS = Path(__file__).parents[2] / "results" / "self_taught"
COHORTS = ("kermany", "siim", "rsna", "nih")


def test_file_and_folder_are_the_same_model() -> None:
    file, exported = read_bundle(DEFAULT)
    folder, info = read_bundle(DEFAULT, weights=True)
    assert (file, folder) == (DEFAULT_FOLDER / ONNX_FILE, DEFAULT_FOLDER)
    assert exported.model_copy(update={"export": None}) == info
    assert exported.export is not None and exported.export.quality["float32"].good
    assert info.review is not None


def test_it_is_small_and_without_this_machines_paths() -> None:
    files = list(DEFAULT_FOLDER.iterdir())
    assert sum(path.stat().st_size for path in files) <= 15e6
    for path in files:
        if path.suffix in (".json", ".md"):
            assert "/work/" not in path.read_text() and "/root/" not in path.read_text()


def test_its_card_says_what_results_say() -> None:
    card = json.loads((DEFAULT_FOLDER / "model_card.json").read_text())
    text = (DEFAULT_FOLDER / "MODEL_CARD.md").read_text()
    assert card["model"] == read_bundle(DEFAULT)[1].model_id
    assert set(card["measured"]["cohorts"]) == set(COHORTS)
    for name in COHORTS:
        metrics = json.loads((RESULTS / f"efficientnet_lite0-{name}" / "metrics.json").read_text())
        assert metrics["model"] == card["model"] and metrics["split"] == "test"
        stated = card["measured"]["cohorts"][name]["classification"]
        assert stated == metrics["classification"]
        assert f"{stated['roc_auc']['value']:.3f} (" in text
    assert "Not for diagnosis" in text and "## How it was chosen" in text


def test_a_folder_of_that_name_is_not_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    assert find_bundle(Path("default")) == DEFAULT_FOLDER / ONNX_FILE
    assert find_bundle(Path("default"), weights=True) == DEFAULT_FOLDER
    assert (DEFAULT_FOLDER / WEIGHTS_FILE).is_file()


def test_python_finds_with_it() -> None:
    from pneumoscope.audit import phantom_films

    reader = pneumoscope.load()
    assert reader.runtime.engine in ("onnxruntime", "openvino")
    film = phantom_films(2, 5, 256)[0]
    found = reader.find(film.pixels[film.content])
    assert found.finding.model == read_bundle(DEFAULT)[1].model_id
    assert found.finding.summary and found.finding.uncertain is not None
