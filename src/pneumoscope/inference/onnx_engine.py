"""The engine that runs a file of `pneumoscope export`: onnxruntime on the CPU, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import OnnxBundle
from pneumoscope.cpus import available_cpus
from pneumoscope.inference.engine import Runtime
from pneumoscope.inference.file_engine import BATCH_SIZE, FileEngine


class OnnxEngine(FileEngine):
    """Runs a file by onnxruntime, in the precision it was exported in.

    Args:
        bundle: the file.
        threads: for one call; None for one per available CPU.
        batch_size: radiographs given to onnxruntime in one call, at most; bounds the memory.
        streams: calls that may run at the same time.

    Raises:
        BundleError: onnxruntime cannot load the file, or its inputs and outputs are others.
    """

    def __init__(
        self,
        bundle: OnnxBundle,
        *,
        threads: int | None = None,
        batch_size: int = BATCH_SIZE,
        streams: int = 1,
    ) -> None:
        super().__init__(bundle, Runtime("onnxruntime", bundle.precision), batch_size, streams)
        try:
            self._session = _session(bundle.model, threads or available_cpus())
        # onnxruntime's errors derive from RuntimeError or from Exception, by version.
        except Exception as error:
            raise self._failed("load", error) from error
        self._require(
            {
                each.name: (each.type.removeprefix("tensor(").removesuffix(")"), each.shape[1:])
                for each in self._session.get_inputs()
            },
            {each.name for each in self._session.get_outputs()},
        )

    def _compute(self, feed: dict[str, NDArray[Any]]) -> Sequence[NDArray[np.float32]]:
        answers: list[NDArray[np.float32]] = self._session.run(list(self._names), feed)
        return answers


def _session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Bytes of another format would not be what was checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
