"""A node at work: its queue, its three threads, and its silence about patients."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pneumoscope.dicom.deidentify import Pseudonyms
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.scp import start_scp
from pneumoscope.dicom.node.sender import Sender
from pneumoscope.dicom.node.settings import NodeSettings
from pneumoscope.dicom.node.worker import Worker
from pneumoscope.dicom.quiet import hush

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Engine

LOG = logging.getLogger("pneumoscope.node")


class Node:
    """A DICOM node between `start` and `stop`.

    Args:
        settings: what it is told.
        engine: a loaded bundle.

    Attributes:
        queue: its queue.

    Raises:
        OutputError: the queue is in use, or the port is taken.
        SettingsError: the key or TLS files are none.
    """

    def __init__(self, settings: NodeSettings, engine: Engine) -> None:
        pseudonyms = None if settings.key is None else Pseudonyms.from_file(settings.key)
        hush()
        self.settings = settings
        self.queue = Queue(settings.queue)
        self._worker = Worker(self.queue, engine, settings.kinds, pseudonyms, gate=settings.gate)
        self._sender = (
            None
            if settings.destination is None
            else Sender(self.queue, settings, settings.destination)
        )
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen, read, send; what an earlier node left in the queue first."""
        left = self.queue.counts()
        if left["accepted"] or left["results"]:
            LOG.info("from before: %d films, results of %d", left["accepted"], left["results"])
        self._server = start_scp(self.settings, self.queue)
        self._worker.start()
        if self._sender is not None:
            self._sender.start()
        LOG.info("%s listens on %s:%d", self.settings.title, self.settings.host, self.port)

    def stop(self) -> None:
        """Take no more, finish the film and the object in hand, keep the rest for next time."""
        self._server.ae.shutdown()
        self._worker.stop()
        if self._sender is not None:
            self._sender.stop()
        self.queue.close()
