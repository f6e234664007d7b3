"""Grad-CAM through the head alone.

Selvaraju et al., "Grad-CAM", ICCV 2017 (arXiv 1610.02391), equations 1 and 2:
alpha_k = mean over the grid of d y_c / d A_k, and L = ReLU(sum_k alpha_k A_k).

The evidence A is the last feature map (for a transformer the first normalisation of the last block,
class token dropped), so d y_c / d A needs only the short tail behind it: the backbone runs once,
without a graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pneumoscope.models.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Explanation:
    """Logits (B, 2) and raw maps (B, h, w) >= 0; a zero map means no evidence."""

    logits: Tensor
    maps: Tensor


def gradcam(classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1) -> Explanation:
    """Explain a class score for every radiograph of a batch.

    Works in eval mode and under `no_grad` or autocast; leaves no hook, graph or gradient behind.
    The tail is differentiated in float32. A batch gives what its radiographs give one by one.

    Args:
        classifier: in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: the class to explain, one for all or (B,) one for each; 1 is the positive class.
    """
    if classifier.training:
        raise ValueError("gradcam needs the classifier in eval mode: call classifier.eval()")
    with torch.no_grad():
        features = classifier.features(pixels).float()
        activation = classifier.evidence(features)
    # Inference mode would mark the tensors as unusable for autograd; a copy made outside is a
    # normal one.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(pixels.device.type, enabled=False),
    ):
        activation = activation.clone().requires_grad_(True)
        logits = classifier.classify(features.clone(), activation)
        score = _chosen(logits, targets).sum()
        (gradient,) = torch.autograd.grad(score, activation)
    with torch.no_grad():
        grid = classifier.backbone.grid(activation.detach())
        alpha = classifier.backbone.grid(gradient).mean(dim=(2, 3), keepdim=True)
        maps = torch.relu((alpha * grid).sum(dim=1))
    return Explanation(logits.detach(), maps)


def _chosen(logits: Tensor, targets: Tensor | int) -> Tensor:
    if isinstance(targets, int):
        return logits[:, targets]
    return logits.gather(1, targets.to(logits.device)[:, None]).squeeze(1)
