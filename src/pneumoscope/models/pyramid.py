"""A feature pyramid on a timm network's middle stages: a fine map, each cell of which sees little.

Lin et al., "Feature Pyramid Networks" (arXiv 1612.03144): the coarse, knowing maps are added, twice
as fine each time, to the finer ones before them. Preechakul et al., "PYLON" (arXiv 2010.11475),
show that a classifier trained on image labels alone localizes better on such a map, because the
last map of a network (7 x 7 at 224 pixels) is coarser than most lesions.

The last stage is left out. Its cells see the whole radiograph, so that with image labels alone each
of them may learn the radiograph's label instead of what lies in its place (docs/localization.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pneumoscope.errors import SettingsError
from pneumoscope.models.backbones import Backbone

WIDTH = 64
# Finer stages know too little of the radiograph; of coarser ones each cell sees all of it.
_FINEST, _COARSEST = 8, 16


class PyramidBackbone(Backbone):
    """A network whose features are one fused map (B, 64, h, w), 8 pixels of the input per cell.

    A transformer has a single scale: its map is that of its tokens.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        net: Any = network
        self.network = network
        self.num_features = WIDTH
        reductions = {info["reduction"]: index for index, info in enumerate(net.feature_info)}
        # Of the stages with the same reduction the last; the coarsest stage first.
        self._stages = sorted(
            (index for reduction, index in reductions.items() if _FINEST <= reduction <= _COARSEST),
            reverse=True,
        )
        if not self._stages:
            finest = min(reductions)
            raise SettingsError(
                f"no stage of the backbone has {_FINEST} to {_COARSEST} pixels a cell, which the "
                f"head 'regional' needs; its finest map has {finest}",
                remedy="choose another backbone, or --set head=linear",
            )
        channels = [net.feature_info[index]["num_chs"] for index in self._stages]
        # Layers behind the last stage would only be carried along.
        net.prune_intermediate_layers([self._stages[0]], prune_norm=True, prune_head=True)
        self.laterals = nn.ModuleList(convolution(count, WIDTH, 1) for count in channels)
        self.fuse = nn.Sequential(convolution(WIDTH, WIDTH, 3), nn.ReLU())

    def features(self, images: Tensor) -> Tensor:  # noqa: D102
        net: Any = self.network
        stages = sorted(self._stages)
        maps = net.forward_intermediates(images, indices=stages, intermediates_only=True)[::-1]
        fused = self.laterals[0](maps[0])
        for lateral, finer in zip(self.laterals[1:], maps[1:], strict=True):
            here = lateral(finer)
            fused = here + F.interpolate(
                fused, size=here.shape[-2:], mode="bilinear", align_corners=False
            )
        return self.fuse(torch.relu(fused))  # type: ignore[no-any-return]

    def pooled(self, features: Tensor, evidence: Tensor) -> Tensor:
        """The mean over the grid, for heads that classify a vector."""
        return evidence.mean(dim=(2, 3))


def convolution(inputs: int, outputs: int, side: int) -> nn.Sequential:
    """A convolution of `side` x `side` cells that keeps the map's size, and its normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), nn.BatchNorm2d(outputs)
    )
