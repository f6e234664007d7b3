"""HiResCAM: the gradient is not averaged over the grid.

Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
neural networks" (arXiv 2011.08891), section 3: L = sum_k d y_c / d A_k * A_k, cell by cell; the
negative part is cut as in every method here. Behind global average pooling and one linear layer it
is Grad-CAM.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.explanation import Explanation, require_eval
from pneumoscope.localize.tail import differentiate
from pneumoscope.models.classifier import Classifier


def hirescam(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
    """Explain a class score by HiResCAM; arguments, returns and errors as of `gradcam`."""
    require_eval(classifier, "hirescam")
    seen = differentiate(classifier, pixels, targets)
    return Explanation(seen.logits, torch.relu((seen.gradient * seen.evidence).sum(dim=1)))
