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
    logits: Tensor,
    targets: Tensor,
    gamma: float = 2.0,
    alpha: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean focal loss over a batch.

    Args:
        logits: (B, C), unnormalised.
        targets: (B,), class indices.
        gamma: focusing parameter, >= 0.
        alpha: (C,), weight per class; None weighs all alike.
        weights: (B,), weight per radiograph; None weighs all alike.

    Returns:
        A scalar: the mean over the batch of the weighted terms, as arXiv 2511.00456 takes it, so
        that weights scale the loss and are not divided out again.
    """
    log_p = F.log_softmax(logits.float(), dim=1).gather(1, targets[:, None]).squeeze(1)
    # 1 - p through expm1 keeps its digits, and so its gradient, when p is close to 1.
    # The clamp keeps the gradient finite at p = 1 for gamma < 1.
    miss = (-torch.expm1(log_p)).clamp(min=1e-8)
    terms = -(miss**gamma) * log_p
    if alpha is not None:
        terms = alpha.to(terms)[targets] * terms
    if weights is not None:
        terms = weights.to(terms) * terms
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
        A scalar >= 0; radiographs that are lung everywhere (none were found) do not count.
    """
    outside = 1 - F.adaptive_avg_pool2d(lungs, (cells.shape[1], cells.shape[2]))[:, 0]
    return (outside * F.softplus(cells)).sum() / outside.sum().clamp(min=1.0)


# Cells with less lung than this are not taught.
_LUNG = 0.3
# Of a positive radiograph, cells where the teacher's map reaches the first are positive, below the
# second negative, and between them unknown.
_POSITIVE, _NEGATIVE = 0.5, 0.25


def taught_cells(
    cells: Tensor, guides: Tensor, targets: Tensor, whole: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """How far a regional head's cells are from what a teacher's map and the label say.

    Cross-entropy of each known cell within the lungs, times the probability that the cell gives to
    the other class, so that cells already right weigh little; positive cells count twice. All cells
    of a negative radiograph are negative. The map comes from image labels and anatomy alone.

    Args:
        cells: (B, h, w) log-odds.
        guides: (B, 2, g, g) in [0, 1]: probability of lung, and the teacher's map, at most 1.
        targets: (B,) class indices.
        whole: guides and targets of the whole batch, if these are one process' rows of it.

    Returns:
        A scalar >= 0: the sum over these cells, divided by the known cells of the whole batch.
    """
    grid = (cells.shape[1], cells.shape[2])
    positive, known = _taught(guides, targets, grid)
    count = known.sum() if whole is None else _taught(*whole, grid)[1].sum()
    signed = torch.where(positive, cells, -cells)
    terms = F.softplus(-signed) * torch.sigmoid(-signed) * torch.where(positive, 2.0, 1.0)
    return (terms * known).sum() / count.clamp(min=1.0)


def _taught(guides: Tensor, targets: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which cells are positive, and which are known at all; both (B, h, w) bool."""
    lungs, taught = F.adaptive_avg_pool2d(guides, grid).unbind(1)
    ill = (targets == 1)[:, None, None]
    positive = ill & (taught >= _POSITIVE)
    return positive, (lungs > _LUNG) & (positive | ~ill | (taught < _NEGATIVE))


class FocalLoss(nn.Module):
    """`focal_loss` with its parameters."""

    alpha: Tensor | None

    def __init__(self, gamma: float, alpha: Tensor | None) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", alpha, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Logits (B, C), class indices (B,) and weights (B,) to a scalar."""
        return focal_loss(logits, targets, self.gamma, self.alpha, weights)
