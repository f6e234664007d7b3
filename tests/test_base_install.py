"""A base install predicts: a separate environment that has no torch, no onnx and no OpenVINO."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from pneumoscope.inference import Explained, explain_files, load_engine
from tests.export.bundles import exported

ROOT = Path(__file__).parents[1]
_ABSENT = (
    "torch", "torchvision", "timm", "lightning", "safetensors", "onnx", "onnxscript", "openvino",
    "openvino_telemetry", "ray", "pyarrow", "skimage", "tensorboard", "pytest",
)  # fmt: skip

_CODE = f"""
import sys
from importlib.util import find_spec

there = [name for name in {_ABSENT!r} if find_spec(name)]
assert not there, there
import pneumoscope
assert sys.prefix in pneumoscope.__file__, pneumoscope.__file__
model, film = sys.argv[1:]
found = pneumoscope.load(model).find(film)
assert found.heatmap.shape == found.radiograph.pixels.shape
print(found.finding.json_line())
# Nor does any of it come by a detour, or what is only for other commands.
loaded = {{"scipy", "sklearn", "pandas", "matplotlib", "jinja2", "pydicom"}} & set(sys.modules)
assert not loaded, loaded
"""


def run(*command: object) -> str:
    """Run a program away from the checkout, with nothing but its own packages."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(sys.executable).anchor,
        env={**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def seconds(commands: Iterable[Sequence[object]]) -> float:
    """The median time of some runs."""
    taken = []
    for command in commands:
        start = time.perf_counter()
        run(*command)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_base_install_predicts_without_torch(
    run_folder: Path, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, film = exported(run_folder).path, sorted((phantoms / "images").glob("*.png"))[0]
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    empty = size(environment)
    # What is never imported need not be compiled either.
    pip = (programs / "python", "-m", "pip", "install", "--quiet", "--no-compile")
    run(*pip, "-c", ROOT / "constraints.txt", ROOT)
    installed = size(environment) - empty

    by_api = json.loads(run(programs / "python", "-c", _CODE, model, film))
    out = tmp_path / "findings"
    run(programs / "pneumoscope", "predict", film, "--bundle", model, "--out", out)
    (by_cli,) = map(json.loads, (out / "findings.jsonl").read_text().splitlines())
    (by_torch,) = explain_files(load_engine(run_folder), [(str(film), film)])
    assert isinstance(by_torch, Explained)
    for found in (by_api, by_cli):
        assert found["model"] == by_torch.finding.model
        assert found["probability"] == pytest.approx(by_torch.finding.probability, abs=1e-4)
        assert len(found["regions"]) == len(by_torch.finding.regions)
    assert (out / by_cli["heatmap"]).is_file()

    predict = (programs / "pneumoscope", "predict", film, "--bundle", model, "--out")
    alone = seconds([(programs / "python", "-c", "pass")] * 5)
    whole = seconds([(*predict, tmp_path / str(number)) for number in range(5)])
    with capsys.disabled():
        print(
            f"\nbase install: {installed / 1e6:.0f} MB; predict on one film, median of 5: ", end=""
        )
        print(f"{whole:.2f} s, of which python itself {alone:.2f} s")
