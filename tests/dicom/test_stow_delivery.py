"""STOW-RS servers that redirect, refuse or misunderstand: no object may be lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.dicom.node import WebPeer
from pneumoscope.dicom.node.destinations import WebLine
from pneumoscope.dicom.node.failures import DestinationError
from tests.dicom.films import film
from tests.dicom.nodes import films, running
from tests.dicom.peers import eventually, send, serving

_JSON = "application/dicom+json; charset=utf-8"
_FAILED = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}
_XML = (
    b'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
    b'<DicomAttribute tag="00081198" vr="SQ"><Item number="1"><DicomAttribute tag="00081197" '
    b'vr="US"><Value number="1">42752</Value></DicomAttribute></Item></DicomAttribute>'
    b"</NativeDicomModel>"
)


class Server:
    """Answers each object, while it lasts."""

    def __init__(self, code: int, kind: str = "", body: bytes = b"", **headers: str) -> None:
        self.answer, self.got = (code, kind, body, headers), list[bytes]()
        self.refuses = b""

    @contextmanager
    def __call__(self) -> Iterator[str]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if server.refuses and server.refuses in content:
                    self._say(413, "", b"", {})
                    return
                server.got.append(content)
                self._say(*server.answer)

            def do_GET(self) -> None:
                self._say(200, "text/html", b"<p>Hello", {})

            def _say(self, code: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(code)
                for name, value in {"Content-Type": kind, **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        with serving(Handler) as port:
            yield f"http://127.0.0.1:{port}/dicom-web"


def status(server: Server, path: Path) -> int:
    """Of an object that is sent there."""
    with server() as url:
        ((_, found),) = WebLine(WebPeer(url)).send([path])
    return found


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (Server(200), 0),
        (Server(200, _JSON, b"{}"), 0),
        (Server(202, _JSON, json.dumps(_FAILED).encode()), 0xA700),
        (Server(200, "application/dicom+xml; charset=utf-8", _XML), 0xA700),
        (Server(409, _JSON, json.dumps(_FAILED).encode()), 0xA700),
        (Server(409, "text/html", b"<p>no"), 0x0110),
        (Server(400), 0xC000),
        (Server(500), 0x0110),
    ],
    ids=["empty", "stored", "json", "xml", "409", "409 without reason", "400", "500"],
)
def test_an_answer_is_a_status(tmp_path: Path, server: Server, expected: int) -> None:
    path = film(tmp_path / "a.dcm")
    assert status(server, path) == expected
    assert path.read_bytes() in server.got[0]


@pytest.mark.parametrize(
    ("server", "label"),
    [
        (Server(301, Location="/elsewhere"), "http_redirect"),
        (Server(200, "text/html", b"<p>Log in"), "http_answer"),
        (Server(200, "application/xhtml+xml", b"<html/>"), "http_answer"),
        (Server(401), "http_401"),
        (Server(503), "http_503"),
    ],
    ids=["redirects", "page of a proxy", "page in XHTML", "401", "503"],
)
def test_what_stored_nothing_is_no_success(tmp_path: Path, server: Server, label: str) -> None:
    with pytest.raises(DestinationError) as caught:
        status(server, film(tmp_path / "a.dcm"))
    assert caught.value.failure.label == label


def test_an_object_that_is_too_large_keeps_no_other_waiting(tmp_path: Path) -> None:
    server = Server(200)
    server.refuses = b"1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture comes first.
    with server() as url, running(tmp_path, destination=WebPeer(url)) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.queue.counts()["undeliverable"] == 1)
        eventually(lambda: node.tally.counts()["sent"] == {"sr": 1})
