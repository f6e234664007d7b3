"""The benchmarks run and say what they measured; how fast is not a matter of tests."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import programs
from tests.export.bundles import exported, exported_small

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In this process; its cores are given back, for a script may keep to fewer."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        return programs.script(BENCHMARKS / script, "--threads", "1", *arguments)
    finally:
        if cores is not None:
            os.sched_setaffinity(0, cores)


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
@pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")
def test_an_archive_is_done_with_a_kill_in_the_middle(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "scale.json"
    few = ["--ways", "predict", "--films", "1000", "--phantoms", "3", "--side", "64"]
    few += ["--interval", "0.02"]
    bundle = ["--bundle", str(exported(run_folder).path)]
    run = programs.script(BENCHMARKS / "scale.py", *few, *bundle, "--out", out)
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())["ways"]["predict"]
    assert found["findings"] == found["different"] == found["radiographs"] == 1000
    assert 500 <= found["kept_after_the_kill"] <= 1000 and len(found["seconds"]) == 2
    assert all(50 < mib < 4000 for run in found["resident_mib"] for mib in run.values())
    assert "| predict |" in run.stdout and "1,000 of 1,000" in run.stdout
    run = programs.script(BENCHMARKS / "scale.py", *few, "--bundle", tmp_path / "absent.onnx")
    assert run.returncode == 1 and "predict failed: error:" in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")
def test_an_archive_that_is_done_before_the_kill_has_no_speed(
    run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scale.json"
    few = ["--ways", "predict", "--films", "9", "--phantoms", "3", "--side", "64"]
    bundle = ["--interval", "4", "--bundle", str(exported(run_folder).path)]
    run = programs.script(BENCHMARKS / "scale.py", *few, *bundle, "--out", out)
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())["ways"]["predict"]
    assert found["findings"] == found["kept_after_the_kill"] == 9
    assert found["radiographs_per_second"] is found["processor_ms_per_radiograph"] is None
    assert "| predict |  |  |" in run.stdout and "None" not in run.stdout


@pytest.mark.slow
def test_large_films_are_read_in_both_ways(run_folder: Path, tmp_path: Path) -> None:
    from pneumoscope.cohort.scan import ScanSettings, scan

    drawn, rows, boxes = (
        np.random.default_rng(0),
        ["image,label,patient"],
        ["image,x,y,width,height"],
    )
    for number in range(24):
        levels = drawn.integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(levels).resize((96, 96)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{('NORMAL', 'PNEUMONIA')[number % 2]},{number}")
        boxes.append(f"{number}.png,0,0,96,96")
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    (tmp_path / "boxes.csv").write_text("\n".join(boxes))
    cut = ScanSettings(fractions=(0.34, 0.33, 0.33))
    scan(tmp_path / "cohort.csv", cut).manifest.write(tmp_path / "manifest.csv")
    bundle, out = exported(run_folder).path, tmp_path / "out.json"
    command = [sys.executable, str(BENCHMARKS / "large_films.py"), str(tmp_path / "manifest.csv")]
    options = ["--boxes", str(tmp_path / "boxes.csv"), "--bundle", str(bundle), "--out", str(out)]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())
    assert found["side"] == 1024
    for way in ("whole", "reduced"):
        assert found[way]["radiographs"] == found[way]["boxed"] >= 8
        assert found[way]["peak_in_box"] == 1 and 0 <= found[way]["roc_auc"] <= 1


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Benchmarks as modules, by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


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
