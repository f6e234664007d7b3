"""Gradient-weighted attention: rollout that counts only the attention which raises the score.

Chefer, Gur and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
Encoder-Decoder Transformers", ICCV 2021 (arXiv 2103.15679), equations 5 and 6, for a self-attention
encoder: A' = mean over the heads of ReLU(d y_c / d A * A), and R = I, then R + A' R block by block.
The map is the class token's row of R.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.attention import recorded_attention, require_attention
from pneumoscope.localize.explanation import Explanation, chosen, require_eval
from pneumoscope.models.classifier import Classifier


def gradient_attention(
    classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1
) -> Explanation:
    """Explain a class score by gradient-weighted attention of all blocks.

    The network runs and is differentiated once, in float32.

    Args:
        classifier: a vision transformer in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: the class to explain, one for all or (B,) one for each; 1 is the positive class.

    Returns:
        Logits (B, 2) and maps (B, h, w), in logits.

    Raises:
        ValueError: the classifier is in training mode.
        SettingsError: the backbone is no vision transformer.
    """
    require_eval(classifier, "gradient_attention")
    require_attention(classifier, "gradient_attention")
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(pixels.device.type, enabled=False),
    ):
        # The images ask for a graph, so that there is one when the weights are frozen.
        images = classifier.normalise(pixels.clone()).requires_grad_(True)
        with recorded_attention(classifier) as attentions:
            logits = classifier.classify(classifier.backbone.features(images))
        gradients = torch.autograd.grad(chosen(logits, targets).sum(), attentions)
    relevance = torch.eye(attentions[0].shape[-1], device=logits.device)
    for attention, gradient in zip(attentions, gradients, strict=True):
        raising = torch.relu(gradient * attention.detach()).mean(dim=1)
        relevance = relevance + raising @ relevance
    maps = classifier.backbone.grid(relevance[:, 0, :, None])[:, 0]
    return Explanation(logits.detach(), maps)
