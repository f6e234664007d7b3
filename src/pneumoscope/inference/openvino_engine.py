"""The engine that runs a file of `pneumoscope export` by OpenVINO: quickest on Intel's CPUs.

OpenVINO reads the bytes that onnxruntime reads, from memory. Its package sends usage figures when
its model converter is imported, which `import openvino` does; here that part is left out (see
`_openvino`), and nothing is sent or written.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import OnnxBundle
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.extras import how_to_install, missing
from pneumoscope.inference.engine import Precision, Runtime
from pneumoscope.inference.file_engine import BATCH_SIZE, INPUTS, FileEngine

INSTALL = how_to_install("openvino")
# What sends usage figures, and what imports it: https://github.com/openvinotoolkit/telemetry.
# Its opt-out is a file in the user's home, which is not ours to write.
_TELEMETRY = ("openvino_telemetry", "openvino.tools.ovc")
_TYPES = {"u8": "uint8", "i64": "int64"}


class OpenVinoEngine(FileEngine):
    """Runs a file by OpenVINO on the CPU.

    Args:
        bundle: the file.
        precision: to compute in; None for that of the file. `bfloat16` is for a file with weights
            in float32 or float16.
        threads: for one call; None for one per available CPU.
        batch_size: radiographs given to OpenVINO in one call, at most; bounds the memory.
        streams: calls that may run at the same time, each with its own threads.

    Raises:
        BundleError: OpenVINO is not installed, cannot load the file, or the file's inputs and
            outputs are others.
        SettingsError: the processor or the file has no such precision.
    """

    def __init__(
        self,
        bundle: OnnxBundle,
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        batch_size: int = BATCH_SIZE,
        streams: int = 1,
    ) -> None:
        chosen = precision or bundle.precision
        super().__init__(bundle, Runtime("openvino", chosen), batch_size, streams)
        if not installed():
            raise BundleError(
                "needs openvino, which is not installed", path=bundle.path, remedy=INSTALL
            )
        if chosen != bundle.precision and (chosen, bundle.precision) != ("bfloat16", "float32"):
            raise SettingsError(
                f"is computed in {bundle.precision}, not in {chosen}",
                path=bundle.path,
                remedy="give a file of pneumoscope export in that precision",
            )
        if chosen == "bfloat16" and not has_bfloat16():
            raise SettingsError(
                "this processor does not compute in bfloat16", remedy="use float32 or int8"
            )
        try:
            self._compiled = _compiled(bundle.model, chosen, threads or available_cpus(), streams)
        except Exception as error:  # RuntimeError, and what its bindings make of others.
            raise self._failed("load", error) from error
        self._require(
            {
                _name(each, INPUTS): (
                    _type(each),
                    [_length(axis) for axis in each.partial_shape][1:],
                )
                for each in self._compiled.inputs
            },
            {_name(each, self._names) for each in self._compiled.outputs},
        )
        self._requests = threading.local()

    def _compute(self, feed: dict[str, NDArray[Any]]) -> Sequence[NDArray[np.float32]]:
        # A request holds one call's arrays, so each thread has its own.
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        found = request.infer(feed)
        return [found[name] for name in self._names]


def installed() -> bool:
    """Whether OpenVINO can be imported; it is not imported to know."""
    return not missing("openvino")


@cache
def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16, as OpenVINO sees it."""
    found = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in found


def _openvino() -> Any:
    """The package, imported without the part that sends usage figures.

    That part is Intel's model converter, which is not needed here: while OpenVINO is imported it is
    made to look as if it was not installed, which OpenVINO allows for.
    """
    absent = [name for name in _TELEMETRY if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say so.
    try:
        import openvino
    finally:
        for name in absent:
            del sys.modules[name]
    return openvino


@cache
def _core() -> Any:
    return _openvino().Core()


def _compiled(model: bytes, precision: Precision, threads: int, streams: int) -> Any:
    settings = {
        # Left alone, it computes float32 files in bfloat16 where the processor can. What a file in
        # int8 leaves in float32 stays so: that is what its figures were measured with.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": threads * streams,
        # All threads of a stream work on one batch.
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": streams,
        # Threads tied to CPUs get in the way of those that decode and write.
        "ENABLE_CPU_PINNING": False,
    }
    core = _core()
    return core.compile_model(core.read_model(io.BytesIO(model)), "CPU", settings)


def _name(port: Any, known: Sequence[str]) -> str:
    """A port's name; values that are one after simplification share their names."""
    names = sorted(port.names)
    return next((name for name in known if name in names), ", ".join(names))


def _type(port: Any) -> str:
    name: str = port.element_type.get_type_name()
    return _TYPES.get(name, name)


def _length(axis: Any) -> int:
    """An axis's length; -1 if it is not fixed."""
    return int(axis.get_length()) if axis.is_static else -1
