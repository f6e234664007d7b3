"""Two or more ways of doing the same, timed by turns within one process.

A machine's speed drifts: other processes, clock rates, memory. Turns (A B A B ...) let the drift
meet all ways alike, and the ratio is taken turn by turn.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch

from pneumoscope.comparison.cost import processor
from pneumoscope.cpus import available_cpus

_INSTRUCTIONS = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")


class Way(Protocol):
    """A way of doing something to batches of radiographs."""

    def turn(self) -> AbstractContextManager[object]:
        """What holds during a turn of this way and no longer."""

    def step(self) -> int:
        """One step; gives the number of radiographs it took in."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One timed turn: radiographs, seconds by the clock, seconds of processor time.

    Processor time is that of this process with all its threads, without loader processes. On a
    busy machine it says what the clock would say on an idle one, if a single thread computes.
    """

    radiographs: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How long ways are timed.

    Attributes:
        repeats: turns of each way, at most.
        steps: timed steps of a turn, at least.
        seconds: a turn goes on until it has taken that long.
        budget: seconds after which no new round of turns begins, but for the first three.
        warm_up: whether every turn begins with an untimed step, or a way's first turn only.
    """

    repeats: int
    steps: int = 1
    seconds: float = 0.0
    budget: float = math.inf
    warm_up: Literal["every turn", "first turn"] = "every turn"


_LEAST_ROUNDS = 3


def take_turns(ways: Mapping[str, Way], pace: Pace) -> dict[str, list[Turn]]:
    """Each way's turns, by turns."""
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    started = time.perf_counter()
    for done in range(pace.repeats):
        if done >= _LEAST_ROUNDS and time.perf_counter() - started > pace.budget:
            break
        for name, way in ways.items():
            with way.turn():
                if done == 0 or pace.warm_up == "every turn":
                    way.step()
                turns[name].append(_timed(way, pace))
    return turns


def _timed(way: Way, pace: Pace) -> Turn:
    clock, cpu = time.perf_counter(), time.process_time()
    count = steps = 0
    while steps < pace.steps or time.perf_counter() - clock < pace.seconds:
        count += way.step()
        steps += 1
    return Turn(count, time.perf_counter() - clock, time.process_time() - cpu)


@dataclass(frozen=True, slots=True)
class Figure:
    """Median, lowest and highest of repeated measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Figure:
        """Of measurements, at least one."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def rates(turns: list[Turn], *, cpu: bool = False) -> list[float]:
    """Radiographs per second of each turn, by the clock or by processor time."""
    return [turn.radiographs / (turn.cpu_seconds if cpu else turn.seconds) for turn in turns]


def ratio(ours: list[Turn], theirs: list[Turn], *, cpu: bool = False) -> Figure:
    """How many times as fast, turn by turn."""
    pairs = zip(rates(ours, cpu=cpu), rates(theirs, cpu=cpu), strict=True)
    return Figure.of([fast / slow for fast, slow in pairs])


def as_json(turns: Mapping[str, list[Turn]]) -> dict[str, Any]:
    """All turns, as measured, with the rates of each way."""
    return {
        name: {
            "radiographs_per_second": asdict(Figure.of(rates(each))),
            "radiographs_per_cpu_second": asdict(Figure.of(rates(each, cpu=True))),
            "turns": [asdict(turn) for turn in each],
        }
        for name, each in turns.items()
    }


def machine() -> dict[str, Any]:
    """What the figures depend on and the reader cannot see."""
    capabilities: Mapping[str, Any] = torch.cpu.get_capabilities()
    return {
        "processor": processor(),
        "instructions": [name for name in _INSTRUCTIONS if capabilities.get(name)],
        "usable_cores": available_cpus(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
