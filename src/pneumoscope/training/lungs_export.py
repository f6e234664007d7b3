"""The trained lung segmenter as one ONNX file, checked against torch before it is kept."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pneumoscope.training.lungs_net import LungNet
from pneumoscope.training.small_export import export_checked


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
        RunError: the difference is above `small_export.TOLERANCE`.
        OutputError: the file cannot be written.
    """
    module = _Probability(net).eval()
    generator = torch.Generator().manual_seed(0)
    # Smooth patterns: noise alone would leave every probability near 0.
    coarse = torch.rand(3, 1, 7, 7, generator=generator) * 255
    example = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return export_checked(module, example, "probability", path)
