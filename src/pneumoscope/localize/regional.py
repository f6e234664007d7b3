"""The regional head's own map: the probability of disease in each cell, without a gradient.

Ye et al., "Weakly Supervised Lesion Localization With Probabilistic-CAM Pooling" (arXiv
2005.14480), equation 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.explanation import Explanation, require_eval
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.heads import RegionalHead


def regional(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
    """The probability of a class in each cell.

    Args:
        classifier: with a regional head, in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: the class to explain, one for all or (B,) one for each; 1 is the positive class.

    Returns:
        Logits (B, 2) and maps (B, h, w) in [0, 1].

    Raises:
        ValueError: the classifier is in training mode.
        SettingsError: it has another head.
    """
    require_eval(classifier, "regional")
    with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
        cells = classifier.cells(pixels)
        positive = torch.as_tensor(targets, device=cells.device).expand(len(cells)) == 1
        sign = torch.where(positive, 1.0, -1.0)[:, None, None]
        return Explanation(RegionalHead.pool(cells), torch.sigmoid(sign * cells))
