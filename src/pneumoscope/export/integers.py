"""Static int8: the backbone computed in integers, head and heatmap in float32.

The backbone's layers have weights in integers, a scale for each output channel, and maps in eight
bits, a scale for each map (QuantizeLinear and DequantizeLinear of ONNX, which onnxruntime and
OpenVINO fuse into integer kernels). A map's range is the largest on the radiographs of train.

Weights use seven bits. A processor without VNNI adds the products of two pairs of eight-bit numbers
in 16 bits, which saturate; with seven they cannot, so every processor gives the answers that were
measured, and on those processors these are nearer to float32's than with eight.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pneumoscope.errors import BundleError
from pneumoscope.export.quality import Answers, mean_correlation
from pneumoscope.export.sample import Progress
from pneumoscope.export.tracing import Traced, bare
from pneumoscope.inference.file_engine import INPUTS

_LAYERS = ("Conv", "Gemm", "MatMul")
# What stands between convolutions: in integers too, lest every map be turned to float32 and back;
# an activation becomes part of the layer before it.
_BETWEEN = ("Add", "AveragePool", "Clip", "Concat", "MaxPool", "Relu")
# How many of the first layers stay in float32: they see fine maps of few channels, where rounding
# harms most. The fewest whose maps on train correlate so well are chosen, well above the gate.
_FLOAT_AT_FIRST = (0, 1, 2, 4, 8)
_WANTED = 0.99
# Calibration holds every map of the network at once: half a gigabyte or more for a large
# radiograph.
_AT_ONCE = 1


def int8_model(
    traced: Traced,
    pixels: NDArray[np.uint8],
    ask: Callable[[bytes], Answers],
    reference: Answers,
    progress: Progress,
) -> bytes:
    """Quantise a network.

    Args:
        traced: in float32.
        pixels: (C, size, size) uint8, radiographs of train.
        ask: what a serialised model answers about `pixels`.
        reference: what float32 answers about them.
        progress: hears of the calibration.

    Returns:
        The serialised model, without metadata; standard operators alone.

    Raises:
        BundleError: there is nothing to quantise, or onnxruntime cannot.
    """
    layers, between = _nodes(traced)
    best, highest = b"", -1.0
    with tempfile.TemporaryDirectory(prefix="pneumoscope-") as folder:
        for first in _FLOAT_AT_FIRST:
            if first >= len(layers):
                break
            films = _Films(pixels, progress)
            try:
                model = _quantised(traced.model, [*layers[first:], *between], films, Path(folder))
            except Exception as error:  # onnxruntime's errors have no common base.
                reason = str(error).strip().partition("\n")[0]
                raise BundleError(
                    f"onnxruntime cannot quantise it ({type(error).__name__}: {reason})",
                    remedy="export it in float16 or float32",
                ) from error
            correlation = mean_correlation(ask(model).maps, reference.maps)
            if correlation is not None and correlation > highest:
                best, highest = model, correlation
            if highest >= _WANTED:
                break
    return best or model


def _nodes(traced: Traced) -> tuple[list[str], list[str]]:
    """Names of the layers in the order in which they run, and of what is between them."""
    graph = onnx.load_from_string(traced.model).graph
    constants = {tensor.name for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.name in set(traced.backbone)]
    layers = [n for n in nodes if n.op_type in _LAYERS and n.input[1] in constants]
    if not layers:
        raise BundleError(
            "none of its layers was recognised, so nothing can be computed in int8",
            remedy="export it in float16 or float32, or use another version of torch",
        )
    # A transformer's sums hold outliers that eight bits do not.
    transformer = any(node.op_type != "Conv" for node in layers)
    between = [] if transformer else [n.name for n in nodes if n.op_type in _BETWEEN]
    return [node.name for node in layers], between


class _Films:
    """Batches for onnxruntime's calibration."""

    def __init__(self, pixels: NDArray[np.uint8], progress: Progress) -> None:
        self._pixels = pixels
        self._progress = progress
        self._done = 0

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next batch, None at the end."""
        if self._done:
            self._progress("Calibrating", self._done, len(self._pixels))
        batch = self._pixels[self._done : self._done + _AT_ONCE]
        self._done += len(batch)
        targets = np.ones(len(batch), dtype=np.int64)
        return dict(zip(INPUTS, (batch, targets), strict=True)) if len(batch) else None


def _quantised(model: bytes, nodes: list[str], films: _Films, folder: Path) -> bytes:
    """Quantise the nodes named; the ranges of all maps are kept in `folder` for the next call."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    proto = onnx.load_from_string(model)
    # The exporter has folded normalisations already; the mark keeps onnxruntime from asking.
    add_pre_process_metadata(proto)
    out = folder / "int8.onnx"
    quantize_static(
        proto,
        out,
        films,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*_LAYERS, *_BETWEEN],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=nodes,
        # What a transformer's layers give is added up in float32.
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        calibration_cache_path=folder / "ranges.json",
    )
    found = onnx.load(out)
    standard = [each for each in found.opset_import if not each.domain]
    found.ClearField("opset_import")
    found.opset_import.extend(standard)
    return bare(found)
