"""What engines share that run a file of `pneumoscope export`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo, HeatmapSpec, OnnxBundle
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.inference.engine import EngineOutput, Runtime

INPUTS = ("pixels", "target")
OUTPUTS = ("logit", "probability", "heatmap")
UNMIRRORED = ("unmirrored_logit", "unmirrored_heatmap")
BATCH_SIZE = 16
AGAIN = "write it again with pneumoscope export"

Answer = dict[str, NDArray[np.float32]]
# Of an input its type (uint8, int64) and the lengths of its axes but the first.
Inputs = Mapping[str, tuple[str, list[int]]]


def output_names(spec: HeatmapSpec) -> tuple[str, ...]:
    """What the file of a bundle with this heatmap answers; see docs/export.md."""
    return OUTPUTS + UNMIRRORED if spec.mirror else OUTPUTS


class FileEngine(ABC):
    """Classification and the bundle's own heatmap; several threads may share one instance.

    Args:
        bundle: the file.
        runtime: what computes.
        batch_size: radiographs computed in one call, at most; bounds the memory.
        streams: calls that may run at the same time.
    """

    def __init__(
        self, bundle: OnnxBundle, runtime: Runtime, batch_size: int, streams: int = 1
    ) -> None:
        self._path = bundle.path
        self._info = bundle.info
        self._runtime = runtime
        self._own = HeatmapSpec.parse(bundle.info.heatmap)
        self._names = output_names(self._own)
        self._batch_size = batch_size
        self._streams = streams

    @abstractmethod
    def _compute(self, feed: dict[str, NDArray[Any]]) -> Sequence[NDArray[np.float32]]:
        """The outputs `_names` for one batch; any exception means that the library fails."""

    def _require(self, inputs: Inputs, outputs: set[str]) -> None:
        """Raises BundleError unless these are the inputs and outputs described."""
        size = self._info.architecture.size
        if inputs != {"pixels": ("uint8", [size, size]), "target": ("int64", [])} or (
            outputs != set(self._names)
        ):
            raise BundleError(
                "has other inputs or outputs than its description says",
                path=self._path,
                remedy=AGAIN,
            )

    @property
    def path(self) -> Path:
        """The file that runs."""
        return self._path

    @property
    def info(self) -> BundleInfo:
        """The description of the bundle that was exported."""
        return self._info

    @property
    def runtime(self) -> Runtime:
        """What computes."""
        return self._runtime

    @property
    def streams(self) -> int:
        """How many calls may run at the same time without being in each other's way."""
        return self._streams

    @property
    def methods(self) -> tuple[str, ...]:
        """The one method that is part of the file."""
        return (self._own.method,)

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        """Score (B, size, size) uint8 pixels, explain them by the file's own method.

        Raises:
            SettingsError: another method was asked for.
            BundleError: the library fails.
        """
        for name in methods:
            if name != self._own.method:
                raise SettingsError(
                    f"{self._path.name} explains by {self._own.method} alone, not by {name}",
                    remedy="load the bundle's folder with the engine torch (extra 'train')",
                )
        answer = self.explain(pixels, np.ones(len(pixels), dtype=np.int64))
        mirrored = _output(answer["logit"], answer["heatmap"], methods)
        if not self._own.mirror:
            return mirrored
        alone = _output(answer["unmirrored_logit"], answer["unmirrored_heatmap"], methods)
        return EngineOutput(alone.logits, alone.maps, mirrored)

    def explain(self, pixels: NDArray[np.uint8], targets: NDArray[np.int64]) -> Answer:
        """All that the file answers.

        Args:
            pixels: (B, size, size), B at least 1, as of `run`.
            targets: (B,) the class to explain: 1 the positive class, 0 the negative one.

        Returns:
            By name: `logit` and `probability` (B,), `heatmap` (B, h, w), and, where the bundle
            averages a radiograph and its mirror image, those of the radiograph alone
            (`unmirrored_...`).

        Raises:
            ValueError: the pixels have another form, or a target is another number.
            BundleError: the library fails.
        """
        # Not every library notices.
        size = self._info.architecture.size
        if pixels.dtype != np.uint8 or pixels.shape != (len(targets), size, size):
            form = f"uint8 ({len(targets)}, {size}, {size})"
            raise ValueError(f"pixels must be {form}, not {pixels.dtype} {pixels.shape}")
        if not np.isin(targets, (0, 1)).all():
            raise ValueError(f"targets are 0 or 1, not {targets}")
        parts = []
        for start in range(0, len(pixels), self._batch_size):
            part = slice(start, start + self._batch_size)
            feed: dict[str, NDArray[Any]] = {"pixels": pixels[part], "target": targets[part]}
            try:
                parts.append(self._compute(feed))
            except Exception as error:
                raise self._failed("run", error) from error
        return {
            name: np.concatenate(found)
            for name, found in zip(self._names, zip(*parts, strict=True), strict=True)
        }

    def _failed(self, doing: str, error: Exception) -> BundleError:
        """The error for what the library says; a type of its own it may have or not."""
        lines = str(error).strip().splitlines()
        # OpenVINO names the places in its code first.
        said = [line for line in lines if not line.startswith("Exception from")] or lines
        return BundleError(
            f"{self._runtime.engine} cannot {doing} it ({said[0] if said else error!r})",
            path=self._path,
            remedy=AGAIN if doing == "load" else None,
        )


def _output(
    logit: NDArray[np.float32], heatmap: NDArray[np.float32], methods: Sequence[str]
) -> EngineOutput:
    return EngineOutput(logit.astype(np.float64), dict.fromkeys(methods, heatmap))
