"""The sending side: objects out of the queue to the destination by C-STORE, as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.settings import NodeSettings, Peer

LOG = logging.getLogger("pneumoscope.node")
_IDLE_SECONDS = 5.0
_MOST_AT_ONCE = 100
_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.11.1",
)
"""Secondary Capture, Segmentation, Comprehensive SR, Grayscale Softcopy Presentation State."""
_NOT_SUPPORTED = 0x0122
_TIMEOUT_SECONDS = 30.0


class Sender:
    """Sends objects until told to stop; one that does not arrive is sent again, later and later.

    Args:
        queue: the node's.
        settings: the node's; their destination must be given.
    """

    def __init__(self, queue: Queue, settings: NodeSettings, destination: Peer) -> None:
        self._queue, self._settings, self._destination = queue, settings, destination
        self._tls = None if settings.tls_out is None else settings.tls_out.client()
        self._stop = threading.Event()
        self._delay = settings.first_retry
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float = 60.0) -> None:
        """End after the object in hand."""
        self._stop.set()
        self._queue.wake()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                outgoing = [path for _, path in self._queue.outgoing()]
                if not outgoing:
                    self._queue.wait(_IDLE_SECONDS)
                    continue
                arrived = self._send(outgoing[:_MOST_AT_ONCE])
            except Exception as error:  # What it says may quote the object.
                LOG.error("sending to %s failed: %s", self._destination, type(error).__name__)
                arrived = False
            self._wait_unless(arrived)

    def _wait_unless(self, arrived: bool) -> None:
        if arrived:
            self._delay = self._settings.first_retry
            return
        LOG.warning("%s: sending again in %.0f s", self._destination, self._delay)
        self._stop.wait(self._delay)
        self._delay = min(2 * self._delay, self._settings.longest_retry)

    def _send(self, paths: Sequence[Path]) -> bool:
        """Send objects over one association; whether all were taken, or are out of the way."""
        association = self._associate()
        if not association.is_established:
            LOG.warning("%s does not answer or rejects us", self._destination)
            return False
        arrived = True
        try:
            for path in paths:
                if self._stop.is_set() or not association.is_established:
                    return False
                arrived = self._send_one(association, path) and arrived
        finally:
            if association.is_established:
                association.release()
        return arrived

    def _associate(self) -> Any:
        from pynetdicom import AE

        entity = AE(ae_title=self._settings.title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_SECONDS
        entity.connection_timeout = _TIMEOUT_SECONDS
        for kind in _CLASSES:
            entity.add_requested_context(kind, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
        peer = self._destination
        tls = None if self._tls is None else (self._tls, peer.host)
        return entity.associate(peer.host, peer.port, ae_title=peer.title, tls_args=tls)

    def _send_one(self, association: Any, path: Path) -> bool:
        started = time.monotonic()
        try:
            status = association.send_c_store(path).get("Status")
        except ValueError:  # The destination accepted no context for this kind of object.
            status = _NOT_SUPPORTED
        name = f"{path.parent.name[:12]}/{path.name}"
        if status is None:
            LOG.warning("%s did not answer about %s", self._destination, name)
            return False
        if status == 0 or status >> 12 == 0xB:  # Success, or taken with a warning.
            self._queue.sent(path)
            LOG.info("sent %s to %s in %.1f s", name, self._destination, time.monotonic() - started)
            return True
        if status == _NOT_SUPPORTED:
            LOG.error("%s takes no %s: kept as undeliverable", self._destination, path.stem)
            self._queue.undeliverable(path)
            return True
        LOG.warning("%s refused %s: status %04X", self._destination, name, status)
        return False
