"""The evidence and the gradient of a class score with respect to it, through the head alone.

The evidence A is the last feature map (for a transformer the first normalisation of the last block,
class token dropped), so d y_c / d A needs only the short tail behind it: the backbone runs once,
without a graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pneumoscope.localize.explanation import chosen
from pneumoscope.models.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Differentiated:
    """A batch's evidence and what it does to the class scores, float32, without a graph.

    Attributes:
        logits: (B, 2).
        evidence: (B, C, h, w).
        gradient: (B, C, h, w), d y_c / d evidence.
    """

    logits: Tensor
    evidence: Tensor
    gradient: Tensor


def differentiate(classifier: Classifier, pixels: Tensor, targets: Tensor | int) -> Differentiated:
    """Run a batch and differentiate its class scores by the evidence, in float32.

    Args:
        classifier: in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: the class to explain, one for all or (B,) one for each.
    """
    with torch.inference_mode():
        features = classifier.features(pixels).float()
        activation = classifier.evidence(features)
    # Inference mode marks its tensors as unusable for autograd; a copy made outside is a normal
    # one.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(pixels.device.type, enabled=False),
    ):
        activation = activation.clone().requires_grad_(True)
        logits = classifier.classify(features.clone(), activation)
        (gradient,) = torch.autograd.grad(chosen(logits, targets).sum(), activation)
    grid = classifier.backbone.grid
    return Differentiated(logits.detach(), grid(activation.detach()), grid(gradient))
