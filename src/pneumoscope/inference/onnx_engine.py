"""The engine that runs a file of `pneumoscope export`: onnxruntime on the CPU, without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo, HeatmapSpec, OnnxBundle
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.inference.engine import EngineOutput

INPUTS = ("pixels", "target")
OUTPUTS = ("logit", "probability", "heatmap")
UNMIRRORED = ("unmirrored_logit", "unmirrored_heatmap")
_AGAIN = "write it again with pneumoscope export"

Answer = dict[str, NDArray[np.float32]]


def output_names(spec: HeatmapSpec) -> tuple[str, ...]:
    """What the file of a bundle with this heatmap answers; see docs/export.md."""
    return OUTPUTS + UNMIRRORED if spec.mirror else OUTPUTS


class OnnxEngine:
    """Classification and the bundle's own heatmap; several threads may share one instance.

    Args:
        bundle: the file.
        threads: of onnxruntime, for one call; None for one per available CPU.
        batch_size: radiographs given to onnxruntime at a time, at most; bounds the memory.

    Raises:
        BundleError: onnxruntime cannot load the file, or its inputs and outputs are others.
    """

    def __init__(
        self, bundle: OnnxBundle, *, threads: int | None = None, batch_size: int = 16
    ) -> None:
        self._path = bundle.path
        self._info = bundle.info
        self._own = HeatmapSpec.parse(bundle.info.heatmap)
        self._names = output_names(self._own)
        self._batch_size = batch_size
        self._session = _session(bundle, available_cpus() if threads is None else threads)
        size = bundle.info.architecture.size
        inputs = {each.name: (each.type, each.shape[1:]) for each in self._session.get_inputs()}
        outputs = {each.name for each in self._session.get_outputs()}
        expected = {"pixels": ("tensor(uint8)", [size, size]), "target": ("tensor(int64)", [])}
        if inputs != expected or outputs != set(self._names):
            raise BundleError(
                "has other inputs or outputs than its description says",
                path=bundle.path,
                remedy=_AGAIN,
            )

    @property
    def info(self) -> BundleInfo:
        """The description of the bundle that was exported."""
        return self._info

    @property
    def methods(self) -> tuple[str, ...]:
        """The one method that is part of the file."""
        return (self._own.method,)

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        """Score (B, size, size) uint8 pixels, explain them by the file's own method.

        Raises:
            SettingsError: another method was asked for.
            BundleError: onnxruntime fails.
        """
        for name in methods:
            if name != self._own.method:
                raise SettingsError(
                    f"{self._path.name} explains by {self._own.method} alone, not by {name}",
                    remedy="use the safetensors bundle, with pip install 'pneumoscope[train]'",
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
            targets: (B,) the class to explain; 1 is the positive class.

        Returns:
            By name: `logit` and `probability` (B,), `heatmap` (B, h, w), and, where the bundle
            averages a film and its mirror image, those of the film alone (`unmirrored_...`).

        Raises:
            BundleError: onnxruntime fails.
        """
        parts = []
        for start in range(0, len(pixels), self._batch_size):
            part = slice(start, start + self._batch_size)
            feed = dict(zip(INPUTS, (pixels[part], targets[part]), strict=True))
            try:
                parts.append(self._session.run(list(self._names), feed))
            except Exception as error:  # As in `_session`.
                raise BundleError(
                    f"onnxruntime cannot run it ({_first_line(error)})", path=self._path
                ) from error
        return {
            name: np.concatenate(found)
            for name, found in zip(self._names, zip(*parts, strict=True), strict=True)
        }


def _output(
    logit: NDArray[np.float32], heatmap: NDArray[np.float32], methods: Sequence[str]
) -> EngineOutput:
    return EngineOutput(logit.astype(np.float64), dict.fromkeys(methods, heatmap))


def available_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Not everywhere; cpu_count() ignores such limits.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _session(bundle: OnnxBundle, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Bytes of another format would not be what was checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(
            bundle.model, options, providers=["CPUExecutionProvider"]
        )
    # onnxruntime's errors derive from RuntimeError or from Exception, by version.
    except Exception as error:
        raise BundleError(
            f"onnxruntime cannot load it ({_first_line(error)})", path=bundle.path, remedy=_AGAIN
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
