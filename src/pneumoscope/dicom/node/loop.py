"""Threads of the node that work until they are told to stop."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from pneumoscope.dicom.node.failures import DestinationError, Failure
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.settings import NodeSettings, Peer, WebPeer
from pneumoscope.dicom.node.tally import Tally


class Loop(ABC):
    """Runs `_run` in a thread of its own, which ends soon after `_stop` is set.

    Args:
        queue: the node's; whoever waits for it is woken to stop.
        name: of the thread.
    """

    def __init__(self, queue: Queue, name: str) -> None:
        self._queue = queue
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def stop(self, seconds: float = 60.0) -> None:
        """End after what is in hand, for which so long is waited at most."""
        self._stop.set()
        self._queue.wake()
        self._thread.join(seconds)

    @abstractmethod
    def _run(self) -> None: ...

    def _looks(self) -> Iterator[int]:
        """The queue's `changes` before each look at it, until the loop is told to stop."""
        while True:
            seen = self._queue.changes
            if self._stop.is_set():
                return
            yield seen


class Courier(Loop):
    """Does what is due at the destination; after a failure it waits, longer and longer.

    Args:
        queue: the node's.
        name: of the thread.
        settings: the node's.
        destination: of the objects.
        tally: the node's.
    """

    def __init__(
        self,
        queue: Queue,
        name: str,
        settings: NodeSettings,
        destination: Peer | WebPeer,
        tally: Tally,
    ) -> None:
        super().__init__(queue, name)
        self._settings, self._destination, self._tally = settings, destination, tally
        self._delay = settings.first_retry

    def _run(self) -> None:
        for seen in self._looks():
            try:
                due = self._due()
                if due:
                    self._handle(due)
                    self._delay = self._settings.first_retry
                else:
                    self._queue.wait(self._idle_seconds(), seen)
            except DestinationError as error:
                self._failed(error.failure)
            except Exception as error:  # What it says may quote the object.
                self._failed(Failure("error", type(error).__name__, "see above; report it"))

    def _failed(self, failure: Failure) -> None:
        self._tally.failing(failure)
        self._warn(failure)
        self._stop.wait(self._delay)
        self._delay = self._longer(self._delay)

    def _longer(self, delay: float) -> float:
        return min(2 * delay, self._settings.longest_retry)

    def _fields(self, path: Path) -> dict[str, object]:
        """What the log says of an object."""
        return {
            "film": path.parent.name[:12],
            "kind": path.stem,
            "destination": self._destination,
        }

    @abstractmethod
    def _due(self) -> list[Path]:
        """Objects that something is to be done about now."""

    @abstractmethod
    def _handle(self, due: list[Path]) -> None:
        """Do it.

        Raises:
            DestinationError: the destination does not answer, or no longer.
        """

    @abstractmethod
    def _idle_seconds(self) -> float:
        """How long nothing is due, unless the queue changes."""

    @abstractmethod
    def _warn(self, failure: Failure) -> None:
        """Log a failure, after which `_delay` seconds are waited."""
