"""A thread of the node that works until it is told to stop."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from pneumoscope.dicom.node.queue import Queue


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
