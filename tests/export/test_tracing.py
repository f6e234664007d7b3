"""Graphs that every engine reads alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pneumoscope.bundles import BundleInfo, OnnxBundle
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.export.tracing import trace
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.openvino_engine import OpenVinoEngine
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from tests.export.bundles import described

SIZE = 64


@pytest.mark.slow
def test_a_square_weight_and_its_transpose_are_told_apart() -> None:
    """OpenVINO confuses them in a transformer that is wide enough; 48 channels are not."""
    torch.manual_seed(1)
    wide = {"depth": 1, "embed_dim": 192, "num_heads": 3}
    classifier = Classifier(Architecture("vit_b_16", "linear", SIZE, HALF, HALF, wide)).eval()
    files = {WEIGHTS_FILE: "0" * 64}
    info = BundleInfo.model_validate(
        {**described(classifier.architecture, "gradcam"), "files": files}
    )
    bundle = OnnxBundle(
        Path("wide.onnx"), trace(ExportedNetwork(classifier, info), info).model, info
    )
    pixels = np.random.default_rng(0).integers(0, 255, (2, SIZE, SIZE), dtype=np.uint8)
    one, other = (
        engine(bundle, threads=1).run(pixels, ["gradcam"]).maps["gradcam"]
        for engine in (OnnxEngine, OpenVinoEngine)
    )
    assert one.max() > 1e-3
    np.testing.assert_allclose(other, one, atol=1e-4 * one.max())
    graph = onnx.load_from_string(bundle.model).graph
    square = {each.name for each in graph.initializer if list(each.dims) == [192, 192]}
    assert len(square) == 2
    assert not any(node.op_type == "Transpose" and node.input[0] in square for node in graph.node)
