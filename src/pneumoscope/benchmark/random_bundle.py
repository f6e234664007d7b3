"""Bundles with random weights: how fast a network runs does not depend on what it has learnt."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from pneumoscope import __version__
from pneumoscope.benchmark.way import Films
from pneumoscope.benchmark.ways import FLOAT32_FILE, INT8_FILE
from pneumoscope.bundles import (
    BundleInfo,
    ExportInfo,
    HeatmapSpec,
    OnnxBundle,
    read_onnx,
    write_bundle,
    write_onnx,
)
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.export.integers import int8_model
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.export.quality import Answers, answers
from pneumoscope.export.tracing import Traced, trace
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.localize.randomise import randomised
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import backbone_record


def prepare(
    folder: Path, backbone: str, size: int, heatmap: str, calibrate: Films | None = None
) -> BundleInfo:
    """Write a bundle with random weights, and its exported files beside them.

    The weights are drawn so that activations keep a sane scale at any depth. The files are those of
    `pneumoscope export` but for its checks, of which that on val means nothing for a network that
    has learnt nothing.

    Args:
        folder: to be made.
        backbone: a registered name.
        size: side of the square input, in pixels.
        heatmap: what the bundle is explained with; its head is the one that goes with it.
        calibrate: (N, size, size), to export int8 too.

    Raises:
        PneumoscopeError: there is no such backbone or heatmap, or it cannot be exported.
    """
    source = backbone_record(backbone).automatic
    head = "regional" if HeatmapSpec.parse(heatmap).method == "regional" else "linear"
    architecture = Architecture(backbone, head, size, source.mean, source.std, dict(source.options))
    classifier = randomised(Classifier(architecture).eval(), seed=0)
    if head == "linear":
        _see_evidence(classifier)
    draft = folder.with_name(f".{folder.name}-draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    info = write_classifier(draft, classifier, untrained(architecture, heatmap))
    traced = trace(ExportedNetwork(classifier, info), info)
    exact = info.model_copy(update={"export": ExportInfo(precision="float32")})
    write_onnx(draft / FLOAT32_FILE, traced.model, exact)
    if calibrate is not None:
        reduced = info.model_copy(update={"export": ExportInfo(precision="int8")})
        model = _integers(traced, read_onnx(draft / FLOAT32_FILE), calibrate)
        write_onnx(draft / INT8_FILE, model, reduced)
    draft.replace(folder)
    return info


def _see_evidence(classifier: Classifier) -> None:
    """Let activations speak for the positive class, so that no radiograph's map is empty."""
    last = [layer for layer in classifier.head.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.weight[1].abs_()
        last.weight[0].abs_().neg_()


def untrained(architecture: Architecture, heatmap: str) -> dict[str, Any]:
    """The fields of the description of a bundle that has learnt nothing."""
    return {
        "version": __version__,
        "architecture": asdict(architecture),
        "labels": ("NORMAL", "PNEUMONIA"),
        "threshold": 0.5,
        "temperature": 1.0,
        "calibration": {},
        "training": {
            "data_digest": "0" * 64,
            "splits": {},
            "weights": {},
            "settings": {},
            "selected_epoch": 0,
            "versions": {},
        },
        "heatmap": heatmap,
    }


def write_classifier(folder: Path, classifier: Classifier, fields: Mapping[str, Any]) -> BundleInfo:
    """Write a classifier's weights and its bundle's description into a folder."""
    state = {name: value.contiguous() for name, value in classifier.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    return write_bundle(folder, fields, [WEIGHTS_FILE])


def _integers(traced: Traced, exact: OnnxBundle, films: Films) -> bytes:
    def ask(model: bytes) -> Answers:
        return _answers(OnnxBundle(Path(INT8_FILE), model, exact.info), films)

    return int8_model(traced, films, ask, _answers(exact, films), _silent)


def _answers(bundle: OnnxBundle, films: Films) -> Answers:
    return answers(OnnxEngine(bundle), films, "", _silent)


def _silent(_doing: str, _done: int, _all: int) -> None:
    pass
