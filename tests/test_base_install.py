"""A base install predicts: a separate environment that has no torch, no onnx and no OpenVINO."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoscope.bundles import DEFAULT
from pneumoscope.extras import LIBRARIES
from pneumoscope.inference import Explained, explain_in, load_engine
from tests.dicom.films import film
from tests.export.bundles import exported
from tests.serve.processes import served

ROOT = Path(__file__).parents[1]
_ABSENT = (
    "torch", "torchvision", "timm", "lightning", "safetensors", "onnx", "onnxscript", "openvino",
    "openvino_telemetry", "ray", "pyarrow", "skimage", "tensorboard", "pytest", "scipy", "pandas",
    "sklearn", "matplotlib",
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


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# Python runs it before anything else, in child processes too.
_SITE = f"""
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LIBRARIES["train"]!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs that are started find no library of the extras `evaluate` and `train`."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(_SITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


def command(*arguments: object) -> None:
    """A command of the base install that ends well."""
    done = subprocess.run(
        [sys.executable, "-m", "pneumoscope", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.fixture(scope="module")
def phantom_film(phantoms: Path) -> Path:
    return sorted((phantoms / "images").glob("*.png"))[0]


@pytest.mark.usefixtures("base")
def test_the_libraries_are_absent_indeed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import pandas"], capture_output=True, text=True, check=False
    )
    assert "No module named 'pandas'" in done.stderr


@pytest.mark.usefixtures("base")
def test_predict_makes_findings_overlays_and_heatmaps(phantom_film: Path, tmp_path: Path) -> None:
    command("predict", phantom_film, "--out", tmp_path / "out")
    (found,) = map(json.loads, (tmp_path / "out" / "findings.jsonl").read_text().splitlines())
    assert found["error"] is None and (tmp_path / "out" / found["heatmap"]).is_file()


@pytest.mark.usefixtures("base")
def test_explain_draws_what_the_file_knows(phantom_film: Path, tmp_path: Path) -> None:
    command("explain", phantom_film, "--out", tmp_path / "out", "--no-gate")
    content = json.loads((tmp_path / "out" / "explain.json").read_text())
    (drawn,) = content["radiographs"]
    assert (tmp_path / "out" / drawn["picture"]).is_file()


@pytest.mark.usefixtures("base")
def test_dicom_objects_are_written(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    path = film(tmp_path / "film.dcm")
    command("predict", path, "--format", "dicom", "--out", tmp_path / "out", "--no-gate")
    written = {each.name for each in (tmp_path / "out").rglob("*.dcm")}
    assert {"sc.dcm", "sr.dcm"} <= written


@pytest.mark.usefixtures("base")
def test_the_server_reads_a_film(phantom_film: Path) -> None:
    httpx = pytest.importorskip("httpx")
    with served(DEFAULT) as (address, _), phantom_film.open("rb") as stream:
        answer = httpx.post(
            f"{address}/v1/findings", content=stream, headers={"Content-Type": "image/png"},
            timeout=120,
        )  # fmt: skip
    assert answer.status_code == 200, answer.text


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("call", ["Manifest", "scan('films')", "read_cohort('cohort.csv')"])
def test_python_names_the_extra_too(call: str) -> None:
    code = f"import pneumoscope; pneumoscope.load; pneumoscope.explain; pneumoscope.{call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("pneumoscope.errors.MissingExtra: ") and "'evaluate'" in last


def test_the_help_of_predict_imports_none_of_them() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pneumoscope", "predict", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()
    }
    assert "typer" in imported
    assert not imported & {*LIBRARIES["train"], "onnxruntime", "pydicom"}


@pytest.mark.slow
def test_a_base_install_predicts_without_torch(
    run_folder: Path, phantoms: Path, tmp_path: Path
) -> None:
    model, film = exported(run_folder).path, sorted((phantoms / "images").glob("*.png"))[0]
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    empty = size(environment)
    # What is never imported need not be compiled either.
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet")
    run(*pip, "--no-compile", "-c", ROOT / "constraints.txt", ROOT)
    installed = size(environment) - empty
    assert installed <= 290e6

    by_api = json.loads(run(programs / "python", "-c", _CODE, model, film))
    out = tmp_path / "findings"
    run(programs / "pneumoscope", "predict", film, "--bundle", model, "--out", out)
    (by_cli,) = map(json.loads, (out / "findings.jsonl").read_text().splitlines())
    (by_torch,) = explain_in(load_engine(run_folder), [(str(film), film)])
    assert isinstance(by_torch, Explained)
    for found in (by_api, by_cli):
        assert found["model"] == by_torch.finding.model
        assert found["probability"] == pytest.approx(by_torch.finding.probability, abs=1e-4)
        assert len(found["regions"]) == len(by_torch.finding.regions)
    assert (out / by_cli["heatmap"]).is_file()
