"""The engine that runs a safetensors bundle with torch; imported only when one is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from pneumoscope.bundles import BundleInfo
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.errors import BundleError
from pneumoscope.inference.engine import EngineOutput
from pneumoscope.localize import gradcam
from pneumoscope.models.classifier import Architecture, Classifier, positive_logit


class TorchEngine:
    """Classification and Grad-CAM in one pass of the backbone, on the GPU if there is one."""

    def __init__(self, folder: Path, info: BundleInfo) -> None:
        self._info = info
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        classifier = load_classifier(folder, info)
        self._classifier = classifier.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def info(self) -> BundleInfo:
        """The bundle's description."""
        return self._info

    def run(self, pixels: NDArray[np.uint8]) -> EngineOutput:
        """Score and explain (B, size, size) uint8 pixels."""
        batch = torch.from_numpy(pixels)[:, None].to(self._device)
        explanation = gradcam(self._classifier, batch)
        return EngineOutput(
            positive_logit(explanation.logits).double().cpu().numpy(),
            explanation.maps.float().cpu().numpy(),
        )


def load_classifier(folder: Path, info: BundleInfo) -> Classifier:
    """The bundle's classifier, on the CPU, in eval mode.

    Raises:
        BundleError: the weights do not fit the architecture.
    """
    path = folder / WEIGHTS_FILE
    classifier = Classifier(Architecture(**info.architecture.model_dump()))
    try:
        classifier.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"does not fit the architecture {info.architecture.backbone}",
            path=path,
            remedy="export the bundle again from its run",
        ) from error
    return classifier.eval()
