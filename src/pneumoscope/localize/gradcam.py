"""Grad-CAM through the head alone.

Selvaraju et al., "Grad-CAM", ICCV 2017 (arXiv 1610.02391), equations 1 and 2:
alpha_k = mean over the grid of d y_c / d A_k, and L = ReLU(sum_k alpha_k A_k).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.explanation import Explanation, require_eval
from pneumoscope.localize.tail import differentiate
from pneumoscope.models.classifier import Classifier

__all__ = ["Explanation", "gradcam"]


def gradcam(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
    """Explain a class score for every radiograph of a batch.

    Works in eval mode and under `no_grad` or autocast; leaves no hook, graph or gradient behind.
    The tail is differentiated in float32. A batch gives what its radiographs give one by one.

    Args:
        classifier: in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: the class to explain, one for all or (B,) one for each; 1 is the positive class.

    Returns:
        Logits (B, 2) and maps (B, h, w) on the evidence's grid, in logits.

    Raises:
        ValueError: the classifier is in training mode.
    """
    require_eval(classifier, "gradcam")
    seen = differentiate(classifier, pixels, targets)
    alpha = seen.gradient.mean(dim=(2, 3), keepdim=True)
    return Explanation(seen.logits, torch.relu((alpha * seen.evidence).sum(dim=1)))
