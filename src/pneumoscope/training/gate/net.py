"""The input gate's network, from random weights, and its ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pneumoscope.gate import KINDS
from pneumoscope.training.small.export import export_checked

_WIDTHS = (16, 32, 48, 64)


class GateNet(nn.Module):
    """Pixels (B, 1, S, S) in 0..255 to logits (B, 7) of `gate.KINDS`; S is a multiple of 16.

    Each picture is brought to mean 0 and standard deviation 1 first, so that exposure and contrast
    do not matter; polarity and orientation still do. The last map is flattened, not averaged: which
    way is up is a matter of place.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in _WIDTHS:
            layers += [_conv(before, width, 2), _conv(width, width, 1)]
            before = width
        cells = (side // 16) ** 2
        self.features = nn.Sequential(*layers)
        self.place = nn.Sequential(nn.Conv2d(before, 16, 1), nn.ReLU(inplace=True), nn.Flatten())
        self.answer = nn.Sequential(nn.Dropout(0.2), nn.Linear(16 * cells + before, len(KINDS)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (B, 7)."""
        centred = pixels - pixels.mean(dim=(2, 3), keepdim=True)
        spread = (centred * centred).mean(dim=(2, 3), keepdim=True).sqrt()
        found = self.features(centred / (spread + 1.0))
        kinds: Tensor = self.answer(torch.cat([self.place(found), found.mean(dim=(2, 3))], dim=1))
        return kinds


def _conv(before: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class _Shares(nn.Module):
    def __init__(self, nets: Sequence[GateNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.stack([torch.softmax(net(pixels), dim=1) for net in self.nets]).mean(dim=0)


def export_gate(nets: Sequence[GateNet], side: int, path: Path) -> float:
    """Write `pixels` (B, 1, side, side) in 0..255 to `shares` (B, 7), any batch.

    Args:
        nets: networks in evaluation mode; the file gives the mean of their shares.
        side: of their input.
        path: the ONNX file.

    Returns:
        The largest difference between file and network on a test pattern.

    Raises:
        RunError: the difference is above `small.export.TOLERANCE`.
        OutputError: the file cannot be written.
    """
    example = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0)) * 255
    return export_checked(_Shares(nets).eval(), example, "shares", path)
