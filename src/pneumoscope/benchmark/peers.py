"""Grad-CAM by the PyPI packages `grad-cam`, `torchcam` and `captum`, used as they document it.

All hook into a torch model and run it with a graph. `grad-cam` differentiates the whole network
and gives maps scaled and enlarged. `torchcam` and `captum` differentiate down to the layer; their
maps are enlarged here, and those of `captum` scaled.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pneumoscope.benchmark.way import POSITIVE, Answer, ExplainWay, Films
from pneumoscope.models.classifier import Classifier

# Whose output Grad-CAM looks at: where Pneumoscope cuts the network (`models/backbones.py`).
_LAYERS = {
    "resnet18": "layer4.1",
    "resnet50": "layer4.2",
    "densenet121": "features.denseblock4",
    "efficientnet_b0": "bn2",
    "mobilenet_v2": "bn2",
    "mobilenet_v3": "blocks.6",
    "vit_b_16": "blocks.11.norm1",
    "efficientnet_lite0": "bn2",
}


class Plain(nn.Module):
    """The network and its head as a script has them: float32, torch's usual layout."""

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = copy.deepcopy(classifier.backbone.network)
        self.head = copy.deepcopy(classifier.head)
        self.register_buffer("mean", classifier.mean.clone())
        self.register_buffer("std", classifier.std.clone())

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, S, S) to logits (B, 2)."""
        return self.head(self.network(images))  # type: ignore[no-any-return]

    def prepare(self, pixels: Films) -> Tensor:
        """Pixels (B, S, S) uint8 to normalised images."""
        grey = torch.from_numpy(pixels)[:, None].float() / 255
        return ((grey.repeat(1, 3, 1, 1) - self.mean) / self.std).contiguous()


class _Peer(ExplainWay):
    def __init__(self, classifier: Classifier, films: Films, batch: int) -> None:
        super().__init__(films, batch)
        self.model = Plain(classifier).eval()
        self.layer = self.model.network.get_submodule(_LAYERS[classifier.record.name])
        # Convolutional maps need none.
        self.reshape: Callable[[Tensor], Tensor] | None = None
        if classifier.record.family == "tokens":
            self.reshape = _without_class_token
        self.cam: Any = None


class GradCamWay(_Peer):
    """`grad-cam`."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hooks are there during a turn, as within its `with` statement."""
        from pytorch_grad_cam import GradCAM

        with GradCAM(self.model, [self.layer], reshape_transform=self.reshape) as self.cam:
            yield
        self.cam = None
        self.model.zero_grad(set_to_none=True)

    def explain(self, pixels: Films) -> Answer:
        """See `ExplainWay.explain`."""
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        targets = [ClassifierOutputTarget(POSITIVE)] * len(pixels)
        maps = self.cam(input_tensor=self.model.prepare(pixels), targets=targets)
        return Answer(_probability(self.cam.outputs), maps)


class TorchCamWay(_Peer):
    """`torchcam`."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hooks are there during a turn, as within its `with` statement."""
        from torchcam.methods import GradCAM

        with GradCAM(self.model, self.layer, reshape_transform=self.reshape) as self.cam:
            yield
        self.cam = None

    def explain(self, pixels: Films) -> Answer:
        """See `ExplainWay.explain`."""
        scores = self.model(self.model.prepare(pixels))
        (maps,) = self.cam(POSITIVE, scores)
        large = interpolate(
            maps[:, None], size=pixels.shape[1:], mode="bilinear", align_corners=False
        )
        return Answer(_probability(scores), large[:, 0].numpy())


class CaptumWay(_Peer):
    """`captum`, for networks whose layers give maps."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """As long as the attribution is wanted."""
        from captum.attr import LayerGradCam

        self.cam = LayerGradCam(self._scored, self.layer)
        yield
        self.cam = None

    def _scored(self, images: Tensor) -> Tensor:
        """The network, keeping its scores: captum gives maps alone."""
        scores: Tensor = self.model(images)
        self.scores = scores
        return scores

    def explain(self, pixels: Films) -> Answer:
        """See `ExplainWay.explain`."""
        maps = self.cam.attribute(
            self.model.prepare(pixels), target=POSITIVE, relu_attributions=True
        )
        large = interpolate(maps, size=pixels.shape[1:], mode="bilinear", align_corners=False)
        peaks = large.amax(dim=(2, 3), keepdim=True).clamp(min=torch.finfo(large.dtype).tiny)
        return Answer(_probability(self.scores), (large / peaks)[:, 0].detach().numpy())


PEERS: dict[str, type[_Peer]] = {
    "grad-cam": GradCamWay,
    "torchcam": TorchCamWay,
    "captum": CaptumWay,
}


def _probability(scores: Tensor) -> np.ndarray[Any, Any]:
    return scores.detach().softmax(dim=1)[:, POSITIVE].numpy()


def _without_class_token(tokens: Tensor) -> Tensor:
    """The transform of both packages' documentation: (B, 1 + h*w, C) to (B, C, h, w)."""
    side = round((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)
