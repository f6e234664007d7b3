"""Heads: from the pooled vector, or from the whole map, to two logits (negative, positive)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from pneumoscope.bundles.architecture import Pooling
from pneumoscope.errors import SettingsError

HeadName = Literal["linear", "mlp", "regional"]
HEADS: tuple[str, ...] = get_args(HeadName)


# Of the cells, what `top` takes the mean of.
_TOP = 0.1


class RegionalHead(nn.Module):
    """Log-odds of disease in every cell of a map, pooled where the disease is.

    Cell i has the log-odds z_i = w f_i + b. A small lesion is not averaged away, and the map needs
    no gradient: it is sigmoid(z). The radiograph's log-odds are

    - `top`: the mean of the highest tenth of z (Durand et al., "WILDCAT", CVPR 2017, equation 3,
      without the lowest regions);
    - `weighted`: the mean of z with the weights sigmoid(z_i) / sum_j sigmoid(z_j) (Ye et al.,
      "Weakly Supervised Lesion Localization With Probabilistic-CAM Pooling", arXiv 2005.14480,
      equations 2 to 4).
    """

    def __init__(self, num_features: int, pooling: Pooling = "weighted") -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout2d(0.1)
        self.cell = nn.Conv2d(num_features, 1, 1)

    def evidence(self, grid: Tensor) -> Tensor:
        """Features (B, C, h, w) to log-odds per cell (B, h, w), float32."""
        return self.cell(self.dropout(grid))[:, 0].float()  # type: ignore[no-any-return]

    def pool(self, evidence: Tensor) -> Tensor:
        """Log-odds per cell (B, h, w) to two logits (B, 2): half the log-odds each way."""
        cells = evidence.flatten(1)
        if self.pooling == "top":
            half = cells.topk(max(round(_TOP * cells.shape[1]), 1), dim=1).values.mean(dim=1) / 2
        else:
            # Weights as a softmax of log sigmoid(z): they never divide zero by zero.
            weights = torch.softmax(nn.functional.logsigmoid(cells), dim=1)
            half = (weights * cells).sum(dim=1) / 2
        return torch.stack([-half, half], dim=1)

    def forward(self, grid: Tensor) -> Tensor:
        """Features (B, C, h, w) to logits (B, 2)."""
        return self.pool(self.evidence(grid))


def build_head(
    name: str, num_features: int, num_classes: int = 2, pooling: Pooling = "weighted"
) -> nn.Module:
    """Build a head.

    Args:
        name: `linear` (dropout .2 and one layer), or `mlp`, the head of arXiv 2511.00456:
            Linear(512), BatchNorm, ReLU, Dropout .3, Linear(128), ReLU, Dropout .2, Linear(2);
            or `regional`, a `RegionalHead` on a feature pyramid, made for localization.
        num_features: length of the pooled vector, or channels of the map.
        num_classes: number of logits.
        pooling: of `regional`.

    Raises:
        SettingsError: no head has that name.
    """
    if name == "linear":
        return nn.Sequential(nn.Dropout(0.2), nn.Linear(num_features, num_classes))
    if name == "mlp":
        return nn.Sequential(
            nn.Linear(num_features, 512),
            nn.BatchNorm1d(512),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, num_classes),
        )
    if name == "regional":
        return RegionalHead(num_features, pooling)
    raise SettingsError(f"unknown head '{name}'", remedy=f"choose one of {', '.join(HEADS)}")
