"""Stages that overlap: work in threads, results in order, bounded by number and by pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

MOST_PIXELS = 2**26
"""Pixels of all radiographs that wait at one place: 256 MiB as float32. One alone may be larger."""


def in_order(
    pool: Executor,
    work: Callable[[Given], Made],
    items: Iterable[Given],
    *,
    window: int,
    pixels: Callable[[Made], int] = lambda _: 0,
) -> Iterator[Made]:
    """Apply `work` to items in the pool's threads; results come in the items' order.

    Items are taken no further ahead than `window`, and no further while results of more than
    `MOST_PIXELS` pixels wait. What stands in line when the caller stops is dropped.

    Args:
        pool: threads.
        work: what is done with an item; an exception of it is raised here.
        items: taken in the caller's own thread.
        window: items begun and not yet given out, at most.
        pixels: how many pixels a result holds.
    """
    waiting: deque[Future[Made]] = deque()

    def is_full() -> bool:
        if len(waiting) >= window:
            return True
        finished = (each for each in waiting if each.done() and each.exception() is None)
        return sum(pixels(each.result()) for each in finished) > MOST_PIXELS

    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            while waiting and is_full():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()


def batches(
    items: Iterable[Made], *, size: int, pixels: Callable[[Made], int]
) -> Iterator[list[Made]]:
    """Lists of up to `size` items, closed early once they exceed `MOST_PIXELS` pixels."""
    batch: list[Made] = []
    held = 0
    for item in items:
        batch.append(item)
        held += pixels(item)
        if len(batch) >= size or held > MOST_PIXELS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
