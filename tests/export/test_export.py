"""Bundles as ONNX files: they answer as torch does, or there is no file."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch

from pneumoscope.bundles import ExportInfo, read_bundle, read_onnx
from pneumoscope.bundles.architecture import Pooling
from pneumoscope.errors import BundleError, MissingExtra, SettingsError
from pneumoscope.export import Agreement, Exported, export_onnx, network
from pneumoscope.export.agreement import agreement
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.openvino_engine import OpenVinoEngine
from pneumoscope.models.classifier import Architecture, Classifier, positive_logit
from pneumoscope.models.registry import HALF
from tests.export.bundles import exported, exported_small, write_small
from tests.localize.networks import small


@pytest.fixture(scope="module")
def file(run_folder: Path) -> Exported:
    return exported(run_folder)


@pytest.mark.slow
def test_the_file_describes_itself_as_the_bundle(file: Exported, run_folder: Path) -> None:
    folder, info = read_bundle(run_folder)
    written = info.model_copy(update={"export": ExportInfo(precision="float32")})
    assert read_onnx(file.path).info == written == file.info
    assert file.size == file.path.stat().st_size
    # The weights and little else: no training state, no notes.
    assert file.size < 1.1 * (folder / "model.safetensors").stat().st_size
    assert file.agreement.good


def test_the_file_is_plain_onnx_and_names_no_machine(file: Exported) -> None:
    proto = onnx.load(file.path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", 20)]
    batch = {v.type.tensor_type.shape.dim[0].dim_param for v in proto.graph.output}
    assert batch == {"batch"}
    content = file.path.read_bytes()
    for part in (str(Path.cwd()), str(Path(torch.__file__).parent), "site-packages", "stack_trace"):
        assert part.encode() not in content


def test_the_answers_are_consistent(file: Exported) -> None:
    engine = OnnxEngine(read_onnx(file.path), threads=1)
    size = file.info.architecture.size
    pixels = np.random.default_rng(0).integers(0, 255, (3, size, size), dtype=np.uint8)
    film = engine.explain(pixels, np.array([1, 0, 1]))
    image = engine.explain(pixels[:, :, ::-1].copy(), np.array([1, 0, 1]))
    expected = (film["unmirrored_logit"] + image["unmirrored_logit"]) / 2
    np.testing.assert_allclose(film["logit"], expected, atol=1e-5)
    heat = (film["unmirrored_heatmap"] + image["unmirrored_heatmap"][:, :, ::-1]) / 2
    np.testing.assert_allclose(film["heatmap"], heat, atol=1e-6)
    probability = 1 / (1 + np.exp(-film["logit"] / file.info.temperature))
    np.testing.assert_allclose(film["probability"], probability, atol=1e-6)
    with pytest.raises(ValueError, match="targets are 0 or 1"):
        engine.explain(pixels, np.array([1, 2, 0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "head", "heatmap"),
    [
        # In `test_gradient` every backbone has every head; here one of each kind of tail, and the
        # default.
        *((b, "linear", "gradcam") for b in ("resnet18", "mobilenet_v3")),
        *((b, "mlp", "gradcam+mirror") for b in ("densenet121", "vit_b_16")),
        *(
            (b, "regional", "regional+mirror+lungs")
            for b in ("efficientnet_lite0", "densenet121", "vit_b_16")
        ),
        ("resnet18", "regional", "gradcam"),
    ],
)
def test_each_kind_of_tail_answers_as_torch(backbone: str, head: str, heatmap: str) -> None:
    """Whatever runs it: onnxruntime, which `export_onnx` asked, and OpenVINO."""
    file = exported_small(backbone, head, heatmap)
    openvino = OpenVinoEngine(read_onnx(file.path), threads=1)
    for found in (file.agreement, agreement(openvino, small(backbone, head))):
        assert found.probability <= 1e-4 and found.correlation >= 0.9999 and found.heatmap <= 0.01


def tiny(head: str = "regional", pooling: Pooling = "weighted") -> Classifier:
    torch.manual_seed(0)
    shape = Architecture("test_resnet", head, 64, HALF, HALF, pooling=pooling)
    return Classifier(shape).eval()


@pytest.mark.slow
def test_each_pooling_answers_as_torch(tmp_path: Path) -> None:
    logits = {}
    for pooling in get_args(Pooling):
        folder, classifier = tmp_path / pooling, tiny(pooling=pooling)
        write_small(folder / "bundle", classifier, "regional+mirror")
        file = export_onnx(folder / "bundle", folder / "model.onnx")
        openvino = OpenVinoEngine(read_onnx(file.path), threads=1)
        for found in (file.agreement, agreement(openvino, classifier)):
            assert found.probability <= 1e-4 and found.heatmap <= 0.01
        answer = OnnxEngine(read_onnx(file.path), threads=1).explain(
            np.full((1, 64, 64), 99, dtype=np.uint8), np.array([1])
        )
        logits[pooling] = float(answer["unmirrored_logit"][0])
        with torch.inference_mode():
            pixels = torch.full((1, 1, 64, 64), 99, dtype=torch.uint8)
            expected = float(positive_logit(classifier(pixels)))
        assert logits[pooling] == pytest.approx(expected, abs=1e-4)
    assert logits["top"] > logits["weighted"] + 1e-3


@pytest.mark.slow
def test_cells_far_from_the_threshold_stay_numbers(tmp_path: Path) -> None:
    classifier = tiny()
    head = classifier.head
    with torch.no_grad():
        head.cell.bias.fill_(-150.0)  # type: ignore[union-attr, operator]
    write_small(tmp_path / "bundle", classifier, "regional")
    file = export_onnx(tmp_path / "bundle", tmp_path / "model.onnx")
    pixels = np.full((1, 64, 64), 99, dtype=np.uint8)
    answer = OnnxEngine(read_onnx(file.path), threads=1).explain(pixels, np.array([0]))
    assert answer["logit"][0] == pytest.approx(-150, abs=5)
    assert np.isfinite(answer["heatmap"]).all() and answer["heatmap"].max() > 0.2


@pytest.mark.slow
def test_a_file_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small(tmp_path / "bundle", tiny(), "regional+mirror")
    out = tmp_path / "new" / "model.onnx"
    out.parent.mkdir()
    out.write_bytes(b"an older file")
    # The map is another one, the probability not.
    monkeypatch.setattr(network, "heat_of", lambda cells, film, sign: torch.sigmoid(cells - 9))
    with pytest.raises(BundleError, match=r"bundle: its ONNX form does not answer as torch does"):
        export_onnx(tmp_path / "bundle", out)
    assert out.read_bytes() == b"an older file"
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]


def test_differences_beyond_the_tolerance_and_no_numbers_are_not_good() -> None:
    good = Agreement(probability=1e-5, logit=1e-5, heatmap=1e-3, correlation=0.99999)
    assert good.good
    for worse in (
        {"probability": 2e-4},
        {"logit": 2e-3},
        {"heatmap": 0.02},
        {"correlation": 0.9998},
        *({name: float("nan")} for name in ("probability", "logit", "heatmap", "correlation")),
    ):
        assert not dataclasses.replace(good, **worse).good


def test_what_cannot_be_exported(tmp_path: Path, file: Exported, run_folder: Path) -> None:
    out = tmp_path / "model.onnx"
    write_small(tmp_path / "layercam", tiny("linear"), "layercam")
    with pytest.raises(BundleError, match=r"layercam: is explained by layercam.*gradcam or regio"):
        export_onnx(tmp_path / "layercam", out)
    with pytest.raises(BundleError, match="is an ONNX file already"):
        export_onnx(file.path, out)
    with pytest.raises(SettingsError, match=r"'model\.pt' is not a name.*\.onnx"):
        export_onnx(run_folder, tmp_path / "model.pt")
    broken = Path(shutil.copytree(run_folder / "bundle", tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(BundleError, match="was altered"):
        export_onnx(broken, out)
    assert not out.exists()


def test_without_the_exporter_the_error_says_what_to_install(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoscope.extras._installed", lambda name: name != "onnxscript")
    with pytest.raises(MissingExtra, match=r"export needs onnxscript.*extra 'train'"):
        export_onnx(run_folder, tmp_path / "model.onnx")
