"""What a trained network costs: size, arithmetic, time and memory, measured on this machine."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pneumoscope.bundles import HeatmapSpec, find_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.plan import bundle_digest
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate.comparison_report import finite_json
from pneumoscope.files import write_json
from pneumoscope.inference import Engine, load_engine
from pneumoscope.inference.heatmaps import run_heatmaps
from pneumoscope.lungs import LungSegmenter
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.origins import start_of
from pneumoscope.report.comparison_content import BUSY, CostColumns
from pneumoscope.training.cache import cached_pixels
from pneumoscope.training.history import Row

COST = "cost.json"
BATCH = 16
"""Radiographs per call when speed is measured."""

EXPLAINED = 64
"""Radiographs the process explains whose memory is measured."""

# Calls are repeated this often at least, then until they have taken that long.
_LEAST, _MOST, _ENOUGH_SECONDS = 3, 15, 4.0
# A process that has the processor for less of the time is not alone.
_IDLE = 0.8
_VERSION = 1


def describe_machine(share: float = 1.0) -> str:
    """Processor, threads and versions, on one line.

    Args:
        share: of the time that this process had the processor while it was timed.
    """
    busy = BUSY if share < _IDLE else ""
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    threads = torch.get_num_threads()
    return (
        f"{gpu}{processor()}, {threads} thread{'' if threads == 1 else 's'}, "
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.system()}{busy}"
    )


def network_size(architecture: Architecture) -> tuple[int, float]:
    """Parameters of a classifier and the GMACs of one radiograph's forward pass.

    The network is built without memory: only shapes count.
    """
    with torch.device("meta"):
        classifier = Classifier(architecture).eval()
        pixels = torch.zeros((1, 1, architecture.size, architecture.size))
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    return parameters, multiply_adds(classifier, pixels) / 1e9


def planned_size(backbone: str, head: str, size: int) -> tuple[int, float]:
    """`network_size` of a backbone that has not been trained yet."""
    record, source = start_of(backbone)
    return network_size(
        Architecture(record.name, head, size, source.mean, source.std, dict(source.options))
    )


def multiply_adds(network: nn.Module, pixels: torch.Tensor) -> int:
    """Multiply-accumulate operations (MACs) of one forward pass.

    torch counts two floating point operations for each, in convolutions and matrix products; the
    rest (normalisation, activations, resizing) it does not count, as is usual. Attention is
    computed by its formula here, so that its two products are seen.
    """
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        network(pixels)
    return int(counter.get_total_flops()) // 2


def training_seconds(histories: Sequence[Sequence[Row]], radiographs: int) -> float | None:
    """Seconds per 1,000 training radiographs: the median epoch, its validation included.

    Args:
        histories: the epochs of one backbone's runs.
        radiographs: how many there are in train.
    """
    seconds = [row["seconds"] for history in histories for row in history]
    if not seconds or not radiographs:
        return None
    return statistics.median(seconds) * 1000 / radiographs


def read_cost(folder: Path) -> CostColumns | None:
    """What was measured of a run's bundle as it is now; None if nothing was."""
    try:
        content = json.loads((folder / COST).read_text(encoding="utf-8"))
        if content["version"] != _VERSION or content["bundle"] != bundle_digest(folder):
            return None
        cost = CostColumns(**content["cost"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    memory = cost.peak_memory_mb
    return replace(cost, peak_memory_mb=math.nan if memory is None else memory)


def measure_cost(folder: Path, manifest: Manifest, split: str) -> CostColumns:
    """Measure a run's bundle and keep the figures in its `cost.json`.

    Speed is that of the network alone, on pixels decoded before: with the mirror image and the
    lungs where the bundle uses them. Memory is the peak of a fresh process that loads the bundle,
    reads and explains radiographs.

    Args:
        folder: of the run.
        manifest: the cohort.
        split: whose radiographs are used.

    Returns:
        The columns, without the time of training.

    Raises:
        EvaluationError: the process whose memory is measured failed.
    """
    bundle = find_bundle(folder)
    engine = load_engine(bundle)
    info = engine.info
    parameters, gmacs = network_size(Architecture(**info.architecture.model_dump()))
    pixels = _sample(manifest, split, info.architecture.size)
    plain, explained, share = speeds(engine, pixels)
    cost = CostColumns(
        parameters=parameters,
        gmacs=gmacs,
        bundle_mb=sum(path.stat().st_size for path in bundle.iterdir() if path.is_file()) / 1e6,
        train_seconds_per_1000=None,
        radiographs_per_second=plain,
        heatmaps_per_second=explained,
        peak_memory_mb=peak_memory(bundle, manifest.subset(split).paths()),
        machine=describe_machine(share),
    )
    values = finite_json(asdict(cost))
    content = {"version": _VERSION, "bundle": bundle_digest(folder), "cost": values}
    write_json(folder / COST, content)
    return cost


def speeds(engine: Engine, pixels: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Radiographs per second, classified and explained, and the least share of `timed`.

    Args:
        engine: a loaded bundle.
        pixels: (B, size, size) uint8, given at once.
    """
    own = HeatmapSpec.parse(engine.info.heatmap)
    segmenter = LungSegmenter.load() if own.anatomical else None
    plain, alone = timed(lambda: run_heatmaps(engine, pixels, (), None))
    explained, still_alone = timed(lambda: run_heatmaps(engine, pixels, (own,), segmenter))
    return len(pixels) / plain, len(pixels) / explained, min(alone, still_alone)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of a call over several, after one that warms up.

    Returns:
        The seconds, and the share of the time in which this thread had a processor: well below 1
        on a machine that is busy with other work, whose times say little.
    """
    call()
    times: list[float] = []
    computed = time.thread_time()
    while len(times) < _LEAST or (len(times) < _MOST and sum(times) < _ENOUGH_SECONDS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times), (time.thread_time() - computed) / sum(times)


def peak_memory(bundle: Path, paths: Sequence[Path]) -> float:
    """Peak memory of a process that loads a bundle and explains `EXPLAINED` radiographs.

    The whole process counts: interpreter, libraries, network and radiographs; not a GPU's memory.

    Args:
        bundle: the bundle's folder.
        paths: radiographs, repeated if there are fewer.

    Returns:
        MB (10^6 bytes); NaN where the system does not tell.

    Raises:
        EvaluationError: the process failed.
    """
    files = [str(paths[index % len(paths)]) for index in range(EXPLAINED)]
    done = subprocess.run(
        [sys.executable, "-m", "pneumoscope.comparison.peak_memory", str(bundle)],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EvaluationError(
            f"measuring memory failed with exit code {done.returncode} ({last})",
            path=bundle,
            remedy="free some memory and run the same command again",
        )
    peak = json.loads(done.stdout.strip().splitlines()[-1])["peak_bytes"]
    return math.nan if peak is None else peak / 1e6


def _sample(manifest: Manifest, split: str, size: int) -> NDArray[np.uint8]:
    """(BATCH, size, size) uint8 of the split, repeated if it holds fewer."""
    pixels = cached_pixels(manifest.subset("all"), size)
    rows = np.flatnonzero((manifest.subset("all").table["split"] == split).to_numpy())
    return np.ascontiguousarray(pixels[np.resize(rows, BATCH)])


def processor() -> str:
    """The processor's name; Python's own answer where the system has no list of them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
