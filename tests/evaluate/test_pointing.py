"""The pointing game: fair to ties, no credit for flat or broken heatmaps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import PointingGame


def peak_at(row: int, column: int) -> NDArray[np.float64]:
    heatmap = np.zeros((8, 10))
    heatmap[row, column] = 1.0
    return heatmap


MASK = np.zeros((8, 10), dtype=bool)
MASK[2:4, 3:7] = True


def test_hits_and_misses() -> None:
    game = PointingGame()
    game.accumulate(peak_at(2, 3), MASK, "a")
    game.accumulate(peak_at(3, 6), MASK, "b")
    game.accumulate(peak_at(4, 3), MASK, "c")  # one row below the lesion
    game.accumulate(peak_at(2, 7), MASK, "d")  # one column beside it
    figures = game.compute()
    assert figures["n"] == figures["n_patients"] == 4
    assert figures["peak_in_lesion"].value == 0.5
    assert figures["peak_in_lesion"].low == 0.0 and figures["peak_in_lesion"].high == 1.0
    assert figures["random_point"].value == pytest.approx(0.1)
    assert figures["flat"] == figures["nan"] == 0


def test_tied_maxima_score_their_average() -> None:
    game = PointingGame()
    heatmap = peak_at(2, 3)
    heatmap[0, 0] = heatmap[0, 1] = heatmap[0, 2] = 1.0
    game.accumulate(heatmap, MASK, "a")
    assert game.compute()["peak_in_lesion"].value == 0.25


@pytest.mark.parametrize("level", [0.0, 0.5, -3.0])
def test_a_flat_heatmap_is_no_evidence(level: float) -> None:
    game = PointingGame()
    noise = np.random.default_rng(0).uniform(-1e-8, 1e-8, (8, 10)) * abs(level)
    game.accumulate(np.full((8, 10), level) + noise, MASK, "a")
    figures = game.compute()
    assert figures["peak_in_lesion"].value == 0.0
    assert figures["flat"] == 1
    assert figures["n"] == 1


def test_faint_heatmaps_still_count() -> None:
    game = PointingGame()
    game.accumulate(1e-9 * peak_at(2, 3), MASK, "a")
    assert game.compute()["peak_in_lesion"].value == 1.0
    assert game.compute()["flat"] == 0


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_heatmaps_are_counted_misses(broken: float) -> None:
    game = PointingGame()
    heatmap = peak_at(2, 3)
    heatmap[3, 4] = broken
    game.accumulate(heatmap, MASK, "a")
    game.accumulate(peak_at(2, 3), MASK, "b")
    figures = game.compute()
    assert figures["nan"] == 1
    assert figures["peak_in_lesion"].value == 0.5


def test_random_heatmaps_score_like_a_random_point() -> None:
    rng = np.random.default_rng(3)
    game = PointingGame(n_resamples=500)
    for index in range(600):
        mask = np.zeros((16, 16), dtype=bool)
        mask[: rng.integers(2, 16), : rng.integers(2, 16)] = True
        game.accumulate(rng.random((16, 16)), mask, f"p{index}")
    figures = game.compute()
    chance = figures["random_point"].value
    assert figures["peak_in_lesion"].low < chance < figures["peak_in_lesion"].high


def test_intervals_follow_patients_and_seed() -> None:
    games = [PointingGame(seed=seed) for seed in (1, 1, 2)]
    grouped = PointingGame(seed=1)
    rng = np.random.default_rng(0)
    for index in range(60):
        heatmap = peak_at(2, 3) if index // 6 % 2 else peak_at(7, 9)
        heatmap = heatmap + 0.1 * rng.random((8, 10))
        for game in games:
            game.accumulate(heatmap, MASK, f"p{index}")
        grouped.accumulate(heatmap, MASK, f"p{index // 6}")
    first, again, other = (game.compute() for game in games)
    assert first == again
    assert first != other
    wide, narrow = grouped.compute()["peak_in_lesion"], first["peak_in_lesion"]
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_faults_are_named() -> None:
    game = PointingGame()
    with pytest.raises(EvaluationError, match="no radiograph"):
        game.compute()
    with pytest.raises(EvaluationError, match="shape"):
        game.accumulate(np.zeros((8, 9)), MASK, "a")
    with pytest.raises(EvaluationError, match="shape"):
        game.accumulate(np.zeros(80), MASK.ravel(), "a")
    with pytest.raises(EvaluationError, match="mask is empty"):
        game.accumulate(peak_at(2, 3), np.zeros_like(MASK), "a")
    with pytest.raises(EvaluationError, match="no patient"):
        game.accumulate(peak_at(2, 3), MASK, "")
    with pytest.raises(EvaluationError, match="no radiograph"):
        game.compute()  # nothing refused was kept
