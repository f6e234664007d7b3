"""Films that wait to be judged: a queue with a bound."""

from __future__ import annotations

import math
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What the worker says of one radiograph.

    Attributes:
        key: the radiograph's id.
        finding: as JSON.
        film, heatmap: 16-bit gray PNG on the radiograph's pixels; None for a radiograph that cannot
            be used. A radiograph that the gate flagged has no heatmap.
        width, height: of the radiograph in pixels; 0 for a radiograph that cannot be used.
        source: what DICOM objects carry of a DICOM radiograph, its patient's name among it; None
            for other radiographs, and where nobody asked.
        values: the radiograph's values after the modality transform, as 16-bit gray PNG; None where
            `film` holds them.
        display: what the page shows beside the radiograph, as JSON; None for a radiograph that
            cannot be used.
        reading: what a person read on the radiograph, as JSON; None until somebody did.
        bundle: digest of the bundle that found it; None in results of earlier versions.
    """

    key: str
    finding: str
    film: bytes | None = None
    heatmap: bytes | None = None
    width: int = 0
    height: int = 0
    source: str | None = None
    values: bytes | None = None
    display: str | None = None
    reading: str | None = None
    bundle: str | None = None

    @property
    def size(self) -> int:
        """Bytes it takes in memory, about."""
        parts = (self.finding, self.film, self.heatmap, self.source, self.values, self.display)
        return sum(len(part) for part in parts if part is not None)


@dataclass(slots=True)
class Job:
    """One accepted radiograph.

    Attributes:
        key: its random id.
        path: its bytes, in a private folder.
        answer: set when it is finished, with an exception if the worker died of it twice.
        attempts: how often a worker died while it had this radiograph.
    """

    key: str
    path: Path
    answer: Future[Answer] = field(default_factory=Future)
    attempts: int = 0


class WorkQueue:
    """First in, first out; a radiograph holds its place until it is finished.

    Args:
        bound: places.
        takers: how many workers share the waiting radiographs between them.
    """

    def __init__(self, bound: int, takers: int = 1) -> None:
        self._bound, self._takers = bound, takers
        self._held = 0
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def held(self) -> int:
        """Places taken."""
        return self._held

    def reserve(self, places: int) -> bool:
        """Take places before there are radiographs for them; False if too few are left.

        Whoever reserves a place puts a job in it or releases it.
        """
        with self._changed:
            if self._closed or self._held + places > self._bound:
                return False
            self._held += places
            return True

    def release(self, places: int = 1) -> None:
        """Give places back."""
        with self._changed:
            self._held -= places
            self._changed.notify_all()

    def put(self, job: Job) -> None:
        """Add a job whose place is reserved."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify_all()

    def put_back(self, jobs: list[Job]) -> None:
        """Put jobs that were taken at the head again, in their order."""
        with self._changed:
            self._waiting.extendleft(reversed(jobs))
            self._changed.notify_all()

    def take(self, most: int, *, wait: bool, idle: bool) -> list[Job] | None:
        """The next jobs; one that a worker died with comes alone.

        Args:
            most: so many at most.
            wait: until there is one.
            idle: whether the worker has none, so that it may get one alone.

        Returns:
            None if the queue is closed and every place is free: nothing will come.
        """
        with self._changed:
            while wait and not self._waiting:
                if self._closed and self._held == 0:
                    return None
                self._changed.wait()
            taken: list[Job] = []
            share = min(most, math.ceil(len(self._waiting) / self._takers))
            while self._waiting and len(taken) < share:
                suspect = self._waiting[0].attempts > 0
                if suspect and (taken or not idle):
                    break
                taken.append(self._waiting.popleft())
                if suspect:
                    break
            return taken

    def close(self) -> None:
        """Accept nothing more; what has a place is still served."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
