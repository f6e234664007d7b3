"""The engine without torch gives what the engine with torch gives."""

from __future__ import annotations

import shutil
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from pneumoscope.bundles import BundleInfo, read_bundle, read_onnx, write_onnx
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.inference import RANDOMISED, Explained, explain_in, find_in, load_engine
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.openvino_engine import OpenVinoEngine
from pneumoscope.inference.torch_engine import TorchEngine
from tests.export.bundles import exported

OTHERS = ["regional", "regional+mirror", "regional+lungs"]


@pytest.fixture(scope="module")
def file(run_folder: Path) -> Path:
    return exported(run_folder).path


@pytest.fixture(scope="module")
def engine(file: Path) -> OnnxEngine:
    return OnnxEngine(read_onnx(file), threads=1)


@pytest.fixture
def films(phantoms: Path) -> list[tuple[str, Path]]:
    return [(path.name, path) for path in sorted((phantoms / "images").glob("*.png"))[:6]]


def test_findings_and_heatmaps_are_those_of_torch(
    engine: OnnxEngine, run_folder: Path, films: list[tuple[str, Path]]
) -> None:
    torch_engine = load_engine(run_folder)
    assert isinstance(torch_engine, TorchEngine)
    both = [
        list(explain_in(each, films, threshold=0.0, others=OTHERS))
        for each in (engine, torch_engine)
    ]
    for one, other in zip(*both, strict=True):
        assert isinstance(one, Explained) and isinstance(other, Explained)
        assert one.finding.probability == pytest.approx(other.finding.probability, abs=1e-4)
        assert one.finding.model == other.finding.model
        assert len(one.finding.regions) == len(other.finding.regions)
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=2e-3)
        for name in OTHERS:
            np.testing.assert_allclose(one.others[name], other.others[name], atol=2e-3)
    first = both[0][0]
    assert isinstance(first, Explained)
    # Asked for without the mirror image, it is another map.
    assert np.abs(first.others["regional"] - first.others["regional+mirror"]).max() > 1e-3


def test_a_batch_is_cut_into_parts(file: Path, engine: OnnxEngine) -> None:
    size = engine.info.architecture.size
    pixels = np.random.default_rng(1).integers(0, 255, (5, size, size), dtype=np.uint8)
    small = OnnxEngine(read_onnx(file), threads=1, batch_size=2)
    whole, parts = (each.run(pixels, ["regional"]) for each in (engine, small))
    np.testing.assert_allclose(whole.logits, parts.logits, atol=1e-5)
    np.testing.assert_allclose(whole.maps["regional"], parts.maps["regional"], atol=1e-5)
    assert whole.mirrored is not None and parts.mirrored is not None
    np.testing.assert_allclose(whole.mirrored.logits, parts.mirrored.logits, atol=1e-5)
    assert engine.run(pixels, []).maps == {}


@pytest.mark.parametrize("kind", [OnnxEngine, OpenVinoEngine])
def test_streams_compute_batches_side_by_side_and_find_the_same(
    kind: type[OnnxEngine] | type[OpenVinoEngine],
    file: Path,
    films: list[tuple[str, Path]],
    tmp_path: Path,
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    mixed = [*films[:3], ("bad.png", bad), *films[3:]]
    bundle = read_onnx(file)
    alone, several = (kind(bundle, threads=1, streams=streams) for streams in (1, 3))
    assert (alone.streams, several.streams) == (1, 3)
    # One after the other; the first batch of the second waits until another one runs beside it.
    expected = list(find_in(alone, mixed, threshold=0.0, batch_size=1))
    both = threading.Barrier(2, timeout=60)
    compute, calls = several._compute, count()

    def together(feed: dict[str, Any]) -> Any:
        if next(calls) < 2:
            both.wait()
        return compute(feed)

    several._compute = together  # type: ignore[method-assign]
    found = list(find_in(several, mixed, threshold=0.0, batch_size=1, workers=4))
    assert [each.image for each in found] == [name for name, _ in mixed]
    assert found == expected


@pytest.mark.parametrize("method", ["gradcam", "layercam", RANDOMISED, "magic"])
def test_other_methods_are_refused_with_the_remedy(engine: OnnxEngine, method: str) -> None:
    assert engine.methods == ("regional",)
    size = engine.info.architecture.size
    with pytest.raises(SettingsError, match=r"by regional alone.*engine torch"):
        engine.run(np.zeros((1, size, size), dtype=np.uint8), [method])


def test_a_file_is_loaded_by_its_path(file: Path) -> None:
    engine = load_engine(file, threads=1)
    assert isinstance(engine, OnnxEngine)
    assert available_cpus() >= 1


def test_without_torch_a_folder_needs_its_own_export(
    run_folder: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder / "bundle", run / "bundle")
    monkeypatch.delitem(sys.modules, "pneumoscope.inference.torch_engine")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BundleError, match=r"needs torch.*pneumoscope export"):
        load_engine(run)
    for place in (run / "bundle" / "model.onnx", run / "model.onnx"):
        shutil.copy(file, place)
        assert isinstance(load_engine(run), OnnxEngine)
        place.unlink()
    info = read_onnx(file).info
    stale = info.model_copy(update={"threshold": info.threshold / 2})
    write_onnx(run / "model.onnx", identity(info), stale)
    with pytest.raises(BundleError, match=r"model\.onnx: was not exported from the bundle beside"):
        load_engine(run)


def test_with_torch_a_folder_is_run_by_torch(run_folder: Path, file: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))
    shutil.copy(file, run / "model.onnx")
    assert isinstance(load_engine(run), TorchEngine)


def identity(info: BundleInfo) -> bytes:
    """A valid network that has the inputs, but other outputs."""
    size = info.architecture.size
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", size, size])
    target = helper.make_tensor_value_info("target", TensorProto.INT64, ["batch"])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch"])
    cast = helper.make_node("Cast", ["target"], ["logit"], to=TensorProto.FLOAT)
    graph = helper.make_graph([cast], "g", [pixels, target], [logit])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def test_a_graph_that_is_not_as_described_is_refused(run_folder: Path, tmp_path: Path) -> None:
    _, info = read_bundle(run_folder)
    path = tmp_path / "model.onnx"
    write_onnx(path, identity(info), info)
    with pytest.raises(BundleError, match="other inputs or outputs than its description"):
        load_engine(path)
    write_onnx(path, b"", info)
    with pytest.raises(BundleError, match=r"model\.onnx: onnxruntime cannot load it"):
        load_engine(path)
