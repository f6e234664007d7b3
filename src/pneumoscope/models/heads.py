"""Heads: from the pooled vector, or from the whole map, to two logits (negative, positive)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from pneumoscope.errors import SettingsError

HeadName = Literal["linear", "mlp", "regional"]
HEADS: tuple[str, ...] = get_args(HeadName)


class RegionalHead(nn.Module):
    """Log-odds of disease in every cell of a map, pooled where the disease is.

    Ye et al., "Weakly Supervised Lesion Localization With Probabilistic-CAM Pooling" (arXiv
    2005.14480), equations 2 to 4, for one finding: cell i has the log-odds z_i = w f_i + b and the
    weight sigmoid(z_i) / sum_j sigmoid(z_j); the radiograph's log-odds are the weighted mean of z.
    So a small lesion is not averaged away, and the map needs no gradient: it is sigmoid(z).
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(0.1)
        self.cell = nn.Conv2d(num_features, 1, 1)

    def evidence(self, grid: Tensor) -> Tensor:
        """Features (B, C, h, w) to log-odds per cell (B, h, w), float32."""
        return self.cell(self.dropout(grid))[:, 0].float()  # type: ignore[no-any-return]

    @staticmethod
    def pool(evidence: Tensor) -> Tensor:
        """Log-odds per cell (B, h, w) to two logits (B, 2): half the log-odds each way."""
        cells = evidence.flatten(1)
        # Weights as a softmax of log sigmoid(z): they never divide zero by zero.
        weights = torch.softmax(nn.functional.logsigmoid(cells), dim=1)
        half = (weights * cells).sum(dim=1) / 2
        return torch.stack([-half, half], dim=1)

    def forward(self, grid: Tensor) -> Tensor:
        """Features (B, C, h, w) to logits (B, 2)."""
        return self.pool(self.evidence(grid))


def build_head(name: str, num_features: int, num_classes: int = 2) -> nn.Module:
    """Build a head.

    Args:
        name: `linear` (dropout .2 and one layer), or `mlp`, the head of arXiv 2511.00456:
            Linear(512), BatchNorm, ReLU, Dropout .3, Linear(128), ReLU, Dropout .2, Linear(2);
            or `regional`, a `RegionalHead` on a feature pyramid, made for localization.
        num_features: length of the pooled vector, or channels of the map.
        num_classes: number of logits.

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
        return RegionalHead(num_features)
    raise SettingsError(f"unknown head '{name}'", remedy=f"choose one of {', '.join(HEADS)}")
