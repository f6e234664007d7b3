"""Score-CAM: a channel counts by the score of the radiograph seen through it; no gradients.

Wang et al., "Score-CAM", CVPR Workshops 2020 (arXiv 1910.01279), algorithm 1: each channel of the
evidence is enlarged to the input, scaled to [0, 1] and multiplied with the normalised image; the
softmax over the channels of the target's logits are the weights of L = ReLU(sum_k alpha_k A_k).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pneumoscope.localize.explanation import Explanation, chosen, require_eval
from pneumoscope.models.classifier import Classifier

# Enough that a convolution is busy; 64 masked images of 224 x 224 pixels are 39 MB.
_BATCH = 64


@torch.no_grad()
def scorecam(
    classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1, *, max_channels: int = 64
) -> Explanation:
    """Explain a class score by Score-CAM.

    A radiograph costs `max_channels` runs of the network. The channels used are the ones that vary
    most over the grid (by standard deviation): a flat channel masks nothing. The rest have no
    weight. With `max_channels` at least the number of channels it is the paper's method.

    Args:
        classifier: in eval mode.
        pixels: (B, 1, size, size), uint8 or float in [0, 1].
        targets: the class to explain, one for all or (B,) one for each; 1 is the positive class.
        max_channels: how many channels are tried, at least 1.

    Returns:
        Logits (B, 2) and maps (B, h, w) in units of the evidence; zero where no mask changes the
        score.

    Raises:
        ValueError: the classifier is in training mode, or `max_channels` is below 1.
    """
    require_eval(classifier, "scorecam")
    if max_channels < 1:
        raise ValueError(f"max_channels must be at least 1, not {max_channels}")
    features = classifier.features(pixels)
    evidence = classifier.backbone.grid(classifier.evidence(features)).float()
    logits = classifier.classify(features).float()
    own = chosen(logits, targets)
    classes = _one_each(targets, len(pixels), logits.device)
    images = classifier.normalise(pixels)
    maps = []
    for image, map_, target, score in zip(images, evidence, classes, own, strict=True):
        order = map_.flatten(1).std(dim=1, correction=0).argsort(descending=True, stable=True)
        channels = map_[order[:max_channels]]
        scores = _masked_scores(classifier, image, channels, target)
        weighted = (scores.softmax(dim=0)[:, None, None] * channels).sum(dim=0)
        moved = (scores != score).any()
        maps.append(torch.where(moved, torch.relu(weighted), 0.0))
    return Explanation(logits, torch.stack(maps))


def _one_each(targets: Tensor | int, count: int, device: torch.device) -> Tensor:
    if isinstance(targets, int):
        return torch.full((count,), targets, device=device)
    return targets.to(device)


def _masked_scores(
    classifier: Classifier, image: Tensor, channels: Tensor, target: Tensor
) -> Tensor:
    """Scores (K,) of an image (3, H, W) seen through each of the channels (K, h, w)."""
    scores = []
    for start in range(0, len(channels), _BATCH):
        part = channels[start : start + _BATCH]
        # The paper's code and its peers align corners here.
        masks = interpolate(
            part[:, None], size=image.shape[1:], mode="bilinear", align_corners=True
        )
        low = masks.amin(dim=(2, 3), keepdim=True)
        span = masks.amax(dim=(2, 3), keepdim=True) - low
        masks = (masks - low) / (span + 1e-8)
        seen = (image * masks).contiguous(memory_format=torch.channels_last)
        logits = classifier.classify(classifier.backbone.features(seen)).float()
        scores.append(chosen(logits, target.expand(len(part))))
    return torch.cat(scores)
