"""The attention matrices of a transformer's blocks, for the methods that read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from pneumoscope.errors import SettingsError
from pneumoscope.models.classifier import Classifier


def require_attention(classifier: Classifier, method: str) -> None:
    """Refuse a classifier whose backbone is no transformer.

    Raises:
        SettingsError: the backbone has no attention.
    """
    if classifier.record.family != "tokens":
        raise SettingsError(
            f"{method} reads attention, and {classifier.record.name} has none",
            remedy="choose a vision transformer, or another method",
        )


@contextmanager
def recorded_attention(classifier: Classifier) -> Iterator[list[Tensor]]:
    """Collect each block's attention (B, heads, tokens, tokens) while the classifier runs.

    A fused kernel never forms the matrix, so fusing is off inside; hooks and switches are put back
    in any case. The rows sum to one; row i is what token i takes from each token.
    """
    network: Any = classifier.backbone.network
    attentions: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        attentions.append(output)

    layers = [block.attn for block in network.blocks]
    fused = [layer.fused_attn for layer in layers]
    # Dropout is the step that takes the softmax's result; in eval mode it passes it on as it is.
    hooks = [layer.attn_drop.register_forward_hook(keep) for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False
        yield attentions
    finally:
        for hook in hooks:
            hook.remove()
        for layer, flag in zip(layers, fused, strict=True):
            layer.fused_attn = flag
