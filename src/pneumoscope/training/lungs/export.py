"""The trained lung segmenter as one ONNX file, checked against torch before it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pneumoscope.cohort.lung_masks import LungCase
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.files import sha256_file
from pneumoscope.lungs import LungsInfo
from pneumoscope.training.lungs.net import STRIDE, LungNet
from pneumoscope.training.lungs.training import LungSettings
from pneumoscope.training.small.export import export_checked


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
        RunError: the difference is above `small.export.TOLERANCE`.
        OutputError: the file cannot be written.
    """
    module = _Probability(net).eval()
    generator = torch.Generator().manual_seed(0)
    # Smooth patterns: noise alone would leave every probability near 0.
    coarse = torch.rand(3, 1, 7, 7, generator=generator) * 255
    example = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return export_checked(module, example, "probability", path)


def write_lungs(
    net: LungNet,
    settings: LungSettings,
    manifest: Manifest,
    cases: Mapping[str, Sequence[LungCase]],
    about: str,
    out: Path,
) -> Path:
    """Write a trained segmenter as `lungs.onnx` and `lungs.json`, without figures; its path.

    Args:
        net: the trained network, in evaluation mode.
        settings: how it was trained.
        manifest: its radiographs.
        cases: radiographs with masks by split.
        about: the radiographs and masks, their licence and who made them.
        out: the folder.

    Raises:
        RunError, OutputError: see `export_lungs`.
    """
    model = out / "lungs.onnx"
    difference = export_lungs(net, settings.side, model)
    LungsInfo(
        sha256=sha256_file(model),
        side=settings.side,
        grid=settings.side // STRIDE,
        licence="Apache-2.0",
        training_data=about,
        training={
            "settings": settings.to_dict(),
            "films": {split: len(part) for split, part in cases.items()},
            "patients": {split: len({c.patient for c in part}) for split, part in cases.items()},
            "data_digest": manifest.digest(),
            "onnx_difference": difference,
        },
        figures={},
    ).write(model)
    return model
