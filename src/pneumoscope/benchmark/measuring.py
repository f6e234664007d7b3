"""How many radiographs per second are explained: by Pneumoscope's engines and by its peers.

Grad-CAM of the same class, at the same layer of the same network, on the same radiographs, by turns
within one process and with the same number of threads; see docs/performance.md. Before anything is
timed, all heatmaps are compared with those of `grad-cam`; a way whose maps differ is not timed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pneumoscope.benchmark.films import chosen_films, model_pixels
from pneumoscope.benchmark.memory import peak_megabytes
from pneumoscope.benchmark.random_bundle import prepare
from pneumoscope.benchmark.timing import (
    Figure,
    Pace,
    as_json,
    machine,
    rates,
    ratio,
    take_turns,
)
from pneumoscope.benchmark.way import Answer, ExplainWay, Films
from pneumoscope.benchmark.ways import (
    INT8_FILE,
    METHOD,
    PEER_NAMES,
    WAYS,
    explains,
    make_way,
    missing,
)
from pneumoscope.comparison.cost import planned_size
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import SettingsError
from pneumoscope.models.registry import DEFAULT_BACKBONE, backbone_record

BACKBONES = (DEFAULT_BACKBONE, "resnet18")
"""What is measured unless somebody asks for others."""
# Of maps that are to be the same; what is computed in less than float32 is told, not judged.
LEAST_CORRELATION = 0.99
_COMPARED = 4
_CALIBRATED = 8
_PICTURES, _CHANNELS, _SIDE = 32, 256, 28
_FILMS = "films.npy"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured.

    Args:
        backbones: registered names.
        ways: of `WAYS`; those that this machine lacks are left out and named.
        batches: radiographs per step.
        size: side of the input in pixels.
        films: how many radiographs, at least the largest batch.
        data: folder of one's own JPEG or PNG radiographs; None for phantoms.
        film_side: height of the phantoms, in pixels.
        bundles: folder of bundles named like their backbones, with their exported files; what it
            lacks is written there, with random weights. None for a folder that is removed.
        repeats: turns of each way, at most.
        seconds: of a turn, at least.
        budget: seconds per backbone and batch size, after which no round begins but the first
            three.
        threads: of every way.
        memory: measure peak memory, too, each way in a process of its own.

    Raises:
        SettingsError: there is no such backbone or way, or there are fewer radiographs than a batch
            needs.
    """

    backbones: Sequence[str] = BACKBONES
    ways: Sequence[str] = WAYS
    batches: Sequence[int] = (1, 32)
    size: int = 224
    films: int = 32
    data: Path | None = None
    film_side: int = 1024
    bundles: Path | None = None
    repeats: int = 7
    seconds: float = 0.5
    budget: float = 45
    threads: int = field(default_factory=available_cpus)
    memory: bool = False

    def __post_init__(self) -> None:
        for name in self.backbones:
            backbone_record(name)
        if unknown := [name for name in self.ways if name not in WAYS]:
            raise SettingsError(f"there is no way '{unknown[0]}'", remedy=f"use {', '.join(WAYS)}")
        if max(self.batches) > self.films:
            raise SettingsError(
                f"a batch of {max(self.batches)} needs as many radiographs",
                remedy="raise --films or lower --batch",
            )


def measure(
    benchmark: Benchmark, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Take all turns; what was measured, as `tables` and JSON have it.

    Args:
        benchmark: what to measure. Torch's number of threads is set to its own.
        progress: called with (backbones done, backbones in all).

    Raises:
        CohortError: there are not as many radiographs.
        PneumoscopeError: a backbone cannot be prepared.
    """
    torch.set_num_threads(benchmark.threads)
    why = {name: missing(name) for name in benchmark.ways}
    ways = [name for name, reason in why.items() if reason is None]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths, source = chosen_films(
            folder, benchmark.films, data=benchmark.data, side=benchmark.film_side
        )
        films = model_pixels(paths, benchmark.size)
        np.save(folder / _FILMS, films)
        result: dict[str, Any] = {
            "machine": machine(),
            "radiographs": source,
            "batches": list(benchmark.batches),
            "left_out": {name: reason for name, reason in why.items() if reason is not None},
            "backbones": {},
        }
        for done, backbone in enumerate(benchmark.backbones, start=1):
            started = time.perf_counter()
            found = _backbone(backbone, ways, films, folder, benchmark)
            found["seconds_of_measuring"] = round(time.perf_counter() - started)
            result["backbones"][backbone] = found
            if progress is not None:
                progress(done, len(benchmark.backbones))
    return result


def peak_gflops() -> float:
    """The most float32 operations per second that one large layer reaches, in 10^9.

    The layer is a convolution that fills the vector units: the matrix product of torch's BLAS
    reaches less than half of it on processors that the library was not tuned for.
    """
    layer = torch.nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.rand(_PICTURES, _CHANNELS, _SIDE, _SIDE)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    quickest = float("inf")
    with torch.inference_mode():
        for _ in range(20):
            started = time.perf_counter()
            layer(pixels)
            quickest = min(quickest, time.perf_counter() - started)
    operations = 2 * _PICTURES * _SIDE**2 * 9 * _CHANNELS**2
    return operations / quickest / 1e9


def _backbone(
    backbone: str, names: list[str], films: Films, folder: Path, benchmark: Benchmark
) -> dict[str, Any]:
    """Everything about one backbone."""
    bundle = (benchmark.bundles or folder) / backbone
    if not bundle.exists():
        calibrate = films[:_CALIBRATED] if any(name.endswith("int8") for name in names) else None
        prepare(bundle, backbone, benchmark.size, METHOD, calibrate)
    # A bundle of one's own may have failed the gate of int8.
    if not (bundle / INT8_FILE).is_file():
        names = [name for name in names if not name.endswith("int8")]
    names = [name for name in names if explains(name, backbone)]
    _, gmacs = planned_size(backbone, "linear", benchmark.size)
    found: dict[str, Any] = {"gmacs": gmacs, "batches": {}}
    for batch in benchmark.batches:
        ways = {name: make_way(name, bundle, films, batch, benchmark.threads) for name in names}
        if "agreement" not in found:
            found["agreement"] = _agreement(ways, films[:_COMPARED])
            names = [name for name in names if not _differs(name, found["agreement"][name])]
        figures = _timed({name: ways[name] for name in names}, gmacs, benchmark)
        if benchmark.memory:
            figures["peak_megabytes"] = {
                name: peak_megabytes(name, bundle, folder / _FILMS, batch, benchmark.threads)
                for name in names
            }
        found["batches"][str(batch)] = figures
    return found


def _timed(ways: dict[str, ExplainWay], gmacs: float, benchmark: Benchmark) -> dict[str, Any]:
    """Rates, how they compare with the peers', and with what the processor can do."""
    pace = Pace(
        benchmark.repeats,
        seconds=benchmark.seconds,
        budget=benchmark.budget,
        warm_up="first turn",
    )
    turns = take_turns(ways, pace)
    # Measured now, so that a machine's drift meets both.
    peak = peak_gflops()
    medians = {name: Figure.of(rates(each)).median for name, each in turns.items()}
    return {
        "ways": as_json(turns),
        "times_as_fast": {
            peer: {name: asdict(ratio(turns[name], turns[peer])) for name in turns}
            for peer in PEER_NAMES
            if peer in turns
        },
        "peak_gflops": peak,
        "share_of_peak": {name: rate * 2 * gmacs / peak for name, rate in medians.items()},
    }


def _agreement(ways: dict[str, ExplainWay], films: Films) -> dict[str, dict[str, float]]:
    """How heatmaps and probabilities compare with the first way's, `grad-cam`'s by default.

    Both scale a map linearly and enlarge it bilinearly, so the correlation is that of raw maps.
    """
    answers: dict[str, Answer] = {}
    for name, way in ways.items():
        with way.turn():
            answers[name] = way.explain(films)
    reference = next(iter(answers.values()))
    return {name: _compared(answer, reference) for name, answer in answers.items()}


def _differs(name: str, figures: dict[str, float]) -> bool:
    """Whether it explains something else than it should, so that its speed means nothing."""
    exact = name in PEER_NAMES or name.endswith("float32")
    return exact and not figures["correlation"] >= LEAST_CORRELATION


def _compared(answer: Answer, reference: Answer) -> dict[str, float]:
    pairs = zip(answer.heatmap, reference.heatmap, strict=True)
    return {
        "correlation": min(_correlation(one, other) for one, other in pairs),
        "probability": float(np.abs(answer.probability - reference.probability).max()),
    }


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's; 0 if there is nothing on one of them."""
    if min(one.std(), other.std()) == 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
