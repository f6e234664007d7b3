"""`pneumoscope export`, and the commands that take its file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner, Result

from pneumoscope.bundles import read_bundle, read_onnx
from pneumoscope.cli import app
from pneumoscope.errors import BundleError, CohortError, OutputError, SettingsError
from tests.export.bundles import exported, trace_once


def pneumoscope(*arguments: object) -> Result:
    """Run a command in this process; its errors come through."""
    return CliRunner().invoke(
        app, [str(each) for each in arguments], catch_exceptions=False, env={"COLUMNS": "200"}
    )


@pytest.fixture(scope="module")
def file(run_folder: Path) -> Path:
    return exported(run_folder).path


@pytest.fixture(autouse=True)
def traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing takes most of an export's time."""
    monkeypatch.setattr("pneumoscope.export.writing.trace", trace_once)


@pytest.fixture
def moved_run(run_folder: Path, tmp_path: Path) -> Path:
    """A run whose radiographs are elsewhere by now."""
    run = Path(shutil.copytree(run_folder, tmp_path / "moved"))
    sidecar = run / "manifest.json"
    content = {**json.loads(sidecar.read_text()), "root": "gone"}
    sidecar.write_text(json.dumps(content))
    return run


@pytest.mark.slow
def test_a_run_is_measured_on_its_own_val(run_folder: Path, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    result = pneumoscope("export", run_folder, "--out", out)
    assert result.exit_code == 0
    _, info = read_bundle(run_folder)
    texts = (
        info.model_id,
        info.heatmap,
        "Largest difference",
        "radiographs of val",
        "Research use",
    )
    for text in texts:
        assert text in result.stdout
    assert onnx.load(out).graph == onnx.load(file).graph
    export = read_onnx(out).info.export
    assert export is not None and export.data_digest == info.training.data_digest
    assert export.quality["float32"].good
    with pytest.raises(OutputError, match=r"already exists.*--force"):
        pneumoscope("export", run_folder, "--out", out)


@pytest.mark.slow
def test_without_its_radiographs_a_run_is_written_unmeasured(
    moved_run: Path, file: Path, manifest_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model.onnx"
    result = pneumoscope("export", moved_run, "--out", out)
    assert result.exit_code == 0 and "warning: not measured on val" in result.stderr
    assert out.read_bytes() == file.read_bytes()
    with pytest.raises(CohortError, match="does not exist"):
        pneumoscope("export", moved_run, "--out", tmp_path / "h.onnx", "--precision", "float16")
    lost = moved_run / "manifest.csv"
    with pytest.raises(CohortError, match="does not exist"):
        pneumoscope("export", moved_run, "--out", tmp_path / "m.onnx", "--cohort", lost)
    with pytest.raises(SettingsError, match=r"int8 is written only if.*--cohort"):
        pneumoscope("export", moved_run / "bundle", "--precision", "int8")
    half = tmp_path / "half.onnx"
    result = pneumoscope(
        *("export", moved_run / "bundle", "--out", half, "--precision", "float16"),
        *("--cohort", manifest_file, "--val", 16),
    )
    assert result.exit_code == 0 and "float16" in result.stdout
    assert half.stat().st_size < 0.6 * out.stat().st_size
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == ["half.onnx", "model.onnx"]


@pytest.mark.slow
def test_int8_is_named_and_predicts(
    run_folder: Path, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of so few radiographs of val a single swap of ranks is a drop beyond the limit.
    monkeypatch.setattr("pneumoscope.bundles.info.MAX_AUC_DROP", 0.2)
    monkeypatch.chdir(tmp_path)
    result = pneumoscope("export", run_folder, "--precision", "int8", "--calibration", 8)
    assert result.exit_code == 0 and "Computed in int8" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["model.int8.onnx"]
    films = sorted((phantoms / "images").glob("*.png"))[:2]
    found = pneumoscope("predict", *films, "--bundle", "model.int8.onnx", "--out", "findings")
    assert found.exit_code == 0
    lines = (tmp_path / "findings" / "findings.jsonl").read_text().splitlines()
    assert all(json.loads(line)["error"] is None for line in lines) and len(lines) == 2


def test_mistakes(run_folder: Path, file: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        pneumoscope("export", tmp_path / "absent", "--out", tmp_path / "m.onnx")
    with pytest.raises(SettingsError, match=r"m\.bin"):
        pneumoscope("export", run_folder, "--out", tmp_path / "m.bin")
    with pytest.raises(BundleError, match="already"):
        pneumoscope("export", file, "--out", tmp_path / "m.onnx", "--force")


def test_predict_and_explain_take_the_file(file: Path, phantoms: Path, tmp_path: Path) -> None:
    films = sorted((phantoms / "images").glob("*.png"))[:3]
    findings, explained = tmp_path / "findings", tmp_path / "explained"
    assert pneumoscope("predict", *films, "--bundle", file, "--out", findings).exit_code == 0
    lines = [json.loads(each) for each in (findings / "findings.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and all(line["error"] is None for line in lines)
    assert pneumoscope("explain", *films, "--bundle", file, "--out", explained).exit_code == 0
    content = json.loads((explained / "explain.json").read_text())
    assert content["methods"] == ["regional+mirror+lungs+density", "regional"]
    with pytest.raises(SettingsError, match="'gradcam' is not a method for this bundle"):
        pneumoscope(
            "explain", films[0], "--bundle", file, "--methods", "gradcam", "--out", tmp_path / "x"
        )


@pytest.mark.slow
def test_evaluate_takes_the_file(
    run_folder: Path, file: Path, manifest_file: Path, tmp_path: Path
) -> None:
    figures = []
    for bundle in (file, run_folder):
        out = tmp_path / bundle.stem
        result = pneumoscope("evaluate", manifest_file, "--bundle", bundle, "--out", out)
        assert result.exit_code == 0
        figures.append(json.loads((out / "metrics.json").read_text()))
    one, other = figures
    assert one["confusion"] == other["confusion"]
    # Of a tiny model, calibration's slope is a quotient of almost nothing.
    for name in ("roc_auc", "pr_auc", "accuracy", "brier", "ece"):
        values = [each["classification"][name]["value"] for each in figures]
        assert values[0] == pytest.approx(values[1], abs=1e-3), name


@pytest.mark.slow
def test_evaluate_measures_where_a_files_heatmap_points(
    file: Path, manifest_file: Path, phantoms: Path, tmp_path: Path
) -> None:
    boxes = ("--boxes", phantoms / "boxes.csv")
    found = {}
    # A file explains in one way; the default bundle's folder, which is taken here, in all.
    for name, options in (("file", ("--bundle", file)), ("default", ())):
        out = tmp_path / name
        result = pneumoscope("evaluate", manifest_file, *boxes, *options, "--out", out)
        assert result.exit_code == 0, result.output
        assert ("plain Grad-CAM" in " ".join(result.output.split())) == (name == "file")
        found[name] = json.loads((out / "metrics.json").read_text())["localization"]
    lacking = {"gradcam", "randomised_weights"}
    # The file's own map has the density factor; the default bundle's is smoothed instead.
    own, smoothed = {"regional+mirror+lungs+density"}, {"regional+mirror+lungs+smooth"}
    assert found["file"].keys() - own == found["default"].keys() - lacking - smoothed
    assert own < found["file"].keys()
    assert lacking | smoothed < found["default"].keys()


def test_audit_says_that_it_needs_the_network(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot be audited.*safetensors"):
        pneumoscope("audit", "--bundle", file, "--n", "2", "--out", tmp_path / "audit")


def test_engine_precision_and_threads_are_chosen_by_options(
    file: Path, run_folder: Path, phantoms: Path, manifest_file: Path, tmp_path: Path
) -> None:
    film = sorted((phantoms / "images").glob("*.png"))[0]
    said = []
    for number, options in enumerate(
        (
            (file,),
            (file, "--engine", "openvino", "--threads", 1),
            (run_folder, "--engine", "torch", "--precision", "float32"),
        )
    ):
        out = tmp_path / str(number)
        result = pneumoscope("predict", film, "--out", out, "--bundle", *options)
        assert result.exit_code == 0
        said.append(result.stdout.partition("\n")[0])
    assert said == [
        "Computed by onnxruntime float32.", "Computed by openvino float32.",
        "Computed by torch float32.",
    ]  # fmt: skip
    out = tmp_path / "evaluated"
    with pytest.raises(BundleError, match="no int8 form"):
        pneumoscope("evaluate", manifest_file, "--out", out, "--bundle", file, "--precision=int8")
    assert not out.exists()
    assert pneumoscope("predict", film, "--bundle", file, "--engine", "magic").exit_code == 2
