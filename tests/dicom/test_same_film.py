"""One film is one film in any transfer syntax; what arrived is done; what is cut off is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from pneumoscope.dicom.node.destinations import WebLine
from pneumoscope.dicom.node.sender import arrived, blames_object
from pneumoscope.dicom.node.settings import WebPeer
from pneumoscope.dicom.predicting import predict_objects
from pneumoscope.dicom.source import read_source
from pneumoscope.dicom.web import fetch_study
from pneumoscope.errors import PneumoscopeError
from tests.dicom.films import film
from tests.dicom.node_process import engine
from tests.dicom.nodes import destination, films, read, running
from tests.dicom.peers import PATIENCE, eventually, receiving, send, serving


def transcoded(path: Path) -> list[Path]:
    """The same SOP instance in three further transfer syntaxes, written by pydicom."""
    made: list[Path] = []
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless):
        dataset = dcmread(path)
        if syntax == RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        made.append(path.with_name(f"{len(made)}.dcm"))
        dataset.save_as(made[-1])
    return made


def send_as_they_are(port: int, *paths: Path) -> list[int]:
    """Send each file in its own transfer syntax."""
    from pynetdicom import AE

    statuses = []
    for path in paths:
        dataset = dcmread(path)
        entity = AE(ae_title="PACS")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", port, ae_title="PNEUMOSCOPE")
        statuses.append(int(association.send_c_store(dataset).Status))
        association.release()
    return statuses


def test_a_film_has_one_identity_in_every_transfer_syntax(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm")
    made = transcoded(path)
    assert len({each.read_bytes() for each in (path, *made)}) == 4
    digests = {read_source(each).digest for each in (path, *made)}
    assert len(digests) == 1
    # Another patient, another film, or other pixels are not the same.
    others = [
        film(tmp_path / "patient.dcm", PatientID="another"),
        film(tmp_path / "instance.dcm", SOPInstanceUID="1.2.3.4"),
        film(tmp_path / "pixels.dcm", height=81),
    ]
    assert len(digests | {read_source(each).digest for each in others}) == 4


def test_objects_of_a_film_have_the_same_uids_from_every_transfer_syntax(tmp_path: Path) -> None:
    path = film(tmp_path / "film.dcm")
    uids = []
    for index, each in enumerate((path, *transcoded(path))):
        out = tmp_path / f"out-{index}"
        predict_objects(
            engine(), [("film.dcm", each)], out, kinds="sr,sc", key=None, threshold=None,
            batch_size=1, gate=False,
        )  # fmt: skip
        uids.append({dcmread(made).SOPInstanceUID for made in out.rglob("*.dcm")})
    assert len(uids[0]) == 2 and all(each == uids[0] for each in uids)


def test_the_node_reads_a_film_once_whatever_its_transfer_syntax(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = film(folder / "film.dcm")
    copies = transcoded(path)
    with receiving() as receiver, running(tmp_path, destination=destination(receiver.port)) as node:
        assert send_as_they_are(node.port, path) == [0]
        read(node, 1)
        number = len(receiver.got)
        assert send_as_they_are(node.port, *copies) == [0] * 3
        read(node, 4)
        assert number == len(receiver.got) == len(receiver.uids) > 0
    notes = [json.loads(note.read_text()) for note in (tmp_path / "queue" / "done").iterdir()]
    assert sorted(note["decided_by"] for note in notes).count("duplicate") == 3
    # The first one's note deleted, it is read again.
    for note in (tmp_path / "queue" / "done").iterdir():
        note.unlink()
    with receiving() as receiver, running(tmp_path, destination=destination(receiver.port)) as node:
        assert send_as_they_are(node.port, copies[0]) == [0]
        read(node, 1)
        assert len(receiver.got) == number


@pytest.mark.parametrize("status", [0x0111, 0xB000, 0xB007, 0x0107])
def test_what_the_destination_has_is_done(tmp_path: Path, status: int) -> None:
    with receiving() as receiver, running(tmp_path, destination=destination(receiver.port)) as node:
        receiver.status = status
        send(node.port, *films(tmp_path / "in", 1))
        read(node, 1)
        assert node.queue.counts()["undeliverable"] == 0


def test_an_object_that_is_refused_for_its_content_is_not_sent_for_ever(tmp_path: Path) -> None:
    with receiving() as receiver, running(tmp_path, destination=destination(receiver.port)) as node:
        receiver.status = 0xA900
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.queue.counts()["undeliverable"] == 1)
        read(node, 1)


def test_statuses_mean_what_the_standard_says() -> None:
    # PS3.4 table B.2-1 and PS3.7 annex C.
    taken = (0x0000, 0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB006, 0xB007)
    later = (0x0110, 0x0124, 0x0210, 0xA700, 0xA7FF, 0xFE00)
    never = (0xA900, 0xA9FF, 0xC000, 0xC123, 0x0106, 0x0117)
    assert all(arrived(status) for status in taken)
    assert not any(arrived(status) for status in (*later, *never))
    assert [blames_object(status) for status in (*later, *never)] == [False] * 6 + [True] * 6


@contextmanager
def answering(answer: Callable[[str], tuple[int, str, bytes]]) -> Iterator[str]:
    """A web server that gives one answer for each path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/dicom-web"


@pytest.mark.parametrize("cut", [0, 4, 300])
def test_a_multipart_answer_without_its_end_is_refused(tmp_path: Path, cut: int) -> None:
    content = film(tmp_path / "film.dcm").read_bytes()
    part = b"\r\n--B0und\r\nContent-Type: application/dicom\r\n\r\n" + content
    body = (part * 2 + b"\r\n--B0und--")[: -cut or None]

    def answer(path: str) -> tuple[int, str, bytes]:
        if "/series/" in path:
            kind = 'multipart/related; type="application/dicom"; boundary="B0und"'
            return 200, kind, body
        own = {"vr": "UI", "Value": ["1.2.3"]}
        found = [{"0020000E": own, "00080060": {"vr": "CS", "Value": ["CR"]}}]
        return 200, "application/dicom+json", json.dumps(found).encode()

    with answering(answer) as url:
        if cut == 0:
            # Both parts are the same radiograph.
            assert len(fetch_study(f"{url}/studies/1.2", tmp_path / "out")) == 1
            return
        with pytest.raises(PneumoscopeError, match="cut off"):
            fetch_study(f"{url}/studies/1.2", tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [273]}}]}}', 273),
        (b"{}", 0x0110),
        (b"<html>", 0x0110),
    ],
)
def test_a_web_server_that_stores_nothing_may_say_why(
    tmp_path: Path, body: bytes, status: int
) -> None:
    path = film(tmp_path / "film.dcm")
    with answering(lambda _: (409, "application/dicom+json", body)) as url:
        ((sent, told),) = WebLine(WebPeer(url)).send([path])
    assert (sent, told) == (path, status)
