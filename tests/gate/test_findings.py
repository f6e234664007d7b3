"""A radiograph that the gate flags is not judged: no label, no probability, no heat, no regions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.findings import Finding
from pneumoscope.inference import Engine, Explained, explain_in, find_in, load_engine


@pytest.fixture(scope="module")
def engine(run_folder: Path) -> Engine:
    return load_engine(run_folder)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    path = tmp_path_factory.mktemp("noise") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return [("noise", path)]


def both(engine: Engine, files: list[tuple[str, Path]], *, gate: bool) -> list[Finding]:
    (explained,) = explain_in(engine, files, threshold=0.0, gate=gate)
    (found,) = find_in(engine, files, threshold=0.0, gate=gate)
    return [explained.finding, found]


def test_noise_is_flagged_on_both_ways_through(
    engine: Engine, noise: list[tuple[str, Path]]
) -> None:
    for finding in both(engine, noise, gate=True):
        assert finding.gate is not None
        assert finding.gate.reason == "not_chest"
        assert finding.uncertain
        assert finding.regions == ()
        assert finding.summary is not None
        assert finding.summary.startswith("Not assessed: ")
        assert (finding.label, finding.probability) == (None, None)


def test_what_was_flagged_has_neither_heat_nor_log_odds(
    engine: Engine, noise: list[tuple[str, Path]]
) -> None:
    (item,) = explain_in(engine, noise, gate=True, others=["gradcam+mirror"], lungs=True)
    assert isinstance(item, Explained)
    assert math.isnan(item.logit)
    assert item.heatmap.shape == item.radiograph.pixels.shape
    assert not item.heatmap.any()
    assert not any(heatmap.any() for heatmap in item.others.values())


def test_without_the_gate_nothing_is_said_of_it(
    engine: Engine, noise: list[tuple[str, Path]]
) -> None:
    for finding in both(engine, noise, gate=False):
        assert finding.gate is None
        assert finding.probability is not None
