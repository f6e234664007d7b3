"""float16 and int8: standard operators, answers near float32's, or no file."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pneumoscope.bundles import BundleInfo, ExportInfo, OnnxBundle, read_onnx, write_onnx
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.export import export_onnx, integers, writing
from pneumoscope.export.half import half_weights
from pneumoscope.export.integers import int8_model
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.export.quality import Answers, answers, mean_correlation
from pneumoscope.export.tracing import Traced, trace
from pneumoscope.inference import openvino_engine
from pneumoscope.inference.engine import Runtime
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.openvino_engine import OpenVinoEngine
from tests.export.bundles import described, trace_once
from tests.localize.networks import films, small

# One of each family of backbones.
FAMILIES = [
    ("resnet18", "regional", "regional+mirror"),
    ("densenet121", "linear", "gradcam"),
    ("vit_b_16", "linear", "gradcam"),
]
# Of a random network with maps of nine cells; the gate asks for more of a trained one.
NEAR = 0.95


def silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Network:
    """A small random network in float32, and radiographs for it."""

    info: BundleInfo
    traced: Traced
    train: NDArray[np.uint8]
    val: NDArray[np.uint8]

    def engine(self, model: bytes) -> OnnxEngine:
        return OnnxEngine(OnnxBundle(Path("m.onnx"), model, self.info), threads=1)

    def ask(self, model: bytes, pixels: NDArray[np.uint8]) -> Answers:
        return answers(self.engine(model), pixels, "", silent)

    def int8(self) -> bytes:
        reference = self.ask(self.traced.model, self.train)
        return int8_model(
            self.traced, self.train, lambda m: self.ask(m, self.train), reference, silent
        )


@functools.cache
def network(backbone: str, head: str, heatmap: str) -> Network:
    classifier = small(backbone, head)
    fields = {**described(classifier.architecture, heatmap), "files": {"model.safetensors": "0"}}
    info = BundleInfo.model_validate(fields)
    pixels: NDArray[np.uint8] = (255 * films(24)[:, 0]).byte().numpy()
    return Network(info, trace(ExportedNetwork(classifier, info), info), pixels[:16], pixels[16:])


@functools.cache
def in_int8(backbone: str, head: str, heatmap: str) -> bytes:
    return network(backbone, head, heatmap).int8()


def kept(folder: Path, model: bytes, info: BundleInfo) -> OnnxBundle:
    """Through a file, which only standard operators pass."""
    write_onnx(folder / "m.onnx", model, info)
    return read_onnx(folder / "m.onnx")


def stored(model: bytes, kind: int) -> dict[str, NDArray[Any]]:
    tensors = onnx.load_from_string(model).graph.initializer
    return {t.name: numpy_helper.to_array(t) for t in tensors if t.data_type == kind}


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head", "heatmap"), FAMILIES)
def test_int8_answers_nearly_as_float32(
    backbone: str, head: str, heatmap: str, tmp_path: Path
) -> None:
    net, model = network(backbone, head, heatmap), in_int8(backbone, head, heatmap)
    proto = onnx.load_from_string(model)
    onnx.checker.check_model(proto, full_check=True)
    assert [each.domain for each in proto.opset_import] == [""]
    file = kept(tmp_path, model, net.info)
    reference, found = net.ask(net.traced.model, net.val), net.ask(file.model, net.val)
    assert (mean_correlation(found.maps, reference.maps) or 0) > NEAR
    spread = reference.logits.std()
    assert 0 < np.abs(found.logits - reference.logits).mean() < 0.5 * spread
    alone = net.ask(file.model, net.val[:1])
    np.testing.assert_allclose(alone.logits, found.logits[:1], rtol=1e-3, atol=1e-4 * spread)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head", "heatmap"), FAMILIES)
def test_int8_leaves_head_and_gradient_in_float32(backbone: str, head: str, heatmap: str) -> None:
    net, model = network(backbone, head, heatmap), in_int8(backbone, head, heatmap)
    weights = stored(model, TensorProto.INT8)
    integers_in_all = sum(w.size for w in weights.values() if w.ndim > 1)
    assert integers_in_all > 0.35 * sum(p.numel() for p in small(backbone, head).parameters())
    # Seven bits: what saturates on a processor without VNNI is not used.
    assert max(np.abs(w.astype(int)).max() for w in weights.values()) <= 64
    own = [name for name in stored(net.traced.model, TensorProto.FLOAT) if ".head." in name]
    own += [name for name in stored(net.traced.model, TensorProto.FLOAT) if ".tail." in name]
    assert own and set(own) <= set(stored(model, TensorProto.FLOAT))


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head", "heatmap"), FAMILIES)
def test_openvino_answers_in_int8_as_onnxruntime(
    backbone: str, head: str, heatmap: str, tmp_path: Path
) -> None:
    if not openvino_engine.installed():
        pytest.skip("openvino is not installed")
    net = network(backbone, head, heatmap)
    info = net.info.model_copy(update={"export": ExportInfo(precision="int8")})
    file = kept(tmp_path, in_int8(backbone, head, heatmap), info)
    found = answers(OpenVinoEngine(file, threads=1), net.val, "", silent)
    reference = net.ask(net.traced.model, net.val)
    assert (mean_correlation(found.maps, reference.maps) or 0) > NEAR


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head", "heatmap"), FAMILIES)
def test_float16_is_half_the_size_and_answers_as_float32(
    backbone: str, head: str, heatmap: str, tmp_path: Path
) -> None:
    net = network(backbone, head, heatmap)
    file = kept(tmp_path, half_weights(net.traced.model), net.info)
    weights = sum(w.nbytes for w in stored(net.traced.model, TensorProto.FLOAT).values())
    assert len(file.model) < len(net.traced.model) - 0.45 * weights
    reference, found = net.ask(net.traced.model, net.val), net.ask(file.model, net.val)
    assert (mean_correlation(found.maps, reference.maps) or 0) > 0.999
    assert 0 < np.abs(found.logits - reference.logits).max() < 0.05 * reference.logits.std()


def test_weights_beyond_float16_stay() -> None:
    large = np.full((20, 20), 7e4, dtype=np.float32)
    middle, little = large / 2, np.ones((2, 2), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["middle"], ["y"])],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (20, 20))],
        [
            numpy_helper.from_array(value, name)
            for name, value in (("large", large), ("middle", middle), ("little", little))
        ],
    )
    model = half_weights(helper.make_model(graph).SerializeToString())
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    assert set(stored(model, TensorProto.FLOAT)) == {"large", "little"}
    (half,) = stored(model, TensorProto.FLOAT16).values()
    np.testing.assert_allclose(half, middle, rtol=1e-3)


def test_as_few_layers_as_needed_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("resnet18", "regional", "regional+mirror")
    all_layers = len(stored(in_int8("resnet18", "regional", "regional+mirror"), TensorProto.INT8))
    monkeypatch.setattr(integers, "_WANTED", 1.1)  # Never reached: the best of all is taken.
    monkeypatch.setattr(integers, "_FLOAT_AT_FIRST", (0, 12))
    more = len(stored(net.int8(), TensorProto.INT8))
    assert more < all_layers


def test_nothing_recognised_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("resnet18", "regional", "regional+mirror")
    strange = Network(net.info, Traced(net.traced.model, ()), net.train, net.val)
    with pytest.raises(BundleError, match="none of its layers was recognised"):
        strange.int8()


@pytest.fixture(scope="module")
def cohort(manifest_file: Path) -> Manifest:
    return Manifest.read(manifest_file)


@pytest.fixture
def tolerant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so few radiographs of val a single swap of ranks is a drop beyond the limit."""
    monkeypatch.setattr("pneumoscope.bundles.info.MAX_AUC_DROP", 0.2)


@pytest.fixture
def traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing takes most of an export's time."""
    monkeypatch.setattr(writing, "trace", trace_once)


def test_the_same_films_give_the_same_bytes() -> None:
    family = ("resnet18", "regional", "regional+mirror")
    net = network(*family)
    assert net.int8() == in_int8(*family)
    other = Network(net.info, net.traced, net.train // 2, net.val)
    assert other.int8() != in_int8(*family)


@pytest.mark.slow
@pytest.mark.usefixtures("tolerant", "traced_once")
def test_the_file_says_how_it_was_made(run_folder: Path, cohort: Manifest, tmp_path: Path) -> None:
    phases: dict[str, tuple[int, int]] = {}
    out = tmp_path / "model.int8.onnx"
    export = export_onnx(
        run_folder,
        out,
        precision="int8",
        cohort=cohort,
        progress=lambda doing, done, total: phases.update({doing: (done, total)}),
    ).info.export
    assert export is not None and export == read_onnx(out).info.export
    assert export.precision == "int8" and export.data_digest == cohort.digest()
    assert list(export.quality) == ["int8"]
    figures = export.quality["int8"]
    assert figures.radiographs == len(cohort.subset("val"))
    assert (figures.heatmap_correlation or 0) >= 0.98
    assert {"Reading radiographs", "Calibrating", "Trying int8", "Measuring int8"} <= set(phases)
    assert all(done == total for done, total in phases.values())


@pytest.mark.usefixtures("traced_once")
def test_a_file_that_fails_the_gate_is_not_kept(
    run_folder: Path, cohort: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoscope.bundles.info.MIN_CORRELATION", 1.1)
    out = tmp_path / "model.onnx"
    out.write_bytes(b"an older file")
    with pytest.raises(BundleError, match=r"bundle: in float16 it answers too differently"):
        export_onnx(run_folder, out, precision="float16", cohort=cohort)
    assert out.read_bytes() == b"an older file"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.slow
@pytest.mark.usefixtures("traced_once")
def test_bfloat16_is_measured_where_it_is_computed(
    run_folder: Path, cohort: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Coarse(OnnxEngine):
        """Its heatmaps are of no use."""

        def __init__(self, bundle: OnnxBundle, *, precision: str) -> None:
            super().__init__(bundle, threads=1)
            self._runtime = Runtime("openvino", precision)  # type: ignore[arg-type]

        def explain(self, pixels: Any, targets: Any) -> Any:
            answer = super().explain(pixels, targets)
            return {**answer, "heatmap": -answer["heatmap"] + 1}

    monkeypatch.setattr(writing, "_computes_in_bfloat16", lambda: True)
    monkeypatch.setattr(writing, "OpenVinoEngine", Coarse)
    export = export_onnx(run_folder, tmp_path / "m.onnx", cohort=cohort).info.export
    assert export is not None and set(export.quality) == {"float32", "bfloat16"}
    assert export.quality["float32"].good
    # Not refused, for nothing computes in it unless it is good or asked for.
    assert not export.quality["bfloat16"].good


def test_precisions_that_need_a_cohort_say_so(run_folder: Path, tmp_path: Path) -> None:
    for precision in ("float16", "int8"):
        with pytest.raises(SettingsError, match=rf"{precision} is written only if.*--cohort"):
            export_onnx(run_folder, tmp_path / "m.onnx", precision=precision)
    assert not list(tmp_path.iterdir())
