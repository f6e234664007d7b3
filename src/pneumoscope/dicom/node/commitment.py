"""Storage commitment (PS3.4 annex J): what was sent is deleted when the destination keeps it.

The node asks with N-ACTION, in one transaction for what has arrived. The destination answers with
N-EVENT-REPORT, on the same association or on one that it opens to the node, now or after a restart:
transactions are on disk. What it does not keep is sent again, at most five times.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from pneumoscope.dicom.node.destinations import associate, end, watched
from pneumoscope.dicom.node.failures import ENDED, DestinationError, Failure
from pneumoscope.dicom.node.log import say
from pneumoscope.dicom.node.loop import Courier
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.settings import NodeSettings, Peer
from pneumoscope.dicom.node.statuses import PROCESSING_FAILURE, SUCCESS
from pneumoscope.dicom.node.tally import Tally
from pneumoscope.errors import OutputError
from pneumoscope.files import write_json

PUSH_MODEL = "1.2.840.10008.1.20.1"
_INSTANCE = "1.2.840.10008.1.20.1.1"
_MOST_AT_ONCE, _MOST_REFUSALS = 100, 5
_IDLE_SECONDS = 2.0
_SAME_ASSOCIATION_SECONDS = 2.0
_ANSWERED_WITHIN_SECONDS = 30 * 86400.0
_NOT_OFFERED = Failure(
    "no_commitment",
    "the destination offers no storage commitment",
    "allow it there for the node's title, or leave --commit out",
)


class Committer(Courier):
    """Asks the destination whether it keeps what it was sent, and handles its answers.

    Args:
        queue: the node's.
        settings: the node's.
        peer: the destination.
        tally: the node's.
        again: seconds after which an unanswered question is asked again.

    Raises:
        SettingsError: TLS cannot start.
    """

    def __init__(
        self, queue: Queue, settings: NodeSettings, peer: Peer, tally: Tally, again: float = 600.0
    ) -> None:
        super().__init__(queue, "committer", settings, peer, tally)
        self._peer, self._again = peer, again
        self._tls = None if settings.tls_out is None else settings.tls_out.client()
        self._asked: dict[Path, float] = {}
        self._refusals: Counter[Path] = Counter()
        self._lock = threading.Lock()
        for file in (queue.folder / "transactions").iterdir():
            if time.time() - file.stat().st_mtime > _ANSWERED_WITHIN_SECONDS:
                file.unlink()

    def _idle_seconds(self) -> float:
        return _IDLE_SECONDS

    def _warn(self, failure: Failure) -> None:
        say(
            logging.WARNING,
            "commitment.failed",
            "{destination}: {problem}. Asking again in {seconds:.1f} s",
            destination=self._peer,
            reason=failure.label,
            problem=failure.problem,
            seconds=self._delay,
        )

    def _due(self) -> list[Path]:
        now = time.monotonic()
        waiting = (self._queue.folder / "uncommitted").glob("*/*.dcm")
        with self._lock:
            due = [
                path for path in waiting if self._asked.get(path, -self._again) <= now - self._again
            ]
        return sorted(due)[:_MOST_AT_ONCE]

    def _handle(self, due: list[Path]) -> None:
        from pynetdicom import evt
        from pynetdicom.presentation import build_context

        transaction, request = self._begin(due)
        try:
            association = associate(
                self._settings.title,
                self._peer,
                [build_context(PUSH_MODEL)],
                self._tls,
                [(evt.EVT_N_EVENT_REPORT, self.reported)],
            )
        except DestinationError as error:
            transaction.unlink(missing_ok=True)
            if error.failure.label == "no_context":
                raise DestinationError(_NOT_OFFERED) from error
            raise
        try:
            with watched(association):
                answer, _ = association.send_n_action(request, 1, PUSH_MODEL, _INSTANCE)
            status = answer.get("Status")
            if status != SUCCESS:
                transaction.unlink(missing_ok=True)
                raise DestinationError(_refused(status))
            with self._lock:
                self._asked.update(dict.fromkeys(due, time.monotonic()))
            say(
                logging.INFO,
                "commitment.asked",
                "asked {destination} whether it keeps {objects} objects",
                destination=self._peer,
                objects=len(due),
            )
            self._await(transaction, association)
        except RuntimeError as error:
            raise DestinationError(ENDED) from error
        finally:
            end(association)

    def _begin(self, paths: Iterable[Path]) -> tuple[Path, Any]:
        """A new transaction on disk, and its request."""
        from pydicom import Dataset, dcmread

        request, items, names = Dataset(), [], {}
        for path in paths:
            made = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"])
            item = Dataset()
            item.ReferencedSOPClassUID = made.SOPClassUID
            item.ReferencedSOPInstanceUID = made.SOPInstanceUID
            items.append(item)
            names[str(made.SOPInstanceUID)] = f"{path.parent.name}/{path.name}"
        request.TransactionUID = f"2.25.{uuid4().int}"
        request.ReferencedSOPSequence = items
        file = self._queue.folder / "transactions" / f"{request.TransactionUID}.json"
        write_json(file, names)
        return file, request

    def _await(self, transaction: Path, association: Any) -> None:
        """Many destinations answer on the same association, which must be open for it."""
        until = time.monotonic() + _SAME_ASSOCIATION_SECONDS
        while transaction.exists() and association.is_established and time.monotonic() < until:
            if self._stop.wait(0.05):
                return

    def reported(self, event: Any) -> tuple[int, None]:
        """Handle an answer, from whichever association; its transaction must be one of ours."""
        try:
            told = event.event_information
            uid = str(told.TransactionUID)
            file = self._queue.folder / "transactions" / f"{uid}.json"
            if not re.fullmatch(r"2\.25\.\d{1,39}", uid) or not file.exists():
                text = "an answer about storage to no question of this node"
                say(logging.WARNING, "commitment.unknown", text)
                return PROCESSING_FAILURE, None
            self._settle(json.loads(file.read_text("utf-8")), told)
            file.unlink(missing_ok=True)
        except (OSError, OutputError, ValueError, AttributeError, TypeError):
            return PROCESSING_FAILURE, None
        return SUCCESS, None

    def _settle(self, names: Mapping[str, str], told: Any) -> None:
        kept = {
            str(item.ReferencedSOPInstanceUID) for item in told.get("ReferencedSOPSequence", [])
        }
        lost = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0)
            for item in told.get("FailedSOPSequence", [])
        }
        for instance, name in names.items():
            path = self._queue.folder / "uncommitted" / name
            if instance in lost:
                self._lost(path, lost[instance])
            elif instance in kept:
                self._kept(path)

    def _kept(self, path: Path) -> None:
        if not path.exists():  # Told before, or dropped.
            return
        self._queue.forget(path)
        self._tally.add("committed", "success")
        self._clear(path)
        text = "{destination} keeps {film}/{kind}"
        say(logging.INFO, "object.committed", text, **self._fields(path))

    def _lost(self, path: Path, reason: int) -> None:
        if not path.exists():
            return
        self._tally.add("committed", "failure")
        self._refusals[path] += 1
        gives_up = self._refusals[path] >= _MOST_REFUSALS
        again = "kept as undeliverable" if gives_up else "sending again"
        say(
            logging.ERROR if gives_up else logging.WARNING,
            "object.not_committed",
            "{destination} does not keep {film}/{kind}: reason {reason}; {again}",
            **self._fields(path),
            reason=f"{reason:04X}",
            again=again,
        )
        self._queue.put_back(path, "undeliverable" if gives_up else "results")
        self._clear(path, refusals=gives_up)

    def _clear(self, path: Path, *, refusals: bool = True) -> None:
        with self._lock:
            self._asked.pop(path, None)
        if refusals:
            self._refusals.pop(path, None)


def _refused(status: int | None) -> Failure:
    if status is None:
        return Failure("timeout", "the destination does not answer about storage", "see its log")
    words = f"the destination refuses to commit storage with status {status:04X}"
    return Failure(f"{status:04X}", words, "see its log")
