"""The sending side: objects out of the queue to the destination, as long as it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from pneumoscope.dicom.node.lines import NOT_SUPPORTED, line_to
from pneumoscope.dicom.node.loop import Loop
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.settings import NodeSettings, Peer, WebPeer

LOG = logging.getLogger("pneumoscope.node")
_IDLE_SECONDS = 5.0
_MOST_AT_ONCE = 100


class Sender(Loop):
    """Sends objects until told to stop.

    While the destination does not answer, nothing is sent, for longer and longer. An object that it
    refuses waits on its own, longer and longer, and keeps no other waiting.

    Args:
        queue: the node's.
        settings: the node's.
        destination: where to.

    Raises:
        SettingsError: TLS cannot start.
    """

    def __init__(self, queue: Queue, settings: NodeSettings, destination: Peer | WebPeer) -> None:
        super().__init__(queue, "sender")
        self._settings, self._destination = settings, destination
        self._line = line_to(settings, destination)
        self._delay = settings.first_retry
        self._refused: dict[Path, tuple[float, float]] = {}

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                due = self._due()
                if due:
                    self._send(due)
                    self._delay = self._settings.first_retry
                else:
                    self._queue.wait(self._seconds_to_next())
            except Exception as error:  # What it says may quote the object.
                LOG.warning("%s: %s", self._destination, type(error).__name__)
                LOG.warning("%s: sending again in %.1f s", self._destination, self._delay)
                self._stop.wait(self._delay)
                self._delay = self._longer(self._delay)

    def _due(self) -> list[Path]:
        now = time.monotonic()
        outgoing = [path for _, path in self._queue.outgoing()]
        return [path for path in outgoing if self._refused.get(path, (0.0, 0.0))[0] <= now]

    def _seconds_to_next(self) -> float:
        nearest = min((when for when, _ in self._refused.values()), default=float("inf"))
        return min(_IDLE_SECONDS, max(0.01, nearest - time.monotonic()))

    def _send(self, paths: Sequence[Path]) -> None:
        for path, status in self._line.send(paths[:_MOST_AT_ONCE]):
            self._answered(path, status)
            if self._stop.is_set():
                return

    def _answered(self, path: Path, status: int) -> None:
        name = f"{path.parent.name[:12]}/{path.name}"
        if status == 0 or status >> 12 == 0xB:  # Success, or taken with a warning.
            self._queue.sent(path)
            LOG.info("sent %s to %s", name, self._destination)
        elif status == NOT_SUPPORTED:
            self._queue.undeliverable(path)
            LOG.error("%s takes no %s: kept as undeliverable", self._destination, path.stem)
        else:
            _, before = self._refused.get(path, (0.0, 0.0))
            delay = self._longer(before) if before else self._settings.first_retry
            self._refused[path] = (time.monotonic() + delay, delay)
            LOG.warning("%s refused %s: status %04X", self._destination, name, status)
            return
        self._refused.pop(path, None)

    def _longer(self, delay: float) -> float:
        return min(2 * delay, self._settings.longest_retry)
