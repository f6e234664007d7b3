"""The input gate's training: pictures, a tiny run, the threshold, the ONNX file, the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.errors import RunError, SettingsError
from pneumoscope.gate import KINDS, InputGate
from pneumoscope.training.gate import GateSettings, choose_threshold, train_gate_net
from pneumoscope.training.gate_films import draw, phantoms
from pneumoscope.training.gate_negatives import _MAKERS, synthetic
from pneumoscope.training.gate_net import GateNet, export_gate


@pytest.fixture(scope="module")
def films() -> NDArray[np.uint8]:
    return phantoms(64, 64, seed=3)


@pytest.mark.parametrize("maker", _MAKERS[:3] + _MAKERS[5:])
def test_every_maker_draws_something(maker: object) -> None:
    assert callable(maker)
    picture = maker(np.random.default_rng(0), 64)
    assert picture.shape == (64, 64)
    assert np.isfinite(picture).all()
    assert picture.std() > 0


def test_synthetic_pictures_differ_and_repeat_with_the_seed() -> None:
    first, second = (synthetic(np.random.default_rng(seed), 48) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, synthetic(np.random.default_rng(0), 48))


def test_all_kinds_are_drawn_within_range(
    films: NDArray[np.uint8],
) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw(films, index % len(films), 32, rng) for index in range(150)]
    assert {kind for _, kind in drawn} == set(range(len(KINDS)))
    assert all(picture.shape == (32, 32) for picture, _ in drawn)
    assert all(picture.min() >= 0 and picture.max() <= 255 for picture, _ in drawn)


def test_a_tiny_run_learns_and_its_file_answers_as_the_network(
    films: NDArray[np.uint8], tmp_path: Path
) -> None:
    rows: list[dict[str, float]] = []
    settings = GateSettings(side=32, stored_side=64, epochs=8, batch_size=16, seed=1)
    net = train_gate_net(films, settings, epoch=rows.append)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert export_gate(net, 32, tmp_path / "gate.onnx") < 1e-4


def test_the_threshold_lets_all_but_one_in_a_hundred_of_the_worst_cohort_pass() -> None:
    easy, hard = np.linspace(0, 0.1, 1000), np.linspace(0, 0.9, 1000)
    threshold = choose_threshold([easy, hard])
    assert (hard >= threshold).mean() == pytest.approx(0.01, abs=0.002)
    assert choose_threshold([easy]) == 0.5
    assert choose_threshold([np.ones(10)]) == 0.98


def test_settings_and_empty_cohorts_are_refused() -> None:
    with pytest.raises(SettingsError, match="input of 40"):
        GateSettings(side=40)
    with pytest.raises(SettingsError, match="positive"):
        GateSettings(epochs=0)
    with pytest.raises(RunError, match="no film"):
        train_gate_net(np.zeros((0, 112, 112), dtype=np.uint8), GateSettings())


def test_exposure_and_contrast_do_not_matter_to_the_network() -> None:
    import torch

    net = GateNet(32).eval()
    film = torch.rand(1, 1, 32, 32) * 100
    with torch.inference_mode():
        assert torch.allclose(net(film), net(2 * film + 30), atol=0.05)


def test_the_shipped_gate_says_where_it_comes_from() -> None:
    info = InputGate.load().info
    assert 0.5 <= info.threshold <= 0.98
    assert info.training["films"]["train"] > 1000
