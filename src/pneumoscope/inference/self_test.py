"""Whether an engine answers truly on this machine, and how quickly: found out once, remembered."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from pneumoscope import __version__
from pneumoscope.errors import BundleError, PneumoscopeError
from pneumoscope.files import cache_folder, write_json
from pneumoscope.inference.engine import Precision
from pneumoscope.inference.file_engine import FileEngine

# Of one engine, after it was loaded and has run once.
_REPEATS, _SECONDS = 3, 0.4
_BATCH, _SLOW = 4, 0.1
_LIBRARIES = ("onnxruntime", "openvino")
# Largest difference of probabilities and least correlation of heatmaps between two engines. In
# float32 they differ by rounding. In other precisions radiographs that are none may differ by more;
# what is asked for there is that the file was not misread.
_TOLERANCE: dict[Precision, tuple[float, float]] = {
    "float32": (1e-3, 0.999),
    "bfloat16": (0.1, 0.8),
    "int8": (0.1, 0.8),
}
_NO_EVIDENCE, _SAME = 1e-6, 0.01

# Of a candidate by its name; None if it fails.
Seconds = dict[str, float | None]


def seconds_each(engine: FileEngine) -> float:
    """How long an engine takes for a radiograph: the median of up to three batches.

    Batches are of four radiographs, of one where that takes over a tenth of a second, and end when
    0.4 seconds have gone.

    Raises:
        BundleError: it fails.
    """
    pixels = _films(engine.info.architecture.size)
    # The first call also sets things up; the second says how large a batch may be.
    engine.run(pixels[:1], engine.methods)
    batch = pixels if _timed(engine, pixels[:1]) < _SLOW else pixels[:1]
    taken: list[float] = []
    while len(taken) < _REPEATS and sum(taken) < _SECONDS:
        taken.append(_timed(engine, batch))
    return median(taken) / len(batch)


def require_same(engine: FileEngine, reference: FileEngine) -> None:
    """Compare the answers of two engines, for either class.

    A library that rewrites a graph for speed may get it wrong, in heatmaps alone and without a word
    (OpenVINO 2026.4 did in two ways; `export/gradient.py` avoids both).

    Raises:
        BundleError: they answer differently.
    """
    pixels = _films(engine.info.architecture.size)[:2]
    most, least = _TOLERANCE[engine.runtime.precision]
    targets = np.array([1, 0])
    for films in (pixels, pixels[::-1].copy()):
        found, expected = engine.explain(films, targets), reference.explain(films, targets)
        off = float(np.abs(found["probability"] - expected["probability"]).max())
        # numpy's minimum, unlike Python's, keeps what is not a number.
        alike = float(np.min([*map(_correlation, found["heatmap"], expected["heatmap"])]))
        if not (off <= most and alike >= least):  # Also where they are no numbers.
            raise BundleError(
                f"{engine.runtime.engine} does not answer as {reference.runtime.engine} does "
                f"(probabilities differ by {off:.2g}, heatmaps correlate at {alike:.2g})",
                path=engine.path,
                remedy=f"use {reference.runtime.engine}, or other versions of both",
            )


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson's; one where maps show no evidence or hardly differ, as those of one heat all over.

    It is no number where a map holds none, or only one of the two is of one heat all over.
    """
    peak = max(float(one.max()), float(other.max()))
    if peak <= _NO_EVIDENCE or float(np.abs(one - other).max()) <= _SAME * peak:
        return 1.0
    left, right = (each.astype(np.float64) - each.mean(dtype=np.float64) for each in (one, other))
    spread = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum()) / spread if spread > 0 else math.nan


def _films(size: int) -> NDArray[np.uint8]:
    """Four radiographs (4, size, size) of coarse blocks: what is on them changes no time."""
    side = -(-size // 7)
    coarse = np.random.default_rng(0).integers(0, 255, (_BATCH, 7, 7), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(side, 1).repeat(side, 2)[:, :size, :size])


def _timed(engine: FileEngine, pixels: NDArray[np.uint8]) -> float:
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


def remembered(path: Path) -> Seconds:
    """The times kept there; none if there are none, or none that can be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {name: value for name, value in kept.items() if value is None or _is_time(value)}


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
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
