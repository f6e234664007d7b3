from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from pneumoscope.assessment import explaining
from pneumoscope.bundles import BundleInfo
from pneumoscope.cli.explain import explain
from pneumoscope.errors import OutputError, SettingsError
from pneumoscope.evaluate import score_lungs
from pneumoscope.files import is_made_here
from pneumoscope.inference import EngineOutput, Runtime, heatmaps_beside, load_engine
from pneumoscope.inference import explain as inference

HOT = {"gradcam": (2, 5), "layercam": (5, 1)}


class Lungs:
    """Stands for the segmenter: two upright lungs, the same on every radiograph."""

    def segment(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        grid = np.zeros((len(pixels), 64, 64), dtype=np.float32)
        grid[:, 8:56, 8:28] = 1
        grid[:, 8:56, 36:56] = 1
        return grid


class Stub:
    """An engine with known answers: each method heats one cell of 8 x 8, `eigencam` none."""

    methods = ("gradcam", "layercam", "eigencam")
    runtime = Runtime("torch", "float32")
    streams = 1

    def __init__(self, info: BundleInfo) -> None:
        known = {"threshold": 0.5, "temperature": 1.0, "heatmap": "gradcam"}
        self.info = info.model_copy(update=known)

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        maps = {name: np.zeros((len(pixels), 8, 8), dtype=np.float32) for name in methods}
        for name, cells in maps.items():
            if name in HOT:
                cells[(slice(None), *HOT[name])] = 3.0
        # Dark radiographs are negative.
        logits = np.where(pixels.reshape(len(pixels), -1).mean(axis=1) > 64, 3.0, -3.0)
        return EngineOutput(logits, maps)


@pytest.fixture(autouse=True)
def lungs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_shipped_lungs", Lungs)


@pytest.fixture
def stub(run_folder: Path) -> Stub:
    return Stub(load_engine(run_folder).info)


def film(path: Path, brightness: int) -> Path:
    rng = np.random.default_rng(0)
    values = np.clip(rng.normal(brightness, 10, (100, 100)), 0, 255).astype(np.uint8)
    Image.fromarray(values).save(path)
    return path


def pair(path: Path) -> tuple[str, Path]:
    return path.as_posix(), path


def test_what_is_said_of_each_method(stub: Stub, tmp_path: Path) -> None:
    bright, bad = film(tmp_path / "b.png", 180), tmp_path / "bad.png"
    bad.write_text("no image")
    out = tmp_path / "out"
    others = ["layercam", "eigencam", "layercam+lungs"]
    content = explaining.explain_to_folder(stub, [pair(bright), pair(bad)], others, out)
    assert json.loads((out / "explain.json").read_text()) == content
    assert content["own_method"] == "gradcam"
    assert content["methods"] == ["gradcam", *others]
    said, failed = content["radiographs"]
    assert set(failed) == {"image", "error"} and failed["image"] == bad.as_posix()
    assert (said["label"], said["width"], said["height"]) == ("PNEUMONIA", 100, 100)
    assert said["probability"] == pytest.approx(1 / (1 + np.exp(-3.0)))
    # Two lungs of 48 x 20 of 64 x 64 cells.
    assert said["lungs_share"] == pytest.approx(2 * 48 * 20 / 64**2, abs=0.02)
    for name, (row, column) in HOT.items():
        own = said["methods"][name]
        centre = ((column + 0.5) * 100 / 8, (row + 0.5) * 100 / 8)
        assert np.hypot(own["peak"]["x"] - centre[0], own["peak"]["y"] - centre[1]) <= 1
        (region,) = own["regions"]
        assert region["x"] <= centre[0] <= region["x"] + region["width"]
        assert region["y"] <= centre[1] <= region["y"] + region["height"]
    assert said["methods"]["eigencam"] == {"peak": None, "regions": [], "share_in_lungs": None}
    # Interpolated linearly a cell is a tent two cells wide. That of column 5 (4.5 to 6.5 of 8) lies
    # in the right-hand lung (4.5 to 7). Of column 1 (0.5 to 2.5) the left-hand one (1 to 3.5)
    # misses the first quarter, which holds an eighth of the heat.
    inside, edge = (said["methods"][name]["share_in_lungs"] for name in HOT)
    assert inside == pytest.approx(1, abs=0.01) and edge == pytest.approx(7 / 8, abs=0.03)
    assert said["methods"]["layercam+lungs"]["share_in_lungs"] > 0.98
    assert sorted(path.name for path in out.iterdir()) == sorted([said["picture"], "explain.json"])
    with Image.open(out / said["picture"]) as picture:
        assert picture.mode == "RGB" and picture.width > picture.height


def test_a_film_called_negative_has_no_regions(stub: Stub, tmp_path: Path) -> None:
    dark = film(tmp_path / "d.png", 30)
    content = explaining.explain_to_folder(stub, [pair(dark)], [], tmp_path / "out")
    (said,) = content["radiographs"]
    assert said["label"] == "NORMAL"
    assert said["methods"]["gradcam"]["regions"] == []
    assert said["methods"]["gradcam"]["peak"] is not None


def test_what_was_finished_is_kept(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, calls = explaining._draw, 0

    def interrupted(*arguments: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        assert is_made_here(tmp_path / "out")  # After a hard kill, too.
        if calls == 2:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(explaining, "_draw", interrupted)
    films = [pair(film(tmp_path / name, 180)) for name in ("a.png", "b.png")]
    with pytest.raises(KeyboardInterrupt):
        explaining.explain_to_folder(stub, films, [], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "explain.json").read_text())
    assert [said["image"] for said in content["radiographs"]] == [films[0][0]]


def test_methods_are_chosen(stub: Stub, run_folder: Path) -> None:
    assert heatmaps_beside(stub, "all") == ["layercam", "eigencam"]
    assert heatmaps_beside(stub, "eigencam, gradcam,gradcam+mirror+lungs,eigencam") == [
        "eigencam",
        "gradcam+mirror+lungs",
    ]
    assert heatmaps_beside(stub, "randomised_weights") == ["randomised_weights"]
    with pytest.raises(SettingsError, match=r"attention_rollout.*layercam"):
        heatmaps_beside(stub, "gradcam,attention_rollout")
    with pytest.raises(SettingsError, match="is not a heatmap"):
        heatmaps_beside(stub, "gradcam,,layercam")
    # A convolutional bundle has no attention to roll out.
    engine = load_engine(run_folder)
    assert {"gradcam", "hirescam", "scorecam"} <= set(engine.methods)
    assert "attention_rollout" not in engine.methods


def test_peak_of_a_plateau_is_its_middle() -> None:
    heat = np.zeros((9, 9), dtype=np.float32)
    assert explaining.peak_of(heat) is None
    assert explaining.peak_of(heat + 1) is None
    heat[2:5, 1:8] = 0.5
    assert explaining.peak_of(heat) == (4.5, 3.5)
    heat[8, 0] = 0.6
    assert explaining.peak_of(heat) == (0.5, 8.5)


def test_share_in_lungs() -> None:
    heat = np.array([[0.5, 0.25], [0.25, 0.0]], dtype=np.float32)
    mask = np.array([[True, False], [False, True]])
    assert explaining.share_in(heat, mask) == pytest.approx(0.5)
    assert explaining.share_in(heat, None) is None
    assert explaining.share_in(np.zeros_like(heat), mask) is None
    # As the figures of `evaluate` count it.
    noise = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    lungs = noise > 0.3
    expected = score_lungs(noise, lungs).energy_in_lungs
    assert explaining.share_in(noise, lungs) == pytest.approx(expected, rel=1e-6)


def test_the_command(run_folder: Path, phantoms: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(explain)
    films = sorted((phantoms / "images").iterdir())[:2]
    out = tmp_path / "out"
    options = ["--bundle", str(run_folder), "--out", str(out)]
    (tmp_path / "bad.png").write_text("no image")
    arguments = [*map(str, films), str(tmp_path / "bad.png"), *options]
    result = CliRunner().invoke(app, [*arguments, "--methods", "gradcam,hirescam+mirror"])
    assert result.exit_code == 0, result.output
    assert "2 of 3 radiographs explained by" in " ".join(result.output.split())
    content = json.loads((out / "explain.json").read_text())
    assert {"gradcam", "hirescam+mirror"} <= set(content["methods"])
    assert [("error" in said) for said in content["radiographs"]] == [False, False, True]
    assert len(list(out.glob("*.png"))) == 2
    # A folder that holds something is never written into.
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, OutputError)
    # A mistake in the methods leaves no folder behind.
    arguments[-1] = str(tmp_path / "other")
    result = CliRunner().invoke(app, [*arguments, "--methods", "lime"])
    assert isinstance(result.exception, SettingsError)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_the_default_bundle_is_explained_in_every_way(phantoms: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(explain)
    film = sorted((phantoms / "images").iterdir())[0]
    result = CliRunner().invoke(app, [str(film), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    methods = json.loads((tmp_path / "out" / "explain.json").read_text())["methods"]
    # The exported file alone knows one.
    assert {"regional", "gradcam", "hirescam", "eigencam"} <= set(methods)
