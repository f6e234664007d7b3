"""The engine that runs a safetensors bundle with torch; imported only when one is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pneumoscope.bundles import BundleInfo, HeatmapSpec
from pneumoscope.errors import SettingsError
from pneumoscope.inference.engine import RANDOMISED, EngineOutput, Precision, Runtime
from pneumoscope.localize import Explanation, method_named, methods_for
from pneumoscope.localize.randomise import randomised
from pneumoscope.models.classifier import Classifier, positive_logit
from pneumoscope.models.folding import folded
from pneumoscope.models.precision import has_bfloat16

# Radiographs that a CPU computes at once, for each thread: the activations of more leave its cache,
# and are so large that the C library fetches their memory from the system anew each time.
_EACH = 4
# One draw is enough: it is a baseline over many radiographs, not over many draws.
_RANDOM_SEED = 0


class TorchEngine:
    """Classification and every method of `localize`, on the GPU if there is one.

    Args:
        info: the bundle's description.
        classifier: in eval mode; the bundle's, or another of its architecture.
        precision: `float32`, or `bfloat16` by torch's autocast.

    Raises:
        SettingsError: the processor, or the GPU if there is one, has no such precision.
    """

    def __init__(
        self, info: BundleInfo, classifier: Classifier, precision: Precision = "float32"
    ) -> None:
        if precision == "bfloat16" and not has_bfloat16():
            raise SettingsError(
                "this machine does not compute in bfloat16", remedy="choose the precision float32"
            )
        self._info = info
        self._runtime = Runtime("torch", precision)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._classifier: Classifier = classifier.to(  # type: ignore[call-overload]
            self._device, memory_format=torch.channels_last
        )

    @property
    def info(self) -> BundleInfo:
        """The bundle's description."""
        return self._info

    @property
    def runtime(self) -> Runtime:
        """What computes."""
        return self._runtime

    @property
    def streams(self) -> int:
        """One: a call uses all that torch may use."""
        return 1

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods of `localize` that work for the bundle's architecture."""
        return tuple(method.name for method in methods_for(self._classifier))

    @property
    def classifier(self) -> Classifier:
        """The bundle's classifier, in eval mode."""
        return self._classifier

    @cached_property
    def _randomised(self) -> Classifier:
        return randomised(self._classifier, _RANDOM_SEED)

    @cached_property
    def _quick(self) -> Classifier:
        """What runs: it answers as the bundle's classifier does."""
        quick: Classifier = folded(self._classifier).to(  # type: ignore[call-overload]
            memory_format=torch.channels_last
        )
        return quick

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        """Score (B, size, size) uint8 pixels, explain them by each method.

        Raises:
            SettingsError: there is no such method, or it is not for this architecture.
        """
        on_gpu = self._device.type == "cuda"
        several = len(pixels) if on_gpu else _EACH * torch.get_num_threads()
        parts = [
            self._run(pixels[start : start + several], methods)
            for start in range(0, len(pixels), several)
        ]
        return EngineOutput(
            np.concatenate([part.logits for part in parts]),
            {name: np.concatenate([part.maps[name] for part in parts]) for name in methods},
        )

    def _run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        batch = torch.from_numpy(pixels)[:, None].to(self._device)
        maps, logits = {}, None
        reduced = self._runtime.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=reduced):
            for name in methods:
                explanation = self._explain(batch, name)
                maps[name] = explanation.maps.float().cpu().numpy()
                if name != RANDOMISED:
                    logits = explanation.logits
            if logits is None:
                with torch.inference_mode():
                    logits = self._quick(batch)
        return EngineOutput(positive_logit(logits).double().cpu().numpy(), maps)

    def _explain(self, batch: Tensor, name: str) -> Explanation:
        if name == RANDOMISED:
            own = HeatmapSpec.parse(self._info.heatmap).method
            return method_named(own).explain(self._randomised, batch)
        method = method_named(name)
        if not method.works_for(self._classifier):
            raise SettingsError(
                f"{method.title} is not for {self._info.architecture.backbone} with the head "
                f"'{self._info.architecture.head}'",
                remedy=f"choose among {', '.join(self.methods)}",
            )
        return method.explain(self._quick, batch)
