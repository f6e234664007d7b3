"""From a bundle to its ONNX file: traced, written, checked, and only then kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pneumoscope.bundles import BundleInfo, HeatmapSpec, read_bundle, read_onnx, write_onnx
from pneumoscope.errors import BundleError, PneumoscopeError, SettingsError
from pneumoscope.export.agreement import Agreement, require_agreement
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.files import atomic_path
from pneumoscope.inference.file_engine import INPUTS, output_names
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.torch_engine import load_classifier

# The newest that the oldest onnxruntime of the base install knows has 21.
OPSET = 20
_LOG_SIGMOID = torch.ops.aten.log_sigmoid.default


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Attributes:
        path: the file.
        info: what it says of itself, the bundle's own description.
        size: in bytes.
        agreement: how it differs from torch.
    """

    path: Path
    info: BundleInfo
    size: int
    agreement: Agreement


def export_onnx(bundle: Path, out: Path) -> Exported:
    """Write a bundle as one ONNX file, after it has been seen to answer as torch does.

    Args:
        bundle: a bundle, or a run whose training has finished.
        out: the file, ending in `.onnx`; replaced if it exists, left alone if anything fails.

    Raises:
        BundleError: the bundle is missing or altered, or it has no ONNX form that answers as torch.
        SettingsError: `out` ends otherwise.
        OutputError: the file cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() != ".onnx":
        raise SettingsError(f"'{out.name}' is no name for an ONNX file", remedy="end it in .onnx")
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise BundleError(
                f"export needs {package}, which is not installed",
                remedy="pip install 'pneumoscope[train]'",
            )
    folder, info = read_bundle(bundle)
    if folder.is_file():
        raise BundleError("is an ONNX file already", path=folder, remedy="give a bundle or a run")
    classifier = load_classifier(folder, info)
    try:
        model = onnx_model(ExportedNetwork(classifier, info), info)
        with atomic_path(out) as temporary:
            write_onnx(temporary, model, info)
            found = require_agreement(OnnxEngine(read_onnx(temporary)), classifier)
    except BundleError as error:
        raise BundleError(error.problem, path=folder, remedy=error.remedy) from error
    return Exported(out, info, out.stat().st_size, found)


def onnx_model(network: ExportedNetwork, info: BundleInfo) -> bytes:
    """Serialise a network for any batch, without metadata.

    Raises:
        BundleError: torch cannot write it as ONNX.
    """
    size = info.architecture.size
    examples = (torch.zeros(2, size, size, dtype=torch.uint8), torch.tensor([0, 1]))
    batch = {0: torch.export.Dim("batch", min=1)}
    try:
        with torch.no_grad(), _quiet():
            traced = torch.export.export(
                network.eval(), examples, dynamic_shapes=(batch, batch), strict=False
            )
            if any(node.target is _LOG_SIGMOID for node in traced.graph.nodes):
                traced = traced.run_decompositions({_LOG_SIGMOID: _log_sigmoid})
            program: Any = torch.onnx.export(
                traced,
                examples,
                input_names=list(INPUTS),
                output_names=list(output_names(HeatmapSpec.parse(info.heatmap))),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
            return _bare(program.model_proto)
    except PneumoscopeError:
        raise
    # The exporter's errors, and those of what it calls, have no common base.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise BundleError(
            f"torch cannot write it as ONNX ({type(error).__name__}: {reason})",
            remedy="use the safetensors bundle, or another version of torch",
        ) from error


def _log_sigmoid(values: Tensor) -> Tensor:
    """As torch computes it; the exporter's log(sigmoid(x)) is minus infinity from -104 down."""
    return values.clamp(max=0) - torch.log1p(torch.exp(-values.abs()))


def _bare(model: Any) -> bytes:
    """Without the exporter's notes, which name files and lines of the machine it ran on."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks to its developers from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
