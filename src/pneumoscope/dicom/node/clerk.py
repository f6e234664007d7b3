"""`dicom-node status`, `retry` and `drop`: what people ask of a queue that a node may hold.

Only the holder of a queue changes it. A request is a file in `requests`, which the running node
answers; where no node runs, the one who asks holds the queue for a moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pneumoscope.dicom.node.loop import Loop
from pneumoscope.dicom.node.queue import Queue, QueueInUse
from pneumoscope.dicom.node.survey import STATUS_FILE, survey
from pneumoscope.errors import OutputError
from pneumoscope.files import write_json

Action = Literal["retry", "drop"]
_PERIOD_SECONDS, _STATUS_SECONDS, _PATIENCE_SECONDS = 0.5, 5.0, 60.0


def ask(folder: Path, action: Action, what: Sequence[str]) -> int:
    """Retry or drop what waits in a queue.

    Args:
        folder: of the queue.
        action: what to do.
        what: states, keys, or their first digits.

    Returns:
        How many files were put back or deleted.

    Raises:
        OutputError: the folder holds no queue, or the node that holds it does not answer.
    """
    survey(folder)
    try:
        queue = Queue(folder)
    except QueueInUse:
        return _ask_node(folder, action, what)
    try:
        return perform(queue, action, what)
    finally:
        queue.close()


def perform(queue: Queue, action: Action, what: Sequence[str]) -> int:
    """As `ask`, by the holder of the queue."""
    chosen = {found for text in what for found in queue.find(text)}
    do = queue.retry if action == "retry" else queue.drop
    return sum(do(state, key) for state, key in sorted(chosen))


def _ask_node(folder: Path, action: Action, what: Sequence[str]) -> int:
    path = folder / "requests" / f"{uuid4().hex}.json"
    answer = path.with_suffix(".answer")
    write_json(path, {"action": action, "what": list(what)})
    until = time.monotonic() + _PATIENCE_SECONDS
    try:
        while not answer.exists():
            if time.monotonic() > until:
                raise OutputError(
                    "the node that holds this queue does not answer",
                    path=folder,
                    remedy="see its log, or stop it and ask again",
                )
            time.sleep(_PERIOD_SECONDS / 5)
        return int(json.loads(answer.read_text("utf-8"))["files"])
    finally:
        path.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)


class Clerk(Loop):
    """Answers requests, and writes the node's status into its queue's folder.

    Args:
        queue: the node's.
        status: gives the node's status as JSON.
    """

    def __init__(self, queue: Queue, status: Callable[[], dict[str, Any]]) -> None:
        super().__init__(queue, "clerk")
        self._status = status
        self._next = 0.0

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for path in sorted((self._queue.folder / "requests").glob("[0-9a-f]*.json")):
                    self._answer(path)
                if time.monotonic() >= self._next:
                    self._next = time.monotonic() + _STATUS_SECONDS
                    write_json(self._queue.folder / STATUS_FILE, self._status())
            except (OSError, OutputError):  # A full disk; it is told of elsewhere.
                self._next = time.monotonic() + _STATUS_SECONDS
            self._stop.wait(_PERIOD_SECONDS)
        (self._queue.folder / STATUS_FILE).unlink(missing_ok=True)

    def _answer(self, path: Path) -> None:
        try:
            asked = json.loads(path.read_text("utf-8"))
            number = perform(self._queue, asked["action"], asked["what"])
        except (ValueError, LookupError, TypeError):  # Not one of ours.
            number = 0
        write_json(path.with_suffix(".answer"), {"files": number})
        path.unlink(missing_ok=True)
