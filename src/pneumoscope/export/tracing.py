"""From a torch module to ONNX: the graph, and which of its nodes are the backbone's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pneumoscope.bundles import BundleInfo, HeatmapSpec
from pneumoscope.errors import BundleError, PneumoscopeError
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.inference.file_engine import INPUTS, output_names

# The newest that the oldest onnxruntime of the base install knows has 21.
OPSET = 20
_LOG_SIGMOID = torch.ops.aten.log_sigmoid.default
# Where the exporter notes the modules that a node stems from, and how this package names them.
_SCOPES = "pkg.torch.onnx.name_scopes"
_BACKBONE, _SQUEEZE_EXCITE = ".classifier.backbone", ".se."


@dataclass(frozen=True, slots=True)
class Traced:
    """A network as ONNX.

    Attributes:
        model: serialised, for any batch, without metadata.
        backbone: names of the nodes of the backbone, in the order in which they run; without those
            of squeeze-and-excitation, which see one value per channel, and of a transformer's last
            block, which is differentiated.
    """

    model: bytes
    backbone: tuple[str, ...]


def trace(network: ExportedNetwork, info: BundleInfo) -> Traced:
    """Write a network as ONNX for any batch.

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
            model = program.model_proto
            _transpose_square_weights(model.graph)
            backbone = tuple(node.name for node in model.graph.node if _in_backbone(node))
            return Traced(bare(model), backbone)
    except PneumoscopeError:
        raise
    # The exporter's errors, and those of what it calls, have no common base.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise BundleError(
            f"torch cannot write it as ONNX ({type(error).__name__}: {reason})",
            remedy="use the safetensors bundle, or another version of torch",
        ) from error


def bare(model: Any) -> bytes:
    """Serialise a model without notes, which name files and lines of the machine it was made on."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _transpose_square_weights(graph: Any) -> None:
    """Store the transpose of a square weight, which a backward pass multiplies with, as a constant.

    OpenVINO 2026.4 keeps packed weights by their place in memory and their shape. It takes a square
    matrix and its transpose, made of one constant, for the same, and gives wrong heatmaps.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        weight = constants.get(node.input[0]) if node.op_type == "Transpose" else None
        if weight is None or len(weight.dims) != 2 or weight.dims[0] != weight.dims[1]:
            continue
        # Both axes, in whatever way they are named, or none.
        if [list(each.ints) for each in node.attribute] == [[0, 1]]:
            continue
        values = np.ascontiguousarray(numpy_helper.to_array(weight).T)
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)


def _in_backbone(node: Any) -> bool:
    scopes = "".join(entry.value for entry in node.metadata_props if entry.key == _SCOPES)
    return _BACKBONE in scopes and _SQUEEZE_EXCITE not in scopes


def _log_sigmoid(values: Tensor) -> Tensor:
    """As torch computes it; the exporter's log(sigmoid(x)) is minus infinity from -104 down."""
    return values.clamp(max=0) - torch.log1p(torch.exp(-values.abs()))


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
