"""Grad-CAM++: positive gradients only, each cell weighted so that small areas count in full.

Chattopadhay et al., "Grad-CAM++", WACV 2018 (arXiv 1710.11063), equations 7 and 19. With
Y = exp(y_c), the factor exp(y_c) cancels from alpha and scales the whole map, so it is left out:
alpha_k = g_k^2 / (2 g_k^2 + sum(A_k) g_k^3) = 1 / (2 + sum(A_k) g_k) where g_k = d y_c / d A_k is
not zero, w_k = sum over the grid of alpha_k ReLU(g_k), and L = ReLU(sum_k w_k A_k).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.explanation import Explanation, require_eval
from pneumoscope.localize.tail import differentiate
from pneumoscope.models.classifier import Classifier


def gradcam_plus_plus(
    classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1
) -> Explanation:
    """Explain a class score by Grad-CAM++; arguments, returns and errors as of `gradcam`.

    Public implementations add 1e-6 to the denominator, which rules the result where gradients are
    below 1e-3; the reduced fraction needs no such constant.
    """
    require_eval(classifier, "gradcam_plus_plus")
    seen = differentiate(classifier, pixels, targets)
    denominator = 2 + seen.evidence.sum(dim=(2, 3), keepdim=True) * seen.gradient
    # As the authors' code does: evidence that takes negative values can make it vanish.
    denominator = torch.where(denominator == 0, 1.0, denominator)
    # A cell without gradient needs no case of its own: ReLU(0) / 2 is zero.
    weights = (torch.relu(seen.gradient) / denominator).sum(dim=(2, 3), keepdim=True)
    return Explanation(seen.logits, torch.relu((weights * seen.evidence).sum(dim=1)))
