"""What runs a bundle, whatever computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """For a batch of B radiographs.

    Attributes:
        logits: (B,) log-odds of the positive class before calibration.
        maps: (B, h, w) raw heatmaps of the positive class on the model's grid, >= 0.
    """

    logits: NDArray[np.float64]
    maps: NDArray[np.float32]


class Engine(Protocol):
    """Runs one bundle."""

    @property
    def info(self) -> BundleInfo:
        """The bundle's description."""
        ...

    def run(self, pixels: NDArray[np.uint8]) -> EngineOutput:
        """Score and explain (B, size, size) pixels made by `imaging.model_input`."""
        ...
