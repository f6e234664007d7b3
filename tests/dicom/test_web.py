"""What is said of a DICOMweb server that gives no radiograph."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pneumoscope.dicom.web import fetch_study
from pneumoscope.errors import PneumoscopeError


class _Refusing(BaseHTTPRequestHandler):
    """Answers with the status that the path begins with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:{port}/401", "HTTP 401.*netrc"),
        ("http://127.0.0.1:{port}/403", "HTTP 403"),
        ("http://127.0.0.1:{port}/404", "HTTP 404.*UID"),
        ("http://127.0.0.1:{port}/500", "HTTP 500"),
        ("http://127.0.0.1:9/dicom-web", "cannot be reached"),
        ("https://127.0.0.1:{port}/dicom-web", "REQUESTS_CA_BUNDLE"),
    ],
)
def test_a_server_that_refuses_is_told_why(
    tmp_path: Path, port: int, address: str, words: str
) -> None:
    with pytest.raises(PneumoscopeError, match=words):
        fetch_study(f"{address.format(port=port)}/studies/1.2.3", tmp_path / "study")
