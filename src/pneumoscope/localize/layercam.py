"""LayerCAM: each cell weighted by its own positive gradient, fused over several stages.

Jiang et al., "LayerCAM", IEEE TIP 2021 (doi 10.1109/TIP.2021.3089943): in one stage
M = ReLU(sum_k ReLU(d y_c / d A_k) A_k); stages are fused by the element-wise maximum after each is
divided by its own maximum. (The paper sharpens its three shallowest stages further, by tanh; those
are not used here.) The last stage is the evidence that Grad-CAM explains, the ones before it are
the outputs with halved stride, so the map is finer than Grad-CAM's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pneumoscope.errors import SettingsError
from pneumoscope.localize.explanation import Explanation, chosen, require_eval
from pneumoscope.models.classifier import Classifier

# Below this share of a logit a stage's map is rounding noise, and scaling it to one would show it.
_NO_EVIDENCE = 1e-6


def layercam(
    classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1, *, stages: int = 2
) -> Explanation:
    """Explain a class score by LayerCAM.

    The network runs once in float32 and is differentiated down to the earliest stage used.

    Args:
        classifier: in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: the class to explain, one for all or (B,) one for each; 1 is the positive class.
        stages: how many stages are fused, counted from the last; 1 is the evidence alone.

    Returns:
        Logits (B, 2) and maps (B, h, w): of one stage in logits on the evidence's grid, of several
        in [0, 1] on the finest stage's grid.

    Raises:
        ValueError: the classifier is in training mode.
        SettingsError: the backbone has fewer stages; a transformer has one.
    """
    require_eval(classifier, "layercam")
    earlier = _earlier_stages(classifier, stages - 1)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(pixels.device.type, enabled=False),
    ):
        with _restarted(earlier) as activations:
            features = classifier.features(pixels.clone())
        last = classifier.evidence(features)
        if not activations:  # Nothing before the evidence is differentiated.
            last = last.detach().requires_grad_(True)
        logits = classifier.classify(features, last)
        seen = [*activations, last]
        gradients = torch.autograd.grad(chosen(logits, targets).sum(), seen)
    grid = classifier.backbone.grid  # Leaves the stages of a convolutional network as they are.
    maps = [
        torch.relu((torch.relu(grid(gradient)) * grid(activation.detach())).sum(dim=1))
        for activation, gradient in zip(seen, gradients, strict=True)
    ]
    return Explanation(logits.detach(), maps[0] if len(maps) == 1 else _fused(maps))


def _fused(maps: list[Tensor]) -> Tensor:
    """The maximum of maps (B, h, w), each scaled to [0, 1], on the finest one's grid."""
    size = max((each.shape[1:] for each in maps), key=lambda shape: shape[0])
    scaled = []
    for each in maps:
        fine = interpolate(each[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        peak = fine.amax(dim=(1, 2), keepdim=True)
        scaled.append(torch.where(peak > _NO_EVIDENCE, fine / peak.clamp_min(_NO_EVIDENCE), 0.0))
    return torch.stack(scaled).amax(dim=0)


def _earlier_stages(classifier: Classifier, count: int) -> list[nn.Module]:
    """The last `count` stages with a finer grid than the evidence, the earliest first."""
    network: Any = classifier.backbone.network
    names = [
        info["module"]
        for info in network.feature_info
        if info["reduction"] < classifier.record.stride
    ]
    if not 0 <= count <= len(names):
        raise SettingsError(
            f"layercam cannot fuse {count + 1} stages of {classifier.record.name}",
            remedy=f"choose from 1 to {len(names) + 1} stages",
        )
    return [network.get_submodule(name) for name in names[len(names) - count :]]


@contextmanager
def _restarted(stages: list[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the stages' outputs, to differentiate by; the graph begins at the first of them."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept = output if outputs else output.detach().requires_grad_(True)
        outputs.append(kept)
        # A layer behind may work in place; what is differentiated by must stay as it is.
        return kept.clone()

    hooks = [stage.register_forward_hook(keep) for stage in stages]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
