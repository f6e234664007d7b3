"""Bundles for the tests: of small random classifiers, and the shared run exported."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from pneumoscope.bundles import BundleInfo, write_bundle
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.export import Exported, export_onnx
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.export.tracing import Traced, trace
from pneumoscope.models.classifier import Architecture, Classifier
from tests.localize.networks import small


def described(architecture: Architecture, heatmap: str) -> dict[str, Any]:
    """The fields of a bundle's description."""
    return {
        "version": "0",
        "architecture": {
            "backbone": architecture.backbone,
            "head": architecture.head,
            "size": architecture.size,
            "mean": architecture.mean,
            "std": architecture.std,
            "options": json.loads(json.dumps(architecture.options)),
        },
        "labels": ("NORMAL", "PNEUMONIA"),
        "threshold": 0.4,
        "temperature": 0.7,
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


def write_small(folder: Path, classifier: Classifier, heatmap: str) -> BundleInfo:
    """Write a classifier as a bundle explained by `heatmap`."""
    folder.mkdir(parents=True)
    state = {name: value.contiguous() for name, value in classifier.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    return write_bundle(folder, described(classifier.architecture, heatmap), [WEIGHTS_FILE])


# What was written once, until the process ends.
_KEPT = tempfile.TemporaryDirectory(prefix="pneumoscope-tests-")


def _folder() -> Path:
    return Path(tempfile.mkdtemp(dir=_KEPT.name))


@functools.cache
def exported(run_folder: Path) -> Exported:
    """The run's bundle as a file, written once; to be read only."""
    return export_onnx(run_folder, _folder() / "model.onnx")


@functools.cache
def exported_small(backbone: str, head: str, heatmap: str) -> Exported:
    """A small random classifier as a file, written once; to be read only."""
    folder, classifier = _folder(), small(backbone, head)
    write_small(folder / "bundle", classifier, heatmap)
    return export_onnx(folder / "bundle", folder / "model.onnx")


_TRACED: dict[str, Traced] = {}


def trace_once(network: ExportedNetwork, info: BundleInfo) -> Traced:
    """Instead of `trace`, which takes most of an export's time."""
    if info.model_id not in _TRACED:
        _TRACED[info.model_id] = trace(network, info)
    return _TRACED[info.model_id]
