"""A base install, without torch and its kin, predicts from an exported file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pneumoscope.inference import Explained, explain_in, load_engine
from tests.export.bundles import exported

_FORBIDDEN = (
    "torch", "torchvision", "timm", "lightning", "pytorch_lightning", "safetensors", "onnx",
    "onnxscript", "skimage", "tensorboard",
)  # fmt: skip

_CODE = f"""
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_FORBIDDEN!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Forbidden())
model, film, out = sys.argv[1:]

import pneumoscope
heavy = {{"numpy", "pydantic", "onnxruntime", "pandas"}} & set(sys.modules)
assert not heavy, heavy
found = pneumoscope.load(model, threads=1).find(film)
print(found.finding.json_line())

from pneumoscope.cli import main
def run(*arguments):
    sys.argv = ["pneumoscope", *arguments]
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0

assert run("predict", film, "--bundle", model, "--out", out) == 0
assert run("explain", film, "--bundle", model, "--out", out + "-explained") == 0
assert run("explain", film, "--out", out + "-by-default") == 0
assert run("export", model) == 2
loaded = set({_FORBIDDEN!r}) & set(sys.modules)
assert not loaded, loaded
"""


def test_a_file_is_enough(run_folder: Path, phantoms: Path, tmp_path: Path) -> None:
    model, film = exported(run_folder).path, sorted((phantoms / "images").glob("*.png"))[0]
    out = tmp_path / "findings"
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(model), str(film), str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    by_api = json.loads(done.stdout.splitlines()[0])
    (by_cli,) = map(json.loads, (out / "findings.jsonl").read_text().splitlines())
    (by_torch,) = explain_in(load_engine(run_folder), [(str(film), film)])
    assert isinstance(by_torch, Explained)
    for found in (by_api, by_cli):
        assert abs(found["probability"] - (by_torch.finding.probability or 0)) < 1e-4
        assert found["model"] == by_torch.finding.model
        assert len(found["regions"]) == len(by_torch.finding.regions)
    assert json.loads((tmp_path / "findings-explained" / "explain.json").read_text())["methods"]
    # `export` says what it needs instead of a traceback.
    assert "the extra 'train'" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
