"""Heads: from the pooled vector to two logits (negative, positive)."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from pneumoscope.errors import SettingsError

HeadName = Literal["linear", "mlp"]
HEADS: tuple[str, ...] = get_args(HeadName)


def build_head(name: str, num_features: int, num_classes: int = 2) -> nn.Module:
    """Build a head.

    Args:
        name: `linear` (dropout .2 and one layer), or `mlp`, the head of arXiv 2511.00456:
            Linear(512), BatchNorm, ReLU, Dropout .3, Linear(128), ReLU, Dropout .2, Linear(2).
        num_features: length of the pooled vector.
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
    raise SettingsError(f"unknown head '{name}'", remedy=f"choose one of {', '.join(HEADS)}")
