"""What a way of explaining radiographs is: pixels in, probabilities and heatmaps out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

POSITIVE = 1
Films = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Answer:
    """Probabilities (B,) and heatmaps (B, S, S) in [0, 1] of the positive class."""

    probability: NDArray[Any]
    heatmap: NDArray[Any]


class ExplainWay(ABC):
    """Explains batches of the radiographs, one after the other, again and again."""

    def __init__(self, films: Films, batch: int) -> None:
        whole = len(films) // batch * batch
        self._batches = cycle([films[i : i + batch] for i in range(0, whole, batch)])

    def turn(self) -> AbstractContextManager[object]:
        """What holds during a turn: nothing."""
        return nullcontext()

    def step(self) -> int:
        """One batch; gives how many radiographs there were."""
        return len(self.explain(next(self._batches)).probability)

    @abstractmethod
    def explain(self, pixels: Films) -> Answer:
        """The whole work, within a turn."""
