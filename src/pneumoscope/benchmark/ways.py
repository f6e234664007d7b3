"""Ways of explaining the same radiographs by the same network: pixels to probability and heatmap.

All of them take uint8 pixels (B, S, S) and give the probability of the positive class and its
Grad-CAM map, enlarged to S x S by bilinear interpolation and scaled to [0, 1]. Ways without torch
import none, so that their memory is their own.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.benchmark.way import Answer, ExplainWay, Films
from pneumoscope.bundles import HeatmapSpec, read_bundle, read_onnx
from pneumoscope.imaging import Letterbox
from pneumoscope.inference import Engine, film_heatmap
from pneumoscope.inference.finishing import calibrated_probability

if TYPE_CHECKING:
    from pneumoscope.inference.engine import Precision

METHOD = "gradcam"
FLOAT32_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"


class OurWay(ExplainWay):
    """Pneumoscope: an engine, and what makes heatmaps of its raw maps."""

    def __init__(self, engine: Engine, films: Films, batch: int) -> None:
        super().__init__(films, batch)
        self.engine = engine
        side = films.shape[1]
        self.letterbox = Letterbox.fit(side, side, side)

    def explain(self, pixels: Films) -> Answer:
        """See `ExplainWay.explain`."""
        output = self.engine.run(pixels, [METHOD])
        temperature = self.engine.info.temperature
        spec = HeatmapSpec.parse(METHOD)
        maps = [film_heatmap(spec, grid, self.letterbox) for grid in output.maps[METHOD]]
        probability = [calibrated_probability(logit, temperature) for logit in output.logits]
        return Answer(np.array(probability), np.stack(maps))


def _peer(name: str, folder: Path, films: Films, batch: int, _threads: int) -> ExplainWay:
    from pneumoscope.benchmark.peers import PEERS
    from pneumoscope.models.loading import load_classifier

    found, info = read_bundle(folder)
    return PEERS[name](load_classifier(found, info), films, batch)


def _torch(
    precision: Precision, folder: Path, films: Films, batch: int, _threads: int
) -> ExplainWay:
    from pneumoscope.inference.torch_engine import TorchEngine
    from pneumoscope.models.loading import load_classifier

    found, info = read_bundle(folder)
    return OurWay(TorchEngine(info, load_classifier(found, info), precision), films, batch)


def _onnxruntime(file: str, folder: Path, films: Films, batch: int, threads: int) -> ExplainWay:
    from pneumoscope.inference.onnx_engine import OnnxEngine

    return OurWay(OnnxEngine(read_onnx(folder / file), threads=threads), films, batch)


def _openvino(
    precision: Precision, folder: Path, films: Films, batch: int, threads: int
) -> ExplainWay:
    from pneumoscope.inference.openvino_engine import OpenVinoEngine

    file = INT8_FILE if precision == "int8" else FLOAT32_FILE
    bundle = read_onnx(folder / file)
    return OurWay(OpenVinoEngine(bundle, precision=precision, threads=threads), films, batch)


# What makes a way, and the first of its arguments.
_MAKERS: dict[str, tuple[Callable[..., ExplainWay], str]] = {
    "grad-cam": (_peer, "grad-cam"),
    "torchcam": (_peer, "torchcam"),
    "captum": (_peer, "captum"),
    "torch float32": (_torch, "float32"),
    "torch bfloat16": (_torch, "bfloat16"),
    "onnxruntime float32": (_onnxruntime, FLOAT32_FILE),
    "onnxruntime int8": (_onnxruntime, INT8_FILE),
    "openvino float32": (_openvino, "float32"),
    "openvino bfloat16": (_openvino, "bfloat16"),
    "openvino int8": (_openvino, "int8"),
}
# Peers, and the name that each is imported by.
_PACKAGES = {"grad-cam": "pytorch_grad_cam", "torchcam": "torchcam", "captum": "captum"}
PEER_NAMES = tuple(_PACKAGES)
WAYS = tuple(_MAKERS)


def make_way(name: str, folder: Path, films: Films, batch: int, threads: int) -> ExplainWay:
    """A way by its name.

    Args:
        name: of `WAYS`.
        folder: of the bundle, with its exported files.
        films: (N, S, S) uint8, N at least `batch`.
        batch: radiographs per step.
        threads: of onnxruntime or OpenVINO; torch's are the caller's to set.

    Raises:
        PneumoscopeError: a file or a library is missing.
    """
    maker, what = _MAKERS[name]
    return maker(what, folder, films, batch, threads)


def explains(name: str, backbone: str) -> bool:
    """Whether a way can explain a backbone: captum has no Grad-CAM of tokens."""
    from pneumoscope.models.registry import backbone_record

    return name != "captum" or backbone_record(backbone).family != "tokens"


def missing(name: str) -> str | None:
    """Why this machine cannot take a way; None if it can."""
    from pneumoscope.inference import openvino_engine
    from pneumoscope.models.precision import has_bfloat16

    if name in _PACKAGES and find_spec(_PACKAGES[name]) is None:
        return f"{name} is not installed"
    if name.startswith("openvino") and not openvino_engine.installed():
        return "openvino is not installed"
    if name == "torch bfloat16" and not has_bfloat16():
        return "no bfloat16 on this machine"
    if name == "openvino bfloat16" and not openvino_engine.has_bfloat16():
        return "no bfloat16 on this machine"
    return None
