"""What is fetched from DICOMweb servers, and what is said of one that gives nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pneumoscope.dicom.web import fetch_study
from pneumoscope.errors import PneumoscopeError
from tests.dicom.films import film
from tests.dicom.peers import serving


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
    with serving(_Refusing) as number:
        yield number


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


class _Careless(BaseHTTPRequestHandler):
    """Ignores the filter, lists a series twice, and sends its radiograph twice."""

    film, last = b"", b""

    def do_GET(self) -> None:
        if self.path.split("?")[0].endswith("/studies/1.2.3/series"):
            self._say("application/dicom+json", json.dumps(2 * _SERIES).encode())
            return
        start = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
        parts = [start + part + b"\r\n" for part in (self.film, self.last or self.film)]
        kind = 'multipart/related; type="application/dicom"; boundary=x'
        self._say(kind, b"".join(parts) + b"--x--\r\n")

    def _say(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


_SERIES = [
    {"00080060": {"vr": "CS", "Value": [modality]}, "0020000E": {"vr": "UI", "Value": [uid]}}
    for modality, uid in (("CR", "1.2.3.1"), ("CT", "1.2.3.2"))
]


def test_each_film_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Careless, "film", film(tmp_path / "a.dcm").read_bytes())
    with serving(_Careless) as port:
        paths = fetch_study(f"http://127.0.0.1:{port}/studies/1.2.3", tmp_path / "study")
    assert [path.name for path in paths] == ["film-0001.dcm"]


def test_a_study_that_came_in_part_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = film(tmp_path / "a.dcm").read_bytes()
    monkeypatch.setattr(_Careless, "film", whole)
    monkeypatch.setattr(_Careless, "last", b"not DICOM")
    with serving(_Careless) as port, pytest.raises(PneumoscopeError):
        fetch_study(f"http://127.0.0.1:{port}/studies/1.2.3", tmp_path / "study")
    assert not any((tmp_path / "study").iterdir())
