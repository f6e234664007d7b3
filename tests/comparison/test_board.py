"""The board: where runs are, and the time left, checked by hand."""

from __future__ import annotations

import pytest

from pneumoscope.comparison.run_progress import Board, RunProgress, duration_text
from pneumoscope.training.history import Row


def rows(*seconds: float, auc: float = 0.9) -> list[Row]:
    return [
        {"epoch": float(i), "val_roc_auc": auc - i / 10, "seconds": s}
        for i, s in enumerate(seconds)
    ]


def board_of(*runs: RunProgress) -> tuple[Board, list[tuple[str, bool]]]:
    told: list[tuple[str, bool]] = []
    return Board(runs, lambda run, news: told.append((run.name, news))), told


def test_nothing_is_said_of_the_time_before_an_epoch_is_finished() -> None:
    board, _ = board_of(RunProgress("a", "resnet18", 3, 2.0))
    assert board.seconds_left() is None


def test_time_left_of_the_run_itself_of_its_twin_and_by_gmacs() -> None:
    board, _ = board_of(
        RunProgress("a1", "a", 3, 2.0),
        RunProgress("b1", "b", 3, 6.0),
        RunProgress("a2", "a", 3, 2.0),
    )
    board.move("a1", "training")
    board.epochs("a1", rows(10.0))
    # a1: two epochs of 10 s; b1: three of 10 / 2 * 6 = 30 s; a2: three of 10 s.
    assert board.seconds_left() == pytest.approx(20 + 90 + 30)
    board.steps("a1", 45, 90)  # half of three epochs: half of the second
    assert board.seconds_left() == pytest.approx(15 + 90 + 30)
    board.move("a1", "done")
    board.move("b1", "training")
    board.epochs("b1", rows(12.0))
    assert board.seconds_left() == pytest.approx(24 + 30)
    board.move("b1", "failed", "diverged")
    assert board.seconds_left() == pytest.approx(30)


def test_measuring_counts_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 107.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    board, _ = board_of(RunProgress("a1", "a", 1, 2.0), RunProgress("a2", "a", 1, 2.0))
    board.move("a1", "training")
    board.epochs("a1", rows(10.0))
    board.move("a1", "measuring")
    board.move("a1", "done")
    assert board.seconds_left() == pytest.approx(10 + 7)


def test_a_repeated_epoch_replaces_the_one_before_the_kill() -> None:
    board, told = board_of(RunProgress("a", "a", 3, 1.0))
    board.epochs("a", rows(10.0, 11.0), news=False)
    assert told == []
    board.epochs("a", [{"epoch": 1.0, "val_roc_auc": 0.95, "seconds": 20.0}])
    run = board.runs[0]
    assert run.seconds == [10.0, 20.0] and run.done == 2 and run.val_roc_auc == 0.95
    assert told == [("a", True)]


def test_steps_are_no_news_and_states_are() -> None:
    board, told = board_of(RunProgress("a", "a", 2, 1.0))
    board.move("a", "training")
    board.part("a", "decoding", 3, 9)
    assert board.runs[0].detail == "decoding 3/9" and board.runs[0].words == "epoch 1/2"
    board.steps("a", 1, 8)
    assert board.runs[0].share == pytest.approx(0.25)
    assert told == [("a", True), ("a", False), ("a", False)]


def test_durations_are_as_exact_as_an_estimate_deserves() -> None:
    assert [duration_text(s) for s in (0.4, 61, 600, 12_000)] == [
        "0 s", "61 s", "10 min", "3 h 20 min",
    ]  # fmt: skip
