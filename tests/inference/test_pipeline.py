"""Stages overlap, keep their order, and hold no more than they may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pneumoscope.inference import pipeline
from pneumoscope.inference.pipeline import batches, in_order


def test_results_come_in_order_and_work_overlaps() -> None:
    both = threading.Barrier(2, timeout=20)

    def work(number: int) -> int:
        both.wait()  # Passed only while another one works.
        return -number

    with ThreadPoolExecutor(2) as pool:
        assert list(in_order(pool, work, range(10), window=2)) == [-n for n in range(10)]


@pytest.mark.parametrize("window", [1, 3])
def test_items_are_taken_no_further_ahead_than_the_window(window: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    with ThreadPoolExecutor(2) as pool:
        for done, _ in enumerate(in_order(pool, abs, items(), window=window)):
            assert taken <= done + window


def test_large_films_stop_the_reading_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MOST_PIXELS", 100)
    running = threading.Semaphore(0)

    class Synchronous(ThreadPoolExecutor):
        """Every result is there as soon as it was asked for, so that the bound is exact."""

        def submit(self, *arguments, **named):  # type: ignore[no-untyped-def]
            future = super().submit(*arguments, **named)
            future.exception()
            running.release()
            return future

    with Synchronous(1) as pool:
        stream = in_order(pool, abs, [60, 60, 60, 1], window=10, pixels=lambda n: n)
        assert next(stream) == 60
        assert running._value == 2
        assert list(stream) == [60, 60, 1]
        # One radiograph above the limit alone is not held back for ever.
        assert list(in_order(pool, abs, [200, 300], window=10, pixels=lambda n: n)) == [200, 300]


def test_an_error_of_the_work_ends_the_stream_and_drops_what_stands_in_line() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise OSError("full")
        return number

    with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="full"):
        list(in_order(pool, work, range(50), window=4))
    assert len(begun) <= 4


def test_batches_close_by_number_and_by_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(numbers: list[int]) -> list[list[int]]:
        return list(batches(numbers, size=3, pixels=lambda n: n))

    assert cut([1] * 7) == [[1, 1, 1], [1, 1, 1], [1]]
    assert cut([]) == []
    monkeypatch.setattr(pipeline, "MOST_PIXELS", 100)
    assert cut([60, 60, 60, 200, 1]) == [[60, 60], [60, 200], [1]]
