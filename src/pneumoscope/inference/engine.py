"""What runs a bundle, whatever computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo

EngineName = Literal["onnxruntime", "openvino", "torch"]
Precision = Literal["float32", "bfloat16", "int8"]

RANDOMISED = "randomised_weights"
"""The method's name that stands for the bundle's own method after its weights are drawn anew."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What computes, and how exactly.

    Attributes:
        engine: the library.
        precision: of the computation; how weights are stored is another matter.
    """

    engine: EngineName
    precision: Precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """For a batch of B radiographs.

    Attributes:
        logits: (B,) log-odds of the positive class before calibration.
        maps: for each method asked for, (B, h, w) raw heatmaps of the positive class on the
            model's grid, >= 0.
        mirrored: the same as means over the radiograph and its mirror image, from an engine that
            runs both at once; None from one that is to be run twice.
    """

    logits: NDArray[np.float64]
    maps: Mapping[str, NDArray[np.float32]]
    mirrored: EngineOutput | None = None


class Engine(Protocol):
    """Runs one bundle."""

    @property
    def info(self) -> BundleInfo:
        """The bundle's description."""
        ...

    @property
    def runtime(self) -> Runtime:
        """What computes."""
        ...

    @property
    def streams(self) -> int:
        """How many calls may run at the same time without being in each other's way."""
        ...

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the heatmap methods that work for this bundle, in a fixed order."""
        ...

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        """Score (B, size, size) pixels made by `imaging.model_input`, explain by each method.

        Raises:
            SettingsError: the engine or the architecture does not know a method.
        """
        ...
