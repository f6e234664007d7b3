"""Bundles for the tests: of small random classifiers, and the shared run exported."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from pneumoscope.benchmark.random_bundle import untrained, write_classifier
from pneumoscope.bundles import BundleInfo
from pneumoscope.export import Exported, export_onnx
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.export.tracing import Traced, trace
from pneumoscope.models.classifier import Architecture, Classifier
from tests.localize.networks import small


def described(architecture: Architecture, heatmap: str) -> dict[str, Any]:
    """The fields of a bundle's description, with a threshold and a temperature of its own."""
    fields = untrained(architecture, heatmap)
    fields["architecture"]["options"] = json.loads(json.dumps(architecture.options))
    return {**fields, "threshold": 0.4, "temperature": 0.7}


def write_small(folder: Path, classifier: Classifier, heatmap: str) -> BundleInfo:
    """Write a classifier as a bundle explained by `heatmap`."""
    folder.mkdir(parents=True)
    return write_classifier(folder, classifier, described(classifier.architecture, heatmap))


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
