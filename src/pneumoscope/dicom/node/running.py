"""A node at work: its queue, its threads, and its silence about patients."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from pneumoscope.dicom.deidentify import Pseudonyms
from pneumoscope.dicom.node.clerk import Clerk
from pneumoscope.dicom.node.commitment import Committer
from pneumoscope.dicom.node.intake import Intake
from pneumoscope.dicom.node.log import say
from pneumoscope.dicom.node.loop import Loop
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.scp import start_scp
from pneumoscope.dicom.node.sender import Sender
from pneumoscope.dicom.node.settings import NodeSettings, Peer
from pneumoscope.dicom.node.survey import status
from pneumoscope.dicom.node.tally import Tally
from pneumoscope.dicom.node.worker import Worker
from pneumoscope.dicom.quiet import hush

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Engine


class Node:
    """A DICOM node between `start` and `stop`.

    Args:
        settings: what it is told.
        engine: a loaded bundle.

    Attributes:
        queue: its queue.
        tally: what it counts.
        http: its HTTP service; None without one.

    Raises:
        OutputError: the queue is in use, or a port is taken.
        SettingsError: the key or TLS files are none.
    """

    def __init__(self, settings: NodeSettings, engine: Engine) -> None:
        pseudonyms = None if settings.key is None else Pseudonyms.from_file(settings.key)
        hush()
        self.settings = settings
        self.queue, self.tally = Queue(settings.queue), Tally()
        self._intake = Intake(settings, self.queue, self.tally)
        worker = Worker(
            self.queue, engine, settings.kinds, pseudonyms, gate=settings.gate, tally=self.tally
        )
        self._loops: dict[str, Loop] = {"model": worker}
        if settings.destination is not None:
            self._loops["sender"] = Sender(self.queue, settings, settings.destination, self.tally)
        self._committer: Committer | None = None
        if settings.commit and isinstance(settings.destination, Peer):
            self._committer = Committer(self.queue, settings, settings.destination, self.tally)
            self._loops["committer"] = self._committer
        self._loops["clerk"] = Clerk(self.queue, self.status)
        self._server: Any = None
        self.http: Any = None
        if settings.http_port is not None:
            from pneumoscope.dicom.node.http import HttpService

            self.http = HttpService(self._intake, self.status)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def status(self) -> dict[str, Any]:
        """Its state, as `survey.status` has it."""
        return status(self.settings, self.tally, self._problems())

    def _problems(self) -> tuple[str, ...]:
        found = [f"the {name} has stopped" for name, loop in self._loops.items() if not loop.alive]
        if self._server is not None and not self._server.thread.is_alive():
            found.append("the port is closed: nobody listens")
        if self.queue.free() < self.settings.min_free:
            found.append("the disk is full: radiographs are refused")
        return tuple(found)

    def start(self) -> None:
        """Listen, read, send; what an earlier node left in the queue first."""
        left = self.queue.counts()
        if left["accepted"] or left["results"]:
            say(
                logging.INFO,
                "node.resumed",
                "from before: {films} radiographs, results of {results}",
                films=left["accepted"],
                results=left["results"],
            )
        reported = None if self._committer is None else self._committer.reported
        self._server = start_scp(self._intake, reported)
        for loop in self._loops.values():
            loop.start()
        text, settings = "{title} listens on {host}:{port}", self.settings
        where = {"title": settings.title, "host": settings.host, "port": self.port}
        say(logging.INFO, "node.started", text, **where)
        if self.http is not None:
            self.http.start()
            text, host = "HTTP on {host}:{port}", settings.http_host
            say(logging.INFO, "http.started", text, host=host, port=self.http.port)

    def run(self) -> None:
        """Start, and stop when the process is told to end (SIGTERM, or SIGINT of Ctrl-C)."""
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        self.start()
        stopped.wait()
        self.stop()

    def stop(self) -> None:
        """Take no more, finish what is in hand, keep the rest for next time."""
        self._server.ae.shutdown()
        if self.http is not None:
            self.http.stop()
        for loop in self._loops.values():
            loop.stop()
        self.queue.close()
