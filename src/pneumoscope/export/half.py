"""Weights in float16, computed in float32: half the file, and nothing else changes.

Each weight is followed by a cast to float32. onnxruntime and OpenVINO do it once, when they load.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Smaller tensors are constants of the graph and cost nothing.
_LEAST = 256
_SUFFIX = ".float16"


def half_weights(model: bytes) -> bytes:
    """Store a serialised model's weights as float16; a tensor beyond its range stays as it is."""
    proto = onnx.load_from_string(model)
    graph = proto.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _LEAST or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + _SUFFIX))
        casts.append(
            helper.make_node("Cast", [name + _SUFFIX], [name], name + ".cast", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content
