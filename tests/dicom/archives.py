"""An archive that gives the radiographs of a study, or fails in a way of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE, build_context, evt

from pneumoscope.dicom.node import Peer
from pneumoscope.dicom.retrieve import Archive
from tests.dicom.peers import free_port

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
_CR = "1.2.840.10008.5.1.4.1.1.1"


class _Shelf:
    """Answers questions about some files.

    Args:
        paths: of the files.
        port: that C-MOVE sends to.
        fault: what goes wrong.
    """

    def __init__(self, paths: Sequence[Path], port: int, fault: str) -> None:
        self.films = [dcmread(path) for path in paths]
        self.port, self.fault = port, fault

    def find(self, event: Any) -> Iterator[Any]:
        query = event.identifier
        for film in self.films[:1]:
            answer = Dataset()
            answer.QueryRetrieveLevel = query.QueryRetrieveLevel
            answer.AccessionNumber = film.AccessionNumber
            answer.StudyInstanceUID = film.StudyInstanceUID
            if query.QueryRetrieveLevel == "SERIES":
                answer.Modality = film.Modality
                if self.fault != "no UID":
                    answer.SeriesInstanceUID = film.SeriesInstanceUID
            yield 0xFF00, answer

    def get(self, event: Any) -> Iterator[Any]:
        yield 2 * len(self.films)
        for number, film in enumerate(2 * self.films):  # Each twice.
            if self.fault == "slow":
                time.sleep(2.5)
            if self.fault == "aborts" and number == 1:
                event.assoc.abort()
                return
            yield 0xFF00, film

    def move(self, event: Any) -> Iterator[Any]:
        own = {"ae_title": event.move_destination, "contexts": [build_context(_CR)]}
        yield "127.0.0.1", self.port, own
        yield from self.get(event)


@contextmanager
def archive(
    paths: Sequence[Path], *, fault: str = "", services: Sequence[str] = (FIND, GET, MOVE)
) -> Iterator[Archive]:
    """An archive of files of one series, while it lasts.

    Args:
        paths: of the files.
        fault: `no UID` (in its answers), `slow`, `aborts` (the transfer), `ends` (every
            association as soon as it is established), or nothing.
        services: that it offers.
    """
    port = free_port()
    shelf, entity = _Shelf(paths, port, fault), AE(ae_title="ARCHIVE")
    entity.add_supported_context(_CR, "1.2.840.10008.1.2.1", scu_role=True, scp_role=True)
    for service in services:
        entity.add_supported_context(service)
    handlers: list[Any] = [
        (evt.EVT_C_FIND, shelf.find),
        (evt.EVT_C_GET, shelf.get),
        (evt.EVT_C_MOVE, shelf.move),
    ]
    if fault == "ends":
        handlers.append((evt.EVT_ESTABLISHED, lambda event: event.assoc.abort()))
    server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield Archive(Peer("ARCHIVE", "127.0.0.1", server.server_address[1]), port=port)
    finally:
        server.shutdown()
