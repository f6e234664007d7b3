"""Another calibration inside an exported file, whose graph computes the probability itself."""

from __future__ import annotations

from typing import Any

import numpy as np

_LOGIT, _PROBABILITY = "logit", "probability"
_TEMPERATURE, _BIAS = "site_temperature", "site_bias"
_SCALED, _ODDS = "site_scaled", "site_odds"


def with_calibration(model: bytes, temperature: float, bias: float) -> bytes:
    """The model with the output `probability` as sigmoid(logit / temperature + bias).

    What computed it before, from the output `logit` on, is taken out; all else stays as it is.

    Args:
        model: a serialised ONNX model of `pneumoscope export`, without its seal.
        temperature, bias: of the calibration.
    """
    import onnx
    from onnx import helper, numpy_helper

    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    nodes = _without_the_old(list(graph.node), {each.name for each in graph.output})
    nodes += [
        helper.make_node("Div", [_LOGIT, _TEMPERATURE], [_SCALED], name=_SCALED),
        helper.make_node("Add", [_SCALED, _BIAS], [_ODDS], name=_ODDS),
        helper.make_node("Sigmoid", [_ODDS], [_PROBABILITY], name=_PROBABILITY),
    ]
    used = {name for node in nodes for name in node.input}
    kept = [
        each
        for each in graph.initializer
        if each.name in used and each.name not in (_TEMPERATURE, _BIAS)
    ]
    numbers = {_TEMPERATURE: temperature, _BIAS: bias}
    kept += [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in numbers.items()
    ]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(loaded)
    content: bytes = loaded.SerializeToString()
    return content


def _without_the_old(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """The nodes without the one that makes the probability and those that nothing else needs."""
    dropped = {_PROBABILITY}
    while True:
        kept = [node for node in nodes if not dropped.issuperset(node.output)]
        used = {name for node in kept for name in node.input} | outputs - {_PROBABILITY}
        unused = {name for node in kept for name in node.output} - used
        if unused <= dropped:
            return kept
        dropped |= unused
