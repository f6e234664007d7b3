"""Eigen-CAM: the first principal component of the evidence, turned towards the target.

Muhammad and Yeasin, "Eigen-CAM", IJCNN 2020 (arXiv 2008.00299): L is the evidence, as a matrix of
cells by channels, projected on its first right singular vector. As in public implementations the
channels are centred first; otherwise the vector is little more than their mean.

A singular vector has no sign of its own. Here it points to where the target's score grows: its
product with Grad-CAM's channel weights is positive. That is all the method knows of the target, and
a score that no evidence moves gives a zero map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.explanation import Explanation, require_eval
from pneumoscope.localize.tail import differentiate
from pneumoscope.models.classifier import Classifier

# Relative to the evidence itself, variation below this is float32's rounding.
_FLAT = 1e-6


def eigencam(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
    """Explain a class score by Eigen-CAM; arguments, returns and errors as of `gradcam`.

    The maps are in units of the evidence rather than in logits.
    """
    require_eval(classifier, "eigencam")
    seen = differentiate(classifier, pixels, targets)
    projection = _projected(seen.evidence, seen.gradient.mean(dim=(2, 3)))
    return Explanation(seen.logits, torch.relu(projection))


def _projected(evidence: Tensor, direction: Tensor) -> Tensor:
    """First principal component (B, h, w) of (B, C, h, w), positive along `direction` (B, C)."""
    cells = evidence.flatten(2).transpose(1, 2).double()
    centred = cells - cells.mean(dim=1, keepdim=True)
    # X X^T is as small as the grid and has X's left singular vectors: u sigma = X v.
    variances, vectors = torch.linalg.eigh(centred @ centred.transpose(1, 2))
    sigma = variances[:, -1:].clamp_min(0).sqrt()
    component = vectors[:, :, -1]
    along = torch.einsum("bpc,bp,bc->b", centred, component, direction.double())
    flat = sigma <= _FLAT * torch.linalg.vector_norm(cells, dim=(1, 2))[:, None]
    projection = torch.where(flat, 0.0, component * sigma * along.sign()[:, None])
    return projection.to(evidence.dtype).view(len(evidence), *evidence.shape[2:])
