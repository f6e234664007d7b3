"""Costs against counts made by hand, and a memory measurement that cannot be fooled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pneumoscope.bundles import BundleInfo, read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.cost import (
    COST,
    describe_machine,
    measure_cost,
    multiply_adds,
    network_size,
    peak_memory,
    planned_size,
    read_cost,
    speeds,
    timed,
    training_seconds,
)
from pneumoscope.errors import EvaluationError
from pneumoscope.files import write_json
from pneumoscope.inference import EngineOutput, Runtime
from pneumoscope.models.classifier import Architecture


def test_macs_of_a_network_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 8 x 8 outputs of 27 products each
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),  # 9 products each
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    ).eval()
    by_hand = 8 * 8 * 8 * 27 + 8 * 8 * 8 * 9 + 8 * 2
    assert multiply_adds(network, torch.zeros(1, 3, 16, 16)) == by_hand


def test_gmacs_of_a_transformer_counted_by_hand() -> None:
    """Attention's two products are seen; the classification head is ours."""
    tokens, width, blocks = 197, 768, 12
    embedding = 196 * width * (16 * 16 * 3)
    linear = tokens * width * (3 * width + width + 2 * 4 * width)
    attention = 2 * tokens * tokens * width
    by_hand = embedding + blocks * (linear + attention) + width * 2
    parameters, gmacs = planned_size("vit_b_16", "linear", 224)
    assert gmacs == pytest.approx(by_hand / 1e9, rel=1e-9)
    # arXiv 2010.11929, table 1: 86 million; ours has two classes.
    assert parameters == 85_798_656 + 2 * (width + 1)


def test_gmacs_of_resnet18_as_published() -> None:
    """torchvision states 1.814 GFLOPS, which are multiply-adds, and 11,689,512 parameters."""
    parameters, gmacs = planned_size("resnet18", "linear", 224)
    assert gmacs == pytest.approx(1.814, abs=0.001)
    assert parameters == 11_689_512 - 513 * 1000 + 513 * 2


def test_the_size_of_a_bundle_is_that_of_its_plan(run_folder: Path) -> None:
    _, info = read_bundle(run_folder)
    found = network_size(Architecture(**info.architecture.model_dump()))
    assert found == planned_size("resnet18", "regional", 64)


def test_training_time_is_the_median_epoch() -> None:
    histories = [[{"seconds": 10.0}, {"seconds": 90.0}], [{"seconds": 12.0}]]
    assert training_seconds(histories, 400) == pytest.approx(30.0)
    assert training_seconds([[]], 400) is None


def test_the_median_is_of_calls_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each call reads the clock twice; the first, which warms up, does not.
    clock, processor = iter([0.0, 2.0, 10.0, 13.0, 20.0, 29.0]), iter([5.0, 12.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("time.thread_time", lambda: next(processor))
    calls: list[int] = []
    assert timed(lambda: calls.append(1)) == (3.0, 0.5)
    assert len(calls) == 4


def test_a_busy_machine_is_said_to_be_one() -> None:
    assert describe_machine(0.5) == f"{describe_machine(0.97)}, busy with other work"


class CountingEngine:
    """Remembers with how many radiographs and which methods it was called."""

    methods = ("gradcam",)
    runtime = Runtime("torch", "float32")
    streams = 1

    def __init__(self, info: BundleInfo) -> None:
        self.info = info
        self.calls: set[tuple[int, tuple[str, ...]]] = set()

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        self.calls.add((len(pixels), tuple(methods)))
        maps = {name: np.zeros((len(pixels), 4, 4), dtype=np.float32) for name in methods}
        return EngineOutput(np.zeros(len(pixels)), maps)


def test_speed_is_of_classifying_and_of_explaining_the_bundles_own_way(run_folder: Path) -> None:
    _, info = read_bundle(run_folder)
    engine = CountingEngine(info.model_copy(update={"heatmap": "gradcam+mirror"}))
    plain, explained, share = speeds(engine, np.zeros((16, 64, 64), dtype=np.uint8))
    assert plain > 0 and explained > 0 and share > 0
    assert engine.calls == {(16, ()), (16, ("gradcam",))}


def peak_in_child(ballast: str) -> int:
    code = (
        f"{ballast}\nfrom pneumoscope.comparison.peak_memory import peak_bytes\nprint(peak_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_the_childs_own() -> None:
    """`ru_maxrss` would start at what this process holds when it starts the child."""
    held = np.ones(300 << 20, dtype=np.uint8)
    small = peak_in_child("")
    large = peak_in_child("held = b'1' * (100 << 20); del held")
    assert held.nbytes > 4 * small
    assert 100e6 < large - small < 120e6


def test_a_failed_measurement_of_memory_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"exit code 1 .*no such bundle"):
        peak_memory(tmp_path / "absent", [tmp_path / "film.png"])


@pytest.mark.slow
def test_costs_are_measured_once_for_a_bundle(
    run_folder: Path, manifest_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoscope.comparison.cost.EXPLAINED", 4)
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    assert read_cost(run) is None
    cost = measure_cost(run, Manifest.read(manifest_file), "test")
    assert read_cost(run) == cost
    assert (cost.parameters, cost.gmacs) == planned_size("resnet18", "regional", 64)
    weights = (run / "bundle" / "model.safetensors").stat().st_size
    assert weights / 1e6 < cost.bundle_mb < weights / 1e6 + 0.1
    assert cost.radiographs_per_second > cost.heatmaps_per_second > 0
    assert cost.peak_memory_mb > 100
    assert cost.machine.startswith(describe_machine()) and torch.__version__ in cost.machine
    content = json.loads((run / COST).read_text())
    write_json(run / COST, {**content, "cost": {**content["cost"], "peak_memory_mb": None}})
    again = read_cost(run)
    assert again is not None and np.isnan(again.peak_memory_mb)
    bundle = run / "bundle" / "bundle.json"
    bundle.write_text(bundle.read_text() + " ")
    assert read_cost(run) is None
