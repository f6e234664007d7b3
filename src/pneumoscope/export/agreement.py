"""Whether a file answers as torch does, asked through the engine that will run it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.errors import BundleError
from pneumoscope.export.quality import NO_EVIDENCE
from pneumoscope.inference.file_engine import FileEngine
from pneumoscope.inference.finishing import calibrated_probability
from pneumoscope.localize import method_named
from pneumoscope.models.classifier import Classifier, positive_logit

PROBABILITY_TOLERANCE = 1e-4
LOGIT_TOLERANCE = 1e-3
HEATMAP_TOLERANCE = 1e-2
LEAST_CORRELATION = 0.9999
# The class to explain for each radiograph: batches of one and of several, each class in each.
_BATCHES = ((1,), (0,), (1, 0, 1), (0, 1, 0))

Answer = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The largest differences found between a file and torch, in float32 both.

    Attributes:
        probability: of calibrated probabilities.
        logit: of log-odds, as a share of their size where that is above 1.
        heatmap: of heat, as a share of the map's peak.
        correlation: the lowest one of maps cell by cell; 1 where there is no evidence in both.
    """

    probability: float
    logit: float
    heatmap: float
    correlation: float

    @property
    def good(self) -> bool:
        """Whether all are within their tolerances; what is not a number is not."""
        return (
            self.probability <= PROBABILITY_TOLERANCE
            and self.logit <= LOGIT_TOLERANCE
            and self.heatmap <= HEATMAP_TOLERANCE
            and self.correlation >= LEAST_CORRELATION
        )


def agreement(engine: FileEngine, classifier: Classifier) -> Agreement:
    """Compare a file with the classifier it was exported from.

    The radiographs are smooth noise of three strengths; the network need not know them.

    Args:
        engine: of the file.
        classifier: on the CPU, in eval mode.
    """
    films = _films(engine.info.architecture.size)
    probabilities, logits, heats, correlations = [0.0], [0.0], [0.0], [1.0]
    for classes in _BATCHES:
        pixels, targets = films[: len(classes)], np.array(classes, dtype=np.int64)
        found = engine.explain(pixels, targets)
        logit, maps = _by_torch(engine, classifier, pixels, targets)
        info = engine.info
        probability = [calibrated_probability(x, info.temperature, info.bias) for x in logit]
        probabilities.append(_largest(found["probability"] - np.array(probability)))
        logits.append(_largest((found["logit"] - logit) / np.maximum(np.abs(logit), 1)))
        for one, other in zip(found["heatmap"].astype(np.float64), maps, strict=True):
            heats.append(_largest(one - other) / max(float(other.max()), NO_EVIDENCE))
            correlations.append(_correlation(one, other))
    return Agreement(
        # numpy's extremes, unlike Python's, keep what is not a number.
        probability=float(np.max(probabilities)),
        logit=float(np.max(logits)),
        heatmap=float(np.max(heats)),
        correlation=float(np.min(correlations)),
    )


def require_agreement(engine: FileEngine, classifier: Classifier) -> Agreement:
    """The differences, if they are within their tolerances.

    Raises:
        BundleError: they are not.
    """
    found = agreement(engine, classifier)
    if not found.good:
        raise BundleError(
            f"its ONNX form does not answer as torch does: probability differs by "
            f"{found.probability:.2g}, log-odds by {found.logit:.2g}, heat by {found.heatmap:.2g}, "
            f"and heatmaps correlate at {found.correlation:.6f}",
            remedy="use the safetensors bundle, or other versions of torch and onnxruntime",
        )
    return found


def _films(size: int) -> NDArray[np.uint8]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 1, 7, 7, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")[:, 0]
    strength = torch.tensor([1.0, 0.7, 0.4])[:, None, None]
    films: NDArray[np.uint8] = (255 * strength * smooth).round().to(torch.uint8).numpy()
    return films


def _by_torch(
    engine: FileEngine,
    classifier: Classifier,
    pixels: NDArray[np.uint8],
    targets: NDArray[np.int64],
) -> Answer:
    """Log-odds (B,) and maps (B, h, w) by the bundle's method in `localize`."""
    own = HeatmapSpec.parse(engine.info.heatmap)
    explain = method_named(own.method).explain
    batch, classes = torch.from_numpy(pixels)[:, None], torch.from_numpy(targets)
    film = explain(classifier, batch, classes)
    logit, maps = positive_logit(film.logits), film.maps
    if own.mirror:
        image = explain(classifier, batch.flip(-1), classes)
        logit = (logit + positive_logit(image.logits)) / 2
        maps = (maps + image.maps.flip(-1)) / 2
    return _numbers(logit), _numbers(maps)


def _numbers(values: Tensor) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = values.detach().double().numpy()
    return numbers


def _largest(differences: NDArray[np.float64]) -> float:
    return float(np.abs(differences).max())


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's, over the cells."""
    if max(one.max(), other.max()) <= NO_EVIDENCE:
        return 1.0
    left, right = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((left**2).sum() * (right**2).sum()))
    # A map without any difference between its cells has no correlation; its heat is compared.
    return float((left * right).sum()) / spread if spread > 0 else 1.0
