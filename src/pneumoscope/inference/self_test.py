"""How quick an engine is on this machine: measured once, then remembered."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from pneumoscope import __version__
from pneumoscope.errors import PneumoscopeError
from pneumoscope.files import cache_folder, write_json
from pneumoscope.inference.file_engine import FileEngine

# Of one engine, after it was loaded and has run once.
_REPEATS, _SECONDS = 3, 0.4
_BATCH, _SLOW = 4, 0.1
_LIBRARIES = ("onnxruntime", "openvino")

Seconds = dict[str, float | None]


def seconds_each(load: Callable[[], FileEngine]) -> float | None:
    """How long an engine takes for a radiograph: the median of up to three batches.

    Batches are of four radiographs, of one where that takes over a tenth of a second, and end when
    0.4 seconds have gone.

    Returns:
        Seconds; None if it cannot be loaded or fails.
    """
    try:
        engine = load()
        size = engine.info.architecture.size
        pixels = np.random.default_rng(0).integers(0, 255, (_BATCH, size, size), dtype=np.uint8)
        # The first call also sets things up; the second says how large a batch may be.
        engine.run(pixels[:1], engine.methods)
        batch = pixels if _timed(engine, pixels[:1]) < _SLOW else pixels[:1]
        taken: list[float] = []
        while len(taken) < _REPEATS and sum(taken) < _SECONDS:
            taken.append(_timed(engine, batch))
    except PneumoscopeError:
        return None
    return median(taken) / len(batch)


def _timed(engine: FileEngine, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    start = perf_counter()
    engine.run(pixels, engine.methods)
    return perf_counter() - start


def cache_file(digests: Iterable[str], threads: int) -> Path:
    """Where the times of these files on this machine are kept; new versions measure anew.

    Args:
        digests: of the files.
        threads: of each engine.
    """
    about = {
        "files": sorted(digests),
        "threads": threads,
        "machine": _machine(),
        "versions": {"pneumoscope": __version__, **{name: _version(name) for name in _LIBRARIES}},
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / "engines" / f"{key}.json"


def remembered(path: Path, names: Iterable[str]) -> Seconds | None:
    """Times kept for just these engines; None if there are none, or none that can be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or set(kept) != set(names):
        return None
    if not all(value is None or _is_time(value) for value in kept.values()):
        return None
    return kept


def remember(path: Path, seconds: Mapping[str, float | None]) -> None:
    """Keep times; a folder that cannot be written is no reason to stop."""
    try:
        write_json(path, dict(seconds))
    except PneumoscopeError:
        return


def _is_time(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0


def _machine() -> list[str]:
    """The processor and what it can compute; CPUs of the same name may differ."""
    return [platform.machine(), platform.processor(), *_cpu_lines()]


def _cpu_lines() -> list[str]:
    """The lines of Linux about the first CPU that name it and its instructions."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    first = text.partition("\n\n")[0].splitlines()
    return [line for line in first if line.startswith(("model name", "flags", "Features"))]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
