"""A site's bundle: the same network, other decisions, and it says so everywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from typer.testing import CliRunner, Result

from pneumoscope.bundles import BundleInfo, read_bundle, read_onnx, write_onnx
from pneumoscope.bundles.onnx_file import unseal
from pneumoscope.calibration import Target, fit_site, write_calibrated
from pneumoscope.calibration.graph import with_calibration
from pneumoscope.cli.app import app
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import BundleError, EvaluationError, OutputError, SettingsError
from pneumoscope.evaluate import Predictions, ThresholdRule
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.phantom import PhantomSettings, write_cohort
from tests.export.bundles import exported


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def bundle(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its exported file."""
    folder = tmp_path_factory.mktemp("source") / "bundle"
    shutil.copytree(run_folder / "bundle", folder)
    shutil.copyfile(exported(run_folder).path, folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's 60 radiographs, none of them in the run."""
    folder = tmp_path_factory.mktemp("site")
    write_cohort(folder, PhantomSettings(n=60, seed=8, size=96))
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def site(bundle: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "site"
    result = run("calibrate", bundle, sample, "--out", out, "--rule", "sensitivity=0.8")
    assert result.exit_code == 0, result.output
    assert "cross-fitted" in result.output and "warning: The sample is small" in result.output
    return out


@pytest.mark.slow
def test_the_description_says_what_was_done(bundle: Path, site: Path, sample: Path) -> None:
    _, before = read_bundle(bundle)
    _, after = read_bundle(site)
    assert after.site is not None
    assert (after.site.sample, after.site.rule) == ("cohort", "sensitivity=0.8")
    assert after.site.radiographs == 60 and after.site.data_digest == Manifest.read(sample).digest()
    assert after.site.fitted == date.today()
    assert after.site.from_model == before.model_id
    assert after.model_id.startswith(before.model_id + "+")
    assert set(after.site.intervals) == {
        "threshold", "temperature", "bias", "band_low", "band_high",
    }  # fmt: skip
    assert after.site.intervals["threshold"]["value"] == pytest.approx(after.threshold)
    assert after.files == before.files
    card = (site / "MODEL_CARD.md").read_text()
    assert "labelled sample, 'cohort'" in card and "sensitivity=0.8" in card
    assert "fitted on val, not on test" not in card


@pytest.mark.slow
def test_it_predicts_by_the_new_numbers_with_torch_and_without(site: Path, sample: Path) -> None:
    _, info = read_bundle(site)
    film = sorted((sample.parent / "images").glob("*.png"))[0]
    found = []
    for name, engine in (("torch", "torch"), ("file", "onnxruntime")):
        out = site.parent / name
        result = run("predict", film, "--bundle", site, "--out", out, "--engine", engine)
        assert result.exit_code == 0, result.output
        found.append(json.loads((out / "findings.jsonl").read_text()))
    assert found[0]["threshold"] == found[1]["threshold"] == info.threshold
    assert found[0]["model"] == found[1]["model"] == info.model_id
    assert found[0]["probability"] == pytest.approx(found[1]["probability"], abs=1e-4)


@pytest.mark.slow
def test_evaluate_recognises_the_sample(site: Path, sample: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(sample)
    manifest.write(tmp_path / "again.csv")
    result = run(
        "evaluate", tmp_path / "again.csv", "--bundle", site, "--split", "all",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["overlap"]["radiographs"]["val"] == 60
    assert "60 to choose its epoch, threshold and calibration" in result.output
    assert metrics["calibration"]["fitted_on"] == "the site's sample 'cohort' (60 radiographs)"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "which is part of these radiographs" in page
    # The rule held on the sample that the threshold was fitted on.
    assert metrics["classification"]["sensitivity"]["value"] >= 0.8


@pytest.mark.slow
def test_a_calibrated_file_answers_as_its_description_says(
    bundle: Path, site: Path, sample: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site.onnx"
    result = run(
        "calibrate", bundle / "model.onnx", sample, "--out", out, "--rule", "sensitivity=0.8"
    )
    assert result.exit_code == 0, result.output
    alone, beside = read_onnx(out), read_onnx(site / "model.onnx")
    assert alone.info.threshold == pytest.approx(beside.info.threshold, abs=1e-3)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    ones = np.ones(3, dtype=np.int64)
    old = OnnxEngine(read_onnx(bundle / "model.onnx")).explain(pixels, ones)
    new = OnnxEngine(alone).explain(pixels, ones)
    np.testing.assert_array_equal(old["logit"], new["logit"])
    np.testing.assert_array_equal(old["heatmap"], new["heatmap"])
    expected = expit(old["logit"] / alone.info.temperature + alone.info.bias)
    np.testing.assert_allclose(new["probability"], expected, atol=1e-5)


def test_a_graph_can_be_calibrated_again(bundle: Path, tmp_path: Path) -> None:
    source = read_onnx(bundle / "model.onnx")
    graph = unseal(source.model)
    once = with_calibration(graph, 3.0, 1.5)
    again = with_calibration(once, 0.25, -2.0)
    assert len(again) == len(once)
    write_onnx(tmp_path / "again.onnx", again, source.info)
    pixels = np.random.default_rng(2).integers(0, 256, (1, 64, 64), dtype=np.uint8)
    answer = OnnxEngine(read_onnx(tmp_path / "again.onnx")).explain(
        pixels, np.ones(1, dtype=np.int64)
    )
    np.testing.assert_allclose(
        answer["probability"], expit(answer["logit"] / 0.25 - 2.0), atol=1e-6
    )


Fitted = Callable[..., BundleInfo]


@pytest.fixture
def fitted(bundle: Path, sample: Path) -> Fitted:
    """Fit with made-up logits instead of the network's."""
    _, info = read_bundle(bundle)
    manifest = Manifest.read(sample)
    y = manifest.targets()
    logits = np.random.default_rng(0).normal(size=y.size) + 2.0 * y

    def fit(of: BundleInfo = info, digests: list[str] | None = None) -> BundleInfo:
        predictions = Predictions(
            list(manifest.table["image"]), manifest.patients(), y, logits, np.full(y.size, 0.5)
        )
        return fit_site(
            of, manifest, predictions, digests or manifest.digests(), ThresholdRule(), name="x"
        ).info

    return fit


def test_radiographs_of_train_are_left_out(
    fitted: Fitted, run_folder: Path, bundle: Path, sample: Path
) -> None:
    _, info = read_bundle(bundle)
    trained = Manifest.read(run_folder / "manifest.csv").subset("train").digests()
    own = Manifest.read(sample).digests()
    found = fitted(digests=[*trained[:7], *own[7:]])
    assert found.site is not None and found.site.radiographs == 53
    assert found.seen is not None and info.seen is not None
    assert found.seen.splits_of_radiographs([*own[:8], trained[0]]) == [
        *[None] * 7, "val", "train"
    ]  # fmt: skip
    with pytest.raises(EvaluationError, match="trained on all 60"):
        fitted(digests=(trained * 60)[:60])
    with pytest.raises(EvaluationError, match=r"needs 10 patients.*; 52 radiographs are left out"):
        fitted(digests=[*(trained * 60)[:52], *own[52:]])


def test_a_bundle_without_a_list_is_warned_of(fitted: Fitted, bundle: Path) -> None:
    _, info = read_bundle(bundle)
    found = fitted(info.model_copy(update={"seen": None}))
    assert found.seen is None and found.site is not None
    assert "has no list" in found.site.warnings[-1]


def test_weaknesses_are_marked_as_measured_before(fitted: Fitted, bundle: Path) -> None:
    _, info = read_bundle(bundle)
    weak = {"measured": "on PA films sensitivity was .5", "n": 9, "views": ["PA"]}
    raw = {**info.model_dump(), "weaknesses": [weak]}
    once = fitted(BundleInfo.model_validate(raw))
    twice = fitted(once)
    expected = "on PA films sensitivity was .5 (before site calibration)"
    assert [each.measured for each in (*once.weaknesses, *twice.weaknesses)] == [expected] * 2
    assert twice.site is not None and twice.site.from_model == info.model_id


def test_what_cannot_be_written_is_refused_before_any_work(
    bundle: Path, sample: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        Target.of(bundle, tmp_path / "there")
    with pytest.raises(SettingsError, match="one file"):
        Target.of(bundle / "model.onnx", tmp_path / "folder")
    bare = Path(shutil.copytree(bundle, tmp_path / "bare"))
    (bare / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"holds no model\.onnx"):
        Target.of(bare, tmp_path / "new.onnx")
    result = run("calibrate", bundle, sample, "--out", tmp_path / "new", "--rule", "best")
    assert isinstance(result.exception, SettingsError)
    assert not (tmp_path / "new").exists()


def test_a_failure_leaves_nothing_behind(
    bundle: Path, tmp_path: Path, fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target.of(bundle, tmp_path / "out" / "site")

    def other(model: bytes, temperature: float, bias: float) -> bytes:
        return with_calibration(model, temperature + 1.0, bias)

    monkeypatch.setattr("pneumoscope.calibration.writing.with_calibration", other)
    with pytest.raises(BundleError, match="calibrated probability"):
        write_calibrated(target, fitted(), "card")
    assert list((tmp_path / "out").iterdir()) == []
