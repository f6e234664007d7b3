"""The trained lung segmenter as one ONNX file, checked against torch before it is kept."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.errors import RunError
from pneumoscope.files import atomic_path
from pneumoscope.training.lungs_net import LungNet

TOLERANCE = 1e-3
_OPSET = 17


class _Probability(nn.Module):
    def __init__(self, net: LungNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.sigmoid(self.net(pixels))


def export_lungs(net: LungNet, side: int, path: Path) -> float:
    """Write `pixels` (B, 1, side, side) in 0..255 to `probability` (B, 1, G, G), any batch.

    Args:
        net: the trained network, in evaluation mode.
        side: side of its input.
        path: the ONNX file.

    Returns:
        The largest difference between the two on a test pattern.

    Raises:
        RunError: the difference is above `TOLERANCE`.
        OutputError: the file cannot be written.
    """
    module = _Probability(net).eval()
    generator = torch.Generator().manual_seed(0)
    # Smooth patterns: noise alone would leave every probability near 0.
    coarse = torch.rand(3, 1, 7, 7, generator=generator) * 255
    example = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                str(temporary),
                input_names=["pixels"],
                output_names=["probability"],
                dynamic_axes={"pixels": {0: "batch"}, "probability": {0: "batch"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        difference = _difference(module, example, temporary)
        if not difference <= TOLERANCE:
            raise RunError(f"the ONNX file differs from the network by {difference:.2g}", path=path)
    return difference


def _difference(module: nn.Module, example: Tensor, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": example.numpy()})
    with torch.inference_mode():
        expected = module(example).numpy()
    return float(np.abs(np.asarray(found) - expected).max())
