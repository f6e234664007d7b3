"""What a run tells the one who started it, also from other processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pneumoscope.training.cache import Progress
from pneumoscope.training.history import Row


@dataclass(frozen=True, slots=True)
class RunListener:
    """What a run tells the one who started it; every part may be None.

    Attributes:
        decoding: called with (done, total) while radiographs are decoded into the cache.
        lungs: called with (done, total) while their lungs are segmented.
        teaching: called with (done, total) while a teacher explains them.
        epoch: called with each finished epoch's figures.
        step: called with (steps taken, steps in all) after each.
        resumed: called with (epochs done, epochs in all) where a run is resumed; they are equal
            where nothing is left to train.
    """

    decoding: Progress | None = None
    lungs: Progress | None = None
    teaching: Progress | None = None
    epoch: Callable[[Row], None] | None = None
    step: Progress | None = None
    resumed: Progress | None = None
