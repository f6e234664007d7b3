"""The regional head's own map: each cell's evidence for the radiograph's class, without a gradient.

Ye et al., "Weakly Supervised Lesion Localization With Probabilistic-CAM Pooling" (arXiv
2005.14480), draw the cells' probabilities (equation 2). On a radiograph called with confidence
these are near one all over both lungs; so here a cell is measured against the radiograph as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.explanation import Explanation, require_eval
from pneumoscope.models.classifier import Classifier

# What differences of log-odds between a cell and its radiograph are divided by: undivided, only a
# few cells would be left, and the heatmap would be smaller than lesions are. Chosen on SIIM's
# tuning half.
_SPREAD = 6.0


def heat_of(cells: Tensor, film: Tensor, sign: Tensor | float = 1.0) -> Tensor:
    """Heat (B, h, w) of cells with log-odds `cells` on radiographs with log-odds `film` (B, 1, 1).

    `sign` is 1 to explain the positive class, -1 the negative one.
    """
    return torch.sigmoid(sign * cells) * torch.sigmoid(sign * (cells - film) / _SPREAD)


def regional(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
    """The probability of a class in each cell, and how it compares with the radiograph's.

    A cell with the log-odds z on a radiograph with the (pooled) log-odds l is as hot as sigmoid(z)
    * sigmoid((z - l) / 6): its own probability, less where the radiograph's evidence comes from
    other cells.

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
        logits = classifier.pooled(cells)
        film = (logits[:, 1] - logits[:, 0])[:, None, None]
        return Explanation(logits, heat_of(cells, film, sign))
