"""Films by STOW-RS, from an independent client and from bad ones."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.uid import generate_uid

from pneumoscope.dicom.node import Node
from tests.dicom.films import film
from tests.dicom.nodes import destination, films, read, running
from tests.dicom.peers import eventually, receiving, send

TYPE = 'multipart/related; type="application/dicom"; boundary=BOUND'


def body(*contents: bytes, end: bytes = b"--BOUND--\r\n") -> bytes:
    header = b"--BOUND\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(header + content + b"\r\n" for content in contents) + end


def post(node: Node, data: bytes, kind: str = TYPE, study: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.http.port}/dicom-web/studies{study}",
        data=data,
        headers={"Content-Type": kind},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text


def stow(tmp_path: Path, **changes: Any) -> Any:
    return running(tmp_path, http_port=0, stow=True, **changes)


@pytest.mark.slow
def test_a_dicomweb_client_stores_films_that_are_read(tmp_path: Path) -> None:
    paths = films(tmp_path / "in", 3)
    datasets = [dcmread(path) for path in paths]
    with receiving() as receiver, stow(tmp_path, destination=destination(receiver.port)) as node:
        client = DICOMwebClient(f"http://127.0.0.1:{node.http.port}/dicom-web")
        answer = client.store_instances(datasets)
        stored = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
        assert stored == {dataset.SOPInstanceUID for dataset in datasets}
        assert "FailedSOPSequence" not in answer
        client.store_instances(datasets[:1], study_instance_uid=datasets[0].StudyInstanceUID)
        read(node, 3)
        assert len(receiver.uids) == 6
        assert node.tally.counts()["received"] == {"stow": 3}
        assert send(node.port, *paths) == [0, 0, 0]  # The same radiographs by C-STORE are known.
        eventually(lambda: sum(node.tally.counts()["films"].values()) >= 3)
        assert len(receiver.uids) == 6


def test_each_film_of_a_request_is_answered_for_itself(tmp_path: Path) -> None:
    good = films(tmp_path / "in", 1)[0].read_bytes()
    ct = film(
        tmp_path / "ct.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.2", SOPInstanceUID=generate_uid()
    ).read_bytes()
    with stow(tmp_path) as node:
        code, answer = post(node, body(good, ct, b"garbage"))
        assert code == 202
        assert len(answer["00081199"]["Value"]) == 1
        reasons = [item["00081197"]["Value"][0] for item in answer["00081198"]["Value"]]
        assert reasons == [0x0122, 0xC000]
        assert post(node, body(ct))[0] == 409
        assert post(node, body(good), study="/1.2.3")[0] == 409
        assert node.tally.counts()["rejected"] == {
            "no_film": 2,
            "not_understood": 1,
            "wrong_study": 1,
        }
        assert len(list((tmp_path / "queue" / "films").iterdir())) <= 1


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"{}", "application/json", 415),
        (body(b"x"), "multipart/related; type=application/dicom", 415),
        (body(b"x"), "multipart/form-data; boundary=BOUND", 415),
        (body(b"x", end=b""), TYPE, 400),
        (b"no boundary at all", TYPE, 400),
        (b"--BOUND--\r\n", TYPE, 400),
        (b"", TYPE, 400),
    ],
)
def test_a_damaged_request_is_refused(tmp_path: Path, data: bytes, kind: str, code: int) -> None:
    with stow(tmp_path) as node:
        assert post(node, data, kind)[0] == code
        assert node.queue.counts()["accepted"] == 0


def test_a_film_that_is_too_large_is_refused_and_the_next_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = films(tmp_path / "in", 1)[0].read_bytes()
    monkeypatch.setattr("pneumoscope.dicom.node.stow._MOST_BYTES", len(good))
    with stow(tmp_path) as node:
        code, answer = post(node, body(good + b"\0", good))
        assert code == 202
        assert len(answer["00081199"]["Value"]) == 1


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with stow(tmp_path) as node:
        node.queue.free = lambda: 0
        code, answer = post(node, body(films(tmp_path / "in", 1)[0].read_bytes()))
        assert code == 409
        assert answer["00081198"]["Value"][0]["00081197"]["Value"] == [0xA700]
