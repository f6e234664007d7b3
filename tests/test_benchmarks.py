"""The benchmarks run and say what they measured; how fast is not a matter of tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbones", "alexnet"], "unknown backbone 'alexnet'"),
        (["--data", "absent"], "holds 0 JPEG or PNG files"),
    ],
)
def test_impossible_wishes_are_refused(arguments: list[str], message: str) -> None:
    run = _run("train.py", *arguments)
    assert run.returncode == 2 and message in run.stderr
    assert "Traceback" not in run.stderr
