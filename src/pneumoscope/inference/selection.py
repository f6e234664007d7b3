"""Which engine runs a file, in which precision, and which of the files of one bundle it is.

A precision is chosen only if the file says that its answers on val passed the quality gate; float32
from weights in float32 always may be. Who names a precision gets it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pneumoscope.bundles import OnnxBundle, read_onnx
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import BundleError, PneumoscopeError, SettingsError
from pneumoscope.inference import openvino_engine
from pneumoscope.inference.engine import EngineName, Precision, Runtime
from pneumoscope.inference.file_engine import BATCH_SIZE, FileEngine
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.openvino_engine import OpenVinoEngine
from pneumoscope.inference.self_test import (
    cache_file,
    remember,
    remembered,
    require_same,
    seconds_each,
)

EngineChoice = EngineName | Literal["auto"]
PrecisionChoice = Precision | Literal["auto"]

# With fewer the self-test, and loading a quicker engine, may cost more than it saves.
MANY = 64
# More hold more batches in memory and gain little.
_MOST_STREAMS = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller asks for.

    Attributes:
        engine: `auto` for the quickest.
        precision: `auto` for the quickest that passed the gate.
        threads: for one call; None to share the available CPUs among the streams.
        batch_size: radiographs computed in one call, at most; None for 16.
        expected: how many radiographs are to come; None if nobody knows.
        streams: calls that are to run at the same time.
    """

    engine: EngineChoice = "auto"
    precision: PrecisionChoice = "auto"
    threads: int | None = None
    batch_size: int | None = None
    expected: int | None = None
    streams: int = 1

    @property
    def threads_each(self) -> int:
        """Of one call: as asked for, or its stream's share of the CPUs."""
        return self.threads or max(1, available_cpus() // self.streams)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, and what is to run it."""

    bundle: OnnxBundle
    runtime: Runtime

    def load(self, wanted: Wanted) -> FileEngine:
        """The engine."""
        threads, batch_size = wanted.threads_each, wanted.batch_size or BATCH_SIZE
        if self.runtime.engine == "onnxruntime":
            return OnnxEngine(
                self.bundle, threads=threads, batch_size=batch_size, streams=wanted.streams
            )
        return OpenVinoEngine(
            self.bundle,
            precision=self.runtime.precision,
            threads=threads,
            batch_size=batch_size,
            streams=wanted.streams,
        )


def streams_for(expected: int, threads: int | None = None) -> int:
    """How many batches are best computed at the same time.

    Threads that share a batch wait for each other, the more so where decoding and writing keep the
    CPUs busy: of many radiographs each stream computes a batch of its own. Who asks for a number of
    threads gets one stream of as many.

    Args:
        expected: how many radiographs are to come.
        threads: as the user says; None if he does not.
    """
    return 1 if threads or expected < MANY else min(available_cpus(), _MOST_STREAMS)


def file_engine(bundle: OnnxBundle, wanted: Wanted) -> FileEngine:
    """Load the engine for a file, or for the int8 form beside it (`model.int8.onnx`).

    Few radiographs are run by the first that may be, which is onnxruntime unless another engine is
    asked for: it starts soonest. For `MANY` or more a self-test finds the quickest on this machine.
    OpenVINO never runs a file before the self-test found that it answers as onnxruntime does. What
    the self-test found is kept in the cache folder.

    Raises:
        BundleError: a library is missing, cannot load the file or misreads it; the int8 form asked
            for is missing, or that of another bundle; no precision passed the gate.
        SettingsError: the engine has no such precision, or the processor has not.
    """
    candidates = _candidates(bundle, wanted)
    few = wanted.expected is None or wanted.expected < MANY
    several = list(islice(candidates, 1) if few else candidates)
    if not several:
        raise _nothing(bundle, wanted)
    if len(several) > 1 or several[0].runtime.engine != "onnxruntime":
        return _quickest(several, wanted).load(wanted)
    return several[0].load(wanted)


def _candidates(bundle: OnnxBundle, wanted: Wanted) -> Iterator[Candidate]:
    """What may run, the soonest started first; what costs time to find out comes late."""
    yield from _of_file(bundle, wanted)
    if bundle.precision != "int8" and wanted.precision in ("auto", "int8"):
        beside = _int8_form(bundle, required=wanted.precision == "int8")
        if beside is not None:
            yield from _of_file(beside, wanted)


def _of_file(bundle: OnnxBundle, wanted: Wanted) -> Iterator[Candidate]:
    for runtime in _runtimes(bundle, wanted):
        if wanted.precision == "auto":
            allowed = _passed(bundle, runtime.precision)
        else:
            allowed = runtime.precision == wanted.precision
        if allowed:
            yield Candidate(bundle, runtime)


def _runtimes(bundle: OnnxBundle, wanted: Wanted) -> Iterator[Runtime]:
    """What can run the file, whether it may or not."""
    if wanted.engine != "openvino":
        yield Runtime("onnxruntime", bundle.precision)
    # Asked for by name, it says itself what is missing.
    if wanted.engine == "openvino" or (wanted.engine == "auto" and openvino_engine.installed()):
        yield Runtime("openvino", bundle.precision)
    if wanted.engine == "onnxruntime" or bundle.precision != "float32":
        return
    if wanted.precision == "bfloat16" or (
        _passed(bundle, "bfloat16")
        and openvino_engine.installed()
        and openvino_engine.has_bfloat16()
    ):
        yield Runtime("openvino", "bfloat16")


def _passed(bundle: OnnxBundle, precision: Precision) -> bool:
    """Whether the file says that its answers in this precision are good."""
    export = bundle.info.export
    if precision == "float32" and (export is None or export.precision == "float32"):
        return True
    quality = None if export is None else export.quality.get(precision)
    return quality is not None and quality.good


def _int8_form(bundle: OnnxBundle, *, required: bool) -> OnnxBundle | None:
    """The file beside it that holds the same bundle in int8.

    Raises:
        BundleError: it is required, and missing, damaged or of another bundle.
    """
    path = bundle.path.with_suffix(".int8.onnx")
    if not path.is_file():
        if not required:
            return None
        raise BundleError(
            f"has no int8 form beside it ({path.name})",
            path=bundle.path,
            remedy="write one with pneumoscope export, or choose another precision",
        )
    try:
        return _same(bundle, read_onnx(path))
    except BundleError as error:
        if required:
            raise
        warnings.warn(f"left aside: {error}", stacklevel=2)
        return None


def _same(bundle: OnnxBundle, other: OnnxBundle) -> OnnxBundle:
    if other.precision != "int8" or _described(other) != _described(bundle):
        raise BundleError(
            f"is not the int8 form of {bundle.path.name}",
            path=other.path,
            remedy="write it again with pneumoscope export",
        )
    return other


def _described(bundle: OnnxBundle) -> object:
    return bundle.info.model_copy(update={"export": None})


def _quickest(candidates: list[Candidate], wanted: Wanted) -> Candidate:
    """The quickest by a self-test, or by what an earlier one found.

    Raises:
        PneumoscopeError: none works; why the first does not.
    """
    named = {f"{each.bundle.precision} file, {each.runtime}": each for each in candidates}
    path = cache_file({each.bundle.digest for each in candidates}, wanted.threads_each)
    seconds = remembered(path)
    failures: list[PneumoscopeError] = []
    if not named.keys() <= seconds.keys() or not any(seconds[name] for name in named):
        for name, candidate in named.items():
            seconds[name] = None
            try:
                seconds[name] = _tested(candidate, wanted)
            except PneumoscopeError as error:
                failures.append(error)
        remember(path, seconds)
    known = {name: taken for name in named if (taken := seconds[name]) is not None}
    if not known:
        raise failures[0]
    return named[min(known, key=lambda name: known[name])]


def _tested(candidate: Candidate, wanted: Wanted) -> float:
    """Seconds for a radiograph.

    Raises:
        PneumoscopeError: it cannot be loaded, fails, or answers otherwise than onnxruntime.
    """
    engine = candidate.load(wanted)
    if candidate.runtime.engine != "onnxruntime":
        portable = Runtime("onnxruntime", candidate.bundle.precision)
        require_same(engine, Candidate(candidate.bundle, portable).load(wanted))
    return seconds_each(engine)


def _nothing(bundle: OnnxBundle, wanted: Wanted) -> PneumoscopeError:
    """Why nothing may run the file."""
    if wanted.precision == "auto":
        return BundleError(
            "has no figures on val that pass the quality gate",
            path=bundle.path,
            remedy=f"choose the precision {bundle.precision} by name to run it all the same",
        )
    engine = "any engine" if wanted.engine == "auto" else wanted.engine
    return SettingsError(
        f"is not computed in {wanted.precision} by {engine}",
        path=bundle.path,
        remedy=f"choose {bundle.precision}, or bfloat16 with openvino for a file in float32",
    )
