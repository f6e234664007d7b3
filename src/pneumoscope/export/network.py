"""What the file computes, as one torch module without a gradient: pixels to answer.

The maps are those of `localize`, written so that a graph can hold them for any batch; that they are
the same is checked on every export (`agreement`) against `localize` itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pneumoscope.bundles import BundleInfo, HeatmapSpec
from pneumoscope.errors import BundleError
from pneumoscope.export.gradient import gradient_graph
from pneumoscope.localize.methods import method_named
from pneumoscope.localize.regional import heat_of
from pneumoscope.localize.together import mean_map
from pneumoscope.models.classifier import Classifier, positive_logit
from pneumoscope.models.ensemble import Ensemble


class _Part(nn.Module):
    """Images (B, 1, S, S) and weights of the classes (B, 2) to log-odds (B,) and maps."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier


class GradCam(_Part):
    """`localize.gradcam`."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        size = classifier.architecture.size
        with torch.no_grad():
            example = classifier.features(torch.zeros(2, 1, size, size))
        self.tail = gradient_graph(classifier, example)

    def forward(self, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Equations 1 and 2 of arXiv 1610.02391."""
        features = self.classifier.features(images).contiguous()
        logits, evidence, gradient = self.tail(features, weights)
        alpha = self.classifier.backbone.grid(gradient).mean(dim=(2, 3), keepdim=True)
        maps = torch.relu((alpha * self.classifier.backbone.grid(evidence)).sum(dim=1))
        return positive_logit(logits), maps


class Regional(_Part):
    """`localize.regional`."""

    def forward(self, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """See `localize.regional`; a regional head needs no gradient."""
        cells = self.classifier.cells_of(self.classifier.features(images))
        logit = positive_logit(self.classifier.pooled(cells))
        sign = positive_logit(weights)[:, None, None]
        return logit, heat_of(cells, logit[:, None, None], sign)


class Together(nn.Module):
    """`localize.Method.explain` of an ensemble."""

    def __init__(self, ensemble: Ensemble, method: str) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_PARTS[method](member) for member in ensemble.members)
        self.combined = ensemble.combined
        self.comparable = method_named(method).comparable

    def forward(self, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds and maps of the members, combined."""
        answers = [part(images, weights) for part in self.parts]
        logit = self.combined([each for each, _ in answers])
        return logit, mean_map([each for _, each in answers], comparable=self.comparable)


_PARTS: dict[str, type[GradCam] | type[Regional]] = {"gradcam": GradCam, "regional": Regional}


class ExportedNetwork(nn.Module):
    """Pixels (B, S, S) uint8 and targets (B,) int64 to what `inference.output_names` names.

    Args:
        classifier: the bundle's, on the CPU, in eval mode.
        info: the bundle's description.

    Raises:
        BundleError: the bundle is explained by a method that has no such form.
    """

    classes: Tensor

    def __init__(self, classifier: Classifier, info: BundleInfo) -> None:
        super().__init__()
        own = HeatmapSpec.parse(info.heatmap)
        if own.method not in _PARTS:
            raise BundleError(
                f"is explained by {own.method}, which has no ONNX form",
                remedy=f"export a bundle that is explained by {' or '.join(_PARTS)}",
            )
        self.part: nn.Module = (
            Together(classifier, own.method)
            if isinstance(classifier, Ensemble)
            else _PARTS[own.method](classifier)
        )
        self.mirror = own.mirror
        self.temperature, self.bias = info.temperature, info.bias
        self.register_buffer("classes", torch.eye(2))

    def forward(self, pixels: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """One run of the network, of both orientations if the bundle averages them."""
        # A lookup, so that the runtime refuses a class that there is not.
        weights = torch.index_select(self.classes, 0, target)
        images = pixels[:, None]
        if not self.mirror:
            logit, heatmap = self.part(images, weights)
            return logit, self._probability(logit), heatmap
        both = torch.cat([images, images.flip(-1)])
        logits, maps = self.part(both, torch.cat([weights, weights]))
        # (2, B): the radiograph, its mirror image.
        alone, image = logits.unflatten(0, (2, -1)).unbind(0)
        film, other = maps.unflatten(0, (2, -1)).unbind(0)
        logit = (alone + image) / 2
        heatmap = (film + other.flip(-1)) / 2
        return logit, self._probability(logit), heatmap, alone, film

    def _probability(self, logit: Tensor) -> Tensor:
        return torch.sigmoid(logit / self.temperature + self.bias)
