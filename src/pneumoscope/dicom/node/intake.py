"""What is taken into the queue, however it came, and what the sender is told.

A radiograph is answered with success when it is on disk, never before. Everything else gets the
status that PS3.4 B.2.3 has for it, so that the sender keeps what was not taken.
"""

from __future__ import annotations

import errno
import logging
import ssl
from dataclasses import dataclass, field
from io import BytesIO
from typing import Literal

from pneumoscope.dicom.node.log import say
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.settings import NodeSettings, tls_reason
from pneumoscope.dicom.node.statuses import (
    MISMATCH,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
    UNKNOWN_CLASS,
)
from pneumoscope.dicom.node.tally import Tally

FILMS = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
)
"""CR, DX for presentation and for processing (refused later, by its tags), Secondary Capture."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


@dataclass(frozen=True, slots=True)
class Named:
    """What an object calls itself: its SOP class and instance UIDs, and its study's."""

    kind: str
    instance: str
    study: str | None = field(default=None, compare=False)


class Intake:
    """Takes radiographs into the queue.

    Args:
        settings: the node's.
        queue: the node's.
        tally: the node's.
    """

    def __init__(self, settings: NodeSettings, queue: Queue, tally: Tally) -> None:
        self.settings, self._queue, self.tally = settings, queue, tally

    def take(
        self,
        content: bytes,
        caller: str,
        way: Literal["dimse", "stow"],
        meant: Named | None = None,
    ) -> int:
        """Take a radiograph.

        Args:
            content: a DICOM file.
            caller: who sends it, for the log.
            way: by which it came.
            meant: what its sender calls it; None if it is called by its own UIDs.

        Returns:
            The DICOM status for the sender.
        """
        try:
            problem = self._problem(content, meant)
            if problem is not None:
                return self.refuse(*problem, caller)
            key, new = self._queue.accept(content)
        except OSError as error:
            if error.errno in _FULL:
                return self.refuse(OUT_OF_RESOURCES, "disk_full", caller)
            return self.refuse(PROCESSING_FAILURE, "disk_error", caller)
        except Exception:  # The sender must hear of it; what it says may quote the radiograph.
            return self.refuse(NOT_UNDERSTOOD, "error", caller)
        self.tally.add("received" if new else "known", way)
        verb = "accepted" if new else "knew"
        text = "{verb} radiograph {film} from {caller}"
        event = "film.accepted" if new else "film.known"
        say(logging.INFO, event, text, verb=verb, film=key[:12], caller=caller, way=way)
        return SUCCESS

    def _problem(self, content: bytes, meant: Named | None) -> tuple[int, str] | None:
        """Status and reason for what is not taken."""
        named = name_of(content)
        if named is None:
            return NOT_UNDERSTOOD, "not_understood"
        if meant is not None and meant != named:
            return MISMATCH, "mismatch"
        if named.kind not in FILMS:
            return UNKNOWN_CLASS, "no_film"
        if self._queue.free() < self.settings.min_free + len(content):
            return OUT_OF_RESOURCES, "disk_full"
        return None

    def admits(self, caller: str) -> bool:
        """Whether an address may connect; counts and logs that one may not."""
        if self.settings.admits(caller):
            return True
        self.tally.add("rejected", "address")
        text = "refused a connection from {caller}: not on the list"
        say(logging.WARNING, "connection.refused", text, caller=caller)
        return False

    def tls_failed(self, caller: str, error: OSError) -> None:
        """Count and log why TLS with a caller failed, unless it only looked whether we listen."""
        if isinstance(error, (ssl.SSLEOFError, ConnectionError)):
            return
        self.tally.add("rejected", "tls")
        text = "TLS with {caller} failed: {reason}"
        say(logging.WARNING, "tls.failed", text, caller=caller, reason=tls_reason(error))

    def refuse(self, status: int, reason: str, caller: str) -> int:
        """Count and log that an object is not taken, and give its status."""
        self.tally.add("rejected", reason)
        say(
            logging.WARNING,
            "object.refused",
            "refused an object from {caller}: {reason}, status {status}",
            caller=caller,
            reason=reason.replace("_", " "),
            status=f"{status:04X}",
        )
        return status


def name_of(content: bytes) -> Named | None:
    """What a DICOM file calls itself; None if it cannot be read."""
    from pydicom import dcmread

    wanted = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"]
    try:
        dataset = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=wanted)
        study = str(dataset.get("StudyInstanceUID") or "")
        return Named(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), study)
    except Exception:
        return None
