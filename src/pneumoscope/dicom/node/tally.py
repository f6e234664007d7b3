"""What a node counts while it runs, and what it knows of its destination. No patient data."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from threading import Lock
from typing import Literal, get_args

from pneumoscope.dicom.node.failures import Failure

Count = Literal[
    "received", "known", "rejected", "films", "sent", "retried", "failed", "committed",
]  # fmt: skip
COUNTS: tuple[Count, ...] = get_args(Count)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the destination.

    Attributes:
        failure: the last one.
        since: seconds since 1970, of the first failure in a row.
    """

    failure: Failure
    since: float


class Tally:
    """Counters, by several threads.

    | count | label |
    |---|---|
    | received | `dimse` or `stow`: radiographs taken in for the first time |
    | known | radiographs that were in the queue before |
    | rejected | the reason |
    | films | what became of each: `read`, `tags`, `reading`, `gate`, `duplicate`, `failure` |
    | sent | the kind of object |
    | retried | the kind of object |
    | failed | status code, or the label of a `Failure` |
    | committed | `success` or `failure` |
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[Count, Counter[str]] = {name: Counter() for name in COUNTS}
        self._trouble: Trouble | None = None
        self.started = time.time()

    def add(self, name: Count, label: str, number: int = 1) -> None:
        """Count something."""
        with self._lock:
            self._counts[name][label] += number

    def counts(self) -> dict[Count, dict[str, int]]:
        """All counts so far."""
        with self._lock:
            return {name: dict(counter) for name, counter in self._counts.items()}

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with the destination; None if the last sending went well."""
        return self._trouble

    def failing(self, failure: Failure) -> None:
        """The destination failed."""
        since = time.time() if self._trouble is None else self._trouble.since
        self._trouble = Trouble(failure, since)
        self.add("failed", failure.label)

    def works(self) -> None:
        """The destination took what it was sent."""
        self._trouble = None
