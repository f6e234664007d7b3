"""The benchmarks run and say what they measured; how fast is not a matter of tests."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.export.bundles import exported, exported_small

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), "--threads", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _measured(script: str, tmp_path: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    out = tmp_path / "out.json"
    tiny = ["--films", "8", "--film-side", "64", "--size", "64", "--batch", "4", "--repeats", "1"]
    run = _run(script, *tiny, "--steps", "1", "--out", str(out), *arguments)
    assert run.returncode == 0, run.stderr
    result: dict[str, Any] = json.loads(out.read_text())
    return run.stdout, result


@pytest.mark.slow
def test_both_ways_of_training_are_timed(tmp_path: Path) -> None:
    names = ["resnet18", "mobilenet_v3"]
    table, result = _measured("train.py", tmp_path, "--backbones", *names)
    assert list(result["backbones"]) == names
    for name, compared in result["backbones"].items():
        assert f"| {name} |" in table
        assert compared["times_as_fast"]["median"] > 0
        for way in ("ours", "paper"):
            (turn,) = compared[way]["turns"]
            assert turn["radiographs"] == 4 and turn["seconds"] > 0 and turn["cpu_seconds"] > 0
    assert result["machine"]["threads"] == 1
    assert result["radiographs"].startswith("8 phantoms")


@pytest.mark.slow
def test_pipelines_are_timed_on_ones_own_files(phantoms: Path, tmp_path: Path) -> None:
    table, result = _measured("pipeline.py", tmp_path, "--data", str(phantoms / "images"))
    assert len(result["pipelines"]) == 4 and table.count("\n") == 6
    assert result["radiographs"].startswith("8 own files")


@pytest.mark.slow
def test_all_explain_the_same_and_are_timed(tmp_path: Path) -> None:
    out = tmp_path / "speed" / "explain.json"
    ways = ["grad-cam", "torchcam", "torch float32", "onnxruntime float32", "onnxruntime int8"]
    tiny = ["--films", "2", "--film-side", "64", "--size", "64", "--repeats", "1", "--seconds", "0"]
    few = ["--backbones", "resnet18", "--batches", "2", "--ways", *ways]
    kept = tmp_path / "bundles"
    run = _run("explain.py", *tiny, *few, "--bundles", str(kept), "--out", str(out))
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())["backbones"]["resnet18"]
    assert found["gmacs"] > 0
    for way in ways[:-1]:
        assert found["agreement"][way]["correlation"] > 0.9999
        assert found["agreement"][way]["probability"] < 1e-4
    # Too little for an opinion on how well integers do; that they were used.
    assert found["agreement"][ways[-1]]["probability"] > 0
    measured = found["batches"]["2"]
    assert list(measured["ways"]) == ways
    assert measured["times_as_fast"]["torchcam"]["torchcam"]["median"] == 1
    assert all(0 < share < 10 for share in measured["share_of_peak"].values())
    assert "**Times as fast as grad-cam, batch 2**" in run.stdout
    assert run.stdout.count("| resnet18 |") == 5
    files = {path.name for path in (kept / "resnet18").iterdir()}
    assert {"model.onnx", "model.int8.onnx"} < files


@pytest.mark.slow
def test_the_whole_command_is_timed(phantoms: Path, run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "predict.json"
    few = ["--data", str(phantoms / "images"), "--films", "3", "--repeats", "1"]
    bundle = ["--bundle", str(exported(run_folder).path), "--written", "findings"]
    run = _run("predict.py", *few, *bundle, "--out", str(out))
    assert run.returncode == 0, run.stderr
    (label, found), *others = json.loads(out.read_text())["bundles"].items()
    assert not others and label.startswith("resnet18, ") and label in run.stdout
    assert found["one_file_seconds"]["median"] > found["interpreter_seconds"]["median"] > 0
    assert found["networks_alone"]["median"] > 0
    (command,) = found["commands"].values()
    assert command["radiographs_per_second"]["median"] > 0 and command["share"]["median"] > 0
    assert [turn["radiographs"] for turn in found["turns"]["own files, findings"]] == [3]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_read_while_the_command_runs(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    few = ["--at", "2", "6", "--phantoms", "3", "--side", "64", "--out", str(out)]
    script = [sys.executable, str(BENCHMARKS / "memory.py"), *few]
    bundle = ["--bundle", str(exported(run_folder).path)]
    run = subprocess.run([*script, *bundle], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())["resident_mib"]
    assert list(found) == ["2", "6"] and all(50 < each < 2000 for each in found.values())
    assert run.stdout.count("\n") == 4
    bad = [*script, "--bundle", str(tmp_path / "absent.onnx")]
    run = subprocess.run(bad, capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "predict failed: error:" in run.stderr


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Benchmarks as modules, by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


class Clock:
    """A way that takes as long as it is told to, and notes what is asked of it."""

    def __init__(self, notes: list[str], name: str, seconds: float) -> None:
        self.notes, self.name, self.seconds = notes, name, seconds

    def turn(self) -> AbstractContextManager[object]:
        self.notes.append(f"turn of {self.name}")
        return nullcontext()

    def step(self) -> int:
        self.notes.append(self.name)
        time.sleep(self.seconds)
        return 2


def test_turns_alternate_and_warm_up_once(modules: Any) -> None:
    timing, notes = modules("_timing"), list[str]()
    ways = {name: Clock(notes, name, 0) for name in "ab"}
    turns = timing.take_turns(ways, timing.Pace(2, steps=2, warm_up="first turn"))
    first = ["turn of a", "a", "a", "a", "turn of b", "b", "b", "b"]
    assert notes == [*first, "turn of a", "a", "a", "turn of b", "b", "b"]
    assert [turn.radiographs for turn in turns["a"]] == [4, 4]


def test_turns_last_and_end_as_told(modules: Any) -> None:
    timing = modules("_timing")
    ways = {"a": Clock([], "a", 0.01)}
    (long,) = timing.take_turns(ways, timing.Pace(1, seconds=0.05))["a"]
    assert long.seconds >= 0.05 and long.radiographs > 2
    assert len(timing.take_turns(ways, timing.Pace(9, budget=0))["a"]) == 3


class Painter:
    """A way that gives one answer whatever it sees."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def explain(self, _pixels: object) -> Any:
        return self.answer


def test_maps_of_something_else_are_not_timed(modules: Any) -> None:
    explain, ways = modules("explain"), modules("_explain_way")
    draw = np.random.default_rng(0)
    film, other = draw.random((2, 8, 8)), draw.random((2, 8, 8))
    one, wrong = (ways.Answer(np.array([0.5, 0.5]), maps) for maps in (film, other))
    brighter = ways.Answer(np.array([0.5, 0.25]), film / 2 + 0.1)

    def compared(**answers: Any) -> Any:
        painters = {name.replace("_", " "): Painter(each) for name, each in answers.items()}
        return explain._agreement(painters, np.zeros((2, 8, 8), dtype=np.uint8))

    found = compared(torchcam=one, torch_float32=brighter, openvino_int8=wrong)
    assert found["torch float32"]["correlation"] == pytest.approx(1)
    assert found["torch float32"]["probability"] == 0.25
    assert found["openvino int8"]["correlation"] < 0.9
    assert not any(explain._differs(name, figures) for name, figures in found.items())
    flat = ways.Answer(one.probability, np.zeros_like(film))
    for bad in (wrong, flat):
        found = compared(torchcam=one, torch_float32=bad)
        assert [explain._differs(name, each) for name, each in found.items()] == [False, True]


def test_ways_that_a_backbone_lacks_leave_a_gap(modules: Any) -> None:
    tables = modules("_explain_tables")
    full, part = (
        {"agreement": {name: {"correlation": 1.0} for name in names}, "batches": {}}
        for names in (("torchcam", "openvino int8"), ("torchcam",))
    )
    result = {"batches": [], "left_out": {"torch bfloat16": "none"}}
    text = tables.tables({**result, "backbones": {"one": full, "other": part}})
    assert "| one | 1.0000 | 1.0000 |" in text and "| other | 1.0000 |  |" in text
    assert "Left out: torch bfloat16 (none)." in text
    assert text.endswith("Not timed on other: torchcam, its heatmaps differ.")


def test_phantoms_are_written_as_dicom(phantoms: Path, tmp_path: Path, modules: Any) -> None:
    from pneumoscope.imaging import read_radiograph

    film = tmp_path / "film.jpg"
    with Image.open(next((phantoms / "images").iterdir())) as image:
        image.convert("L").save(film)
    (written,) = modules("_predict_ways").write_as_dicom([film], tmp_path / "dicom")
    one, other = read_radiograph(film).pixels, read_radiograph(written).pixels
    assert one.shape == other.shape
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train.py", ["--backbones", "alexnet"], "unknown backbone 'alexnet'"),
        ("train.py", ["--data", "absent"], "holds 0 JPEG or PNG files"),
        ("explain.py", ["--films", "4"], "a batch of 32 needs as many radiographs"),
        ("predict.py", ["--bundle", "absent.onnx", "--films", "1", "--film-side", "64"], "absent"),
    ],
)
def test_impossible_wishes_are_refused(script: str, arguments: Sequence[str], message: str) -> None:
    run = _run(script, *arguments)
    assert run.returncode == 2 and message in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_a_server_under_load_loses_nothing(phantoms: Path) -> None:
    bundle = exported_small("resnet18", "linear", "gradcam").path
    few = ["--requests", "8", "--many", "10", "--distinct", "4"]
    films = ["--films", str(phantoms / "images")]
    command = [sys.executable, str(BENCHMARKS / "serve.py"), "--bundle", str(bundle)]
    run = subprocess.run([*command, *films, *few], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["engine_per_second"] > 0 and found["share"] > 0
    assert found["saturation"]["outcomes"] == found["half_load"]["outcomes"] == {"right": 8}
    overload = found["overload"]["outcomes"]
    assert set(overload) <= {"right", "429"} and sum(overload.values()) == 80
    assert found["after"]["outcomes"] == {"right": 10}
    assert len(found["memory_mb"]) == 5
