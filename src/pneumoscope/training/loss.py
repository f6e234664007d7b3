"""Focal loss for two or more classes.

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (arXiv 1708.02002), equation 5:
FL(p_t) = -alpha_t (1 - p_t)^gamma log(p_t), where p_t is the softmax probability of the true class.
gamma = 0 and no alpha give cross-entropy. The factor (1 - p_t)^gamma takes weight from what is
already classified well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def focal_loss(
    logits: Tensor, targets: Tensor, gamma: float = 2.0, alpha: Tensor | None = None
) -> Tensor:
    """Mean focal loss over a batch.

    Args:
        logits: (B, C), unnormalised.
        targets: (B,), class indices.
        gamma: focusing parameter, >= 0.
        alpha: (C,), weight per class; None weighs all alike.

    Returns:
        A scalar: the mean over the batch of the weighted terms, as arXiv 2511.00456 takes it, so
        that
        alpha scales the loss and is not divided out again.
    """
    log_p = F.log_softmax(logits.float(), dim=1).gather(1, targets[:, None]).squeeze(1)
    # 1 - p through expm1 keeps its digits, and so its gradient, when p is close to 1.
    # The clamp keeps the gradient finite at p = 1 for gamma < 1.
    miss = (-torch.expm1(log_p)).clamp(min=1e-8)
    terms = -(miss**gamma) * log_p
    if alpha is not None:
        terms = alpha.to(terms)[targets] * terms
    return terms.mean()


def balanced_alpha(targets: Tensor, num_classes: int = 2) -> Tensor:
    """Inverse class frequencies, normalised to sum to the number of classes.

    On 1,114 NORMAL and 2,951 PNEUMONIA radiographs: [1.452, 0.548] (arXiv 2511.00456).
    """
    inverse = 1.0 / torch.bincount(targets, minlength=num_classes).clamp(min=1).double()
    return (inverse / inverse.sum() * num_classes).float()


def outside_lungs(cells: Tensor, lungs: Tensor) -> Tensor:
    """How much disease a regional head sees outside the lungs, where there is none to see.

    The mean over outside cells of softplus(z) = -log(1 - p): each of them is labelled negative.
    Lungs are anatomy, not lesion annotations.

    Args:
        cells: (B, h, w) log-odds.
        lungs: (B, 1, g, g) probability of lung.

    Returns:
        A scalar >= 0; films that are lung everywhere (none were found) do not count.
    """
    outside = 1 - F.adaptive_avg_pool2d(lungs, (cells.shape[1], cells.shape[2]))[:, 0]
    return (outside * F.softplus(cells)).sum() / outside.sum().clamp(min=1.0)


class FocalLoss(nn.Module):
    """`focal_loss` with its parameters."""

    alpha: Tensor | None

    def __init__(self, gamma: float, alpha: Tensor | None) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", alpha, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits (B, C) and class indices (B,) to a scalar."""
        return focal_loss(logits, targets, self.gamma, self.alpha)
