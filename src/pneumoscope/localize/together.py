"""The mean heatmap of an ensemble's members."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

# Below this a map shows no evidence, and scaling it to one would show rounding.
_NO_EVIDENCE = 1e-12


def mean_map(maps: Sequence[Tensor], *, comparable: bool) -> Tensor:
    """The mean of maps on the finest one's grid.

    Args:
        maps: (B, h, w) >= 0 of each member; the grids may differ.
        comparable: the values are of one scale, as probabilities are. Otherwise each map is divided
            by its maximum first, so that no network counts for more because its logits are larger.
    """
    size = max((tuple(each.shape[1:]) for each in maps), key=lambda shape: int(shape[0]))
    fine = []
    for each in maps:
        one = interpolate(each[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        if not comparable:
            one = one / one.amax(dim=(1, 2), keepdim=True).clamp_min(_NO_EVIDENCE)
        fine.append(one)
    return torch.stack(fine).mean(dim=0)
