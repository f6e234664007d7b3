"""Attention rollout: where the class token's information comes from, through all the blocks.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020 (arXiv 2005.00928),
equation 1: each block mixes its attention, averaged over the heads, with the residual,
A = 0.5 W + 0.5 I, and the rollout is their product A_n ... A_1. The map is the class token's row.

It asks nothing of the head: every class, and a head that knows nothing, gets the same map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.localize.attention import recorded_attention, require_attention
from pneumoscope.localize.explanation import Explanation, require_eval
from pneumoscope.models.classifier import Classifier


@torch.no_grad()
def attention_rollout(
    classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1
) -> Explanation:
    """Explain a decision by attention rollout.

    Args:
        classifier: a vision transformer in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: accepted as by every method, without effect.

    Returns:
        Logits (B, 2) and maps (B, h, w): each patch's share of the class token, less the least
        share, for what all patches receive alike tells no place from another.

    Raises:
        ValueError: the classifier is in training mode.
        SettingsError: the backbone is no vision transformer.
    """
    require_eval(classifier, "attention_rollout")
    require_attention(classifier, "attention_rollout")
    with recorded_attention(classifier) as attentions:
        logits = classifier(pixels).float()
    residual = torch.eye(attentions[0].shape[-1], device=logits.device)
    rollout = residual
    with torch.autocast(pixels.device.type, enabled=False):  # A product of many needs float32.
        for attention in attentions:
            rollout = (0.5 * attention.float().mean(dim=1) + 0.5 * residual) @ rollout
    shares = classifier.backbone.grid(rollout[:, 0, :, None])[:, 0]
    return Explanation(logits, shares - shares.amin(dim=(1, 2), keepdim=True))
