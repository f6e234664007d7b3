"""The sending side: objects out of the queue to the destination, as long as it takes."""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path

from pneumoscope.dicom.node.destinations import line_to
from pneumoscope.dicom.node.failures import Failure
from pneumoscope.dicom.node.log import say
from pneumoscope.dicom.node.loop import Courier
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.settings import NodeSettings, Peer, WebPeer
from pneumoscope.dicom.node.statuses import UNKNOWN_CLASS, status_words
from pneumoscope.dicom.node.tally import Tally

_IDLE_SECONDS = 5.0
_MOST_AT_ONCE = 100
_MOST_REFUSALS = 5


# Status codes of C-STORE: PS3.4 B.2.3, and for all services PS3.7 annex C.
_WARNINGS = (0x0001, 0x0107, 0x0116)
_DUPLICATE = 0x0111
_INVALID = (0x0105, 0x0106, 0x0117, 0x0118, 0x0120, 0x0121, 0x0212)


def arrived(status: int) -> bool:
    """Whether the destination has the object: success, a warning, or it had it already."""
    return status in (0, _DUPLICATE, *_WARNINGS) or status >> 12 == 0xB


def blames_object(status: int) -> bool:
    """Whether the object itself is refused (A9xx, Cxxx), not for want of room or time."""
    return status >> 8 == 0xA9 or status >> 12 == 0xC or status in _INVALID


def _refusal(status: int) -> Failure:
    """The failure that a status tells of."""
    words = status_words(status)
    if status == UNKNOWN_CLASS:
        remedy = "allow this kind of object there, or leave it out of --dicom-output"
    elif blames_object(status):
        remedy = "see the destination's log; mend it, then `pneumoscope dicom-node retry`"
    else:
        remedy = "make room there, or see its log; the node sends again by itself"
    return Failure(f"{status:04X}", f"the destination refuses objects with status {words}", remedy)


def _remark(status: int) -> str:
    if status == _DUPLICATE:
        return ", which had it already"
    return f", with warning {status:04X}" if status else ""


class Sender(Courier):
    """Sends objects until told to stop.

    While the destination does not answer, nothing is sent, for longer and longer. An object that it
    refuses waits on its own, longer and longer, and keeps no other waiting. An object that it has
    already is done. One that it refuses five times for its content is kept as undeliverable.

    Args:
        queue: the node's.
        settings: the node's.
        destination: where to.
        tally: the node's.

    Raises:
        SettingsError: TLS cannot start.
    """

    def __init__(
        self, queue: Queue, settings: NodeSettings, destination: Peer | WebPeer, tally: Tally
    ) -> None:
        super().__init__(queue, "sender", settings, destination, tally)
        self._line = line_to(settings, destination)
        self._refused: dict[Path, tuple[float, float]] = {}
        self._times: Counter[Path] = Counter()

    def _warn(self, failure: Failure) -> None:
        say(
            logging.WARNING,
            "destination.failed",
            "{destination}: {problem}. {remedy}. Sending again in {seconds:.1f} s",
            destination=self._destination,
            reason=failure.label,
            problem=failure.problem,
            remedy=failure.remedy[:1].upper() + failure.remedy[1:],
            seconds=self._delay,
        )

    def _due(self) -> list[Path]:
        now = time.monotonic()
        outgoing = [path for _, path in self._queue.outgoing()]
        return [path for path in outgoing if self._refused.get(path, (0.0, 0.0))[0] <= now]

    def _idle_seconds(self) -> float:
        nearest = min((when for when, _ in self._refused.values()), default=float("inf"))
        return min(_IDLE_SECONDS, max(0.01, nearest - time.monotonic()))

    def _handle(self, due: list[Path]) -> None:
        for path, status in self._line.send(due[:_MOST_AT_ONCE]):
            self._answered(path, status)
            if self._stop.is_set():
                return

    def _answered(self, path: Path, status: int) -> None:
        self._times[path] += 1
        if self._times[path] > 1:
            self._tally.add("retried", path.stem)
        if arrived(status):
            leave = self._queue.uncommitted if self._settings.commit else self._queue.sent
            leave(path)
            self._tally.add("sent", path.stem)
            self._tally.works()
            text = "sent {film}/{kind} to {destination}" + _remark(status)
            self._say(logging.INFO, "object.sent", text, path, status)
        else:
            self._tally.failing(_refusal(status))
            if not self._gives_up(path, status):
                _, before = self._refused.get(path, (0.0, 0.0))
                delay = self._longer(before) if before else self._settings.first_retry
                self._refused[path] = (time.monotonic() + delay, delay)
                text = "{destination} refused {film}/{kind}: status {words}"
                self._say(logging.WARNING, "object.refused", text, path, status)
                return
            self._queue.undeliverable(path)
        self._refused.pop(path, None)
        del self._times[path]

    def _gives_up(self, path: Path, status: int) -> bool:
        """Whether an object is not sent again, and says so."""
        if status == UNKNOWN_CLASS:
            text = "{destination} takes no {kind}: kept as undeliverable"
        elif blames_object(status) and self._times[path] >= _MOST_REFUSALS:
            text = "{destination} refused {film}/{kind} {times} times: status {words}; kept as "
            text += "undeliverable"
        else:
            return False
        self._say(logging.ERROR, "object.undeliverable", text, path, status)
        return True

    def _say(self, level: int, event: str, text: str, path: Path, status: int) -> None:
        say(
            level,
            event,
            text,
            **self._fields(path),
            status=f"{status:04X}",
            words=status_words(status),
            times=self._times[path],
        )
