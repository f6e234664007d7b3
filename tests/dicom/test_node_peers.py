from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from pneumoscope.dicom.node import TlsFiles, WebPeer
from pneumoscope.dicom.objects import KINDS
from pneumoscope.dicom.web import fetch_study
from pneumoscope.errors import PneumoscopeError, SettingsError
from tests.dicom import peers
from tests.dicom.films import PATIENT, PRIVATE, film
from tests.dicom.nodes import destination, films, read, running
from tests.dicom.peers import Orthanc, eventually, needs, receiving, send, storescu

ROOT = Path(__file__).parents[2]


def start_process(queue: Path, port: int) -> tuple[subprocess.Popen[str], int]:
    command = [
        sys.executable,
        "-m",
        "tests.dicom.node_process",
        str(queue),
        f"DEST@127.0.0.1:{port}",
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL while radiographs come in, are read and are sent: what was accepted arrives, once."""
    paths, queue = films(tmp_path / "in", 12), tmp_path / "queue"
    accepted: list[Path] = []
    with receiving() as receiver:
        for kill in range(3):
            process, port = start_process(queue, receiver.port)
            killer = threading.Timer(1.5, process.kill)
            killer.start()
            for path in paths[4 * kill : 4 * kill + 4]:
                if send(port, path) == [0]:
                    accepted.append(path)
            process.wait()
            assert process.returncode == -signal.SIGKILL
        process, port = start_process(queue, receiver.port)
        try:
            for path in paths:  # A sender repeats what was not acknowledged.
                assert send(port, path) == [0]
            eventually(lambda: len(receiver.uids) == 2 * len(paths))
            eventually(lambda: len(list((queue / "done").iterdir())) == len(paths))
        finally:
            process.terminate()
            process.wait()
    assert accepted
    assert len(receiver.uids) == 2 * len(paths)


def certificates(folder: Path, name: str = "IP:127.0.0.1") -> TlsFiles:
    """A certificate for a name that signs itself."""
    folder.mkdir(exist_ok=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=node", "-addext", f"subjectAltName={name}", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return TlsFiles(certificate, key, certificate)


@needs("openssl", "storescu")
def test_tls_in_and_out(tmp_path: Path) -> None:
    tls = certificates(tmp_path)
    (path,) = films(tmp_path / "in", 1)
    options = ["+tls", str(tls.key), str(tls.certificate), "+cf", str(tls.certificate)]
    with (
        receiving(ssl_context=tls.server()) as receiver,
        running(tmp_path, tls=tls, tls_out=tls, destination=destination(receiver.port)) as node,
    ):
        silent = socket.create_connection(("127.0.0.1", node.port))  # Must not block the others.
        assert storescu(node.port, path) != 0
        assert storescu(node.port, path, options=options) == 0
        read(node, 1)
        assert len(receiver.got) == 2
        silent.close()


@needs("openssl")
def test_a_caller_without_tls_or_with_another_certificate_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    tls, other = certificates(tmp_path / "a"), certificates(tmp_path / "b")
    stranger = TlsFiles(other.certificate, other.key, tls.certificate).client()
    with running(tmp_path, tls=tls) as node:
        where = ("127.0.0.1", node.port)
        socket.create_connection(where).close()  # A look whether it listens is no failure.
        assert send(node.port, *films(tmp_path / "in", 1)) == []
        with socket.create_connection(where) as plain:
            stranger.wrap_socket(plain, server_hostname="127.0.0.1").close()
        eventually(lambda: node.tally.counts()["rejected"] == {"tls": 2})
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "TLS with 127.0.0.1 failed: WRONG_VERSION_NUMBER" in said
    assert "TLS with 127.0.0.1 failed: self-signed certificate" in said


def test_no_log_no_note_and_no_file_name_tells_who_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "in"
    folder.mkdir()
    good = film(folder / "a.dcm")
    bad = film(folder / "b.dcm", SOPInstanceUID=generate_uid(), PatientBirthDate="x" * 20)
    lateral = film(folder / "c.dcm", SOPInstanceUID=generate_uid(), ViewPosition="LL")
    dataset = dcmread(bad)
    dataset.PixelData = dataset.PixelData[:50]
    dataset.save_as(bad)
    with receiving() as receiver, running(tmp_path, destination=destination(receiver.port)) as node:
        send(node.port, good, bad, lateral)
        read(node, 3)
    queue = tmp_path / "queue"
    said = [record.getMessage() for record in caplog.records if "pneumoscope" in record.name]
    assert any("accepted radiograph" in message for message in said)
    texts = said + [str(path.relative_to(queue)) for path in queue.rglob("*")]
    texts += [path.read_text("latin1") for path in queue.rglob("*") if path.is_file()]
    for text in texts:
        for private in PRIVATE:
            assert private not in text
    assert {dataset.PatientID for dataset in receiver.got} == {PATIENT}


@pytest.mark.slow
@needs("storescu", peers.ORTHANC)
def test_orthanc_as_the_pacs(tmp_path: Path) -> None:
    """A study to the node, its results in Orthanc, by REST and by DICOMweb; again after a kill."""
    first, second = films(tmp_path / "in", 2)
    orthanc = Orthanc(tmp_path)
    orthanc.start()
    try:
        peer = destination(orthanc.dicom, "ORTHANC")
        with running(tmp_path, destination=peer, kinds=KINDS) as node:
            assert storescu(node.port, first) == 0
            read(node, 1)
            study = dcmread(first).StudyInstanceUID
            query = {"Level": "Series", "Query": {"StudyInstanceUID": study}, "Expand": True}
            series = orthanc.get("/tools/find", query)
            assert {entry["MainDicomTags"]["Modality"] for entry in series} == {
                "OT",
                "SEG",
                "SR",
                "PR",
            }
            (capture,) = (e for e in series if e["MainDicomTags"]["Modality"] == "OT")
            instance = capture["Instances"][0]
            picture = orthanc.get(f"/instances/{instance}/preview", kind="image/png")
            assert picture.startswith(b"\x89PNG")
            assert len(orthanc.get(f"/dicom-web/studies/{study}/series")) == len(KINDS)

            orthanc.kill()
            assert storescu(node.port, second) == 0
            eventually(lambda: node.queue.counts()["results"] == 1)
            orthanc.start()
            read(node, 2)
            assert orthanc.get("/statistics")["CountInstances"] == 2 * len(KINDS)
    finally:
        orthanc.kill()


@pytest.mark.slow
@needs(peers.ORTHANC)
def test_orthanc_by_dicomweb(tmp_path: Path) -> None:
    """A study fetched by QIDO and WADO, read, and its results stored by STOW."""
    (path,) = films(tmp_path / "in", 1)
    orthanc = Orthanc(tmp_path)
    orthanc.start()
    try:
        url = f"http://127.0.0.1:{orthanc.http}/dicom-web"
        study = dcmread(path).StudyInstanceUID
        with pytest.raises(PneumoscopeError, match=r"no CR or DX radiograph|server failed"):
            fetch_study(f"{url}/studies/{study}", tmp_path / "none")
        assert send(orthanc.dicom, path, title="ORTHANC") == [0]
        (fetched,) = fetch_study(f"{url}/studies/{study}", tmp_path / "fetched")
        assert (dcmread(fetched).pixel_array == dcmread(path).pixel_array).all()
        with running(tmp_path, destination=WebPeer(url), kinds=KINDS) as node:
            assert send(node.port, fetched) == [0]
            read(node, 1)
        assert len(orthanc.get(f"/dicom-web/studies/{study}/series")) == 1 + len(KINDS)
    finally:
        orthanc.kill()


def test_a_dicomweb_server_that_is_down_gets_everything_later(tmp_path: Path) -> None:
    destination = WebPeer(f"http://127.0.0.1:{peers.free_port()}/dicom-web")
    with running(tmp_path, destination=destination) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.queue.counts()["results"] == 1)
        assert node.queue.counts()["done"] == 0
    with pytest.raises(SettingsError, match="names no study"):
        fetch_study("http://name:password@127.0.0.1/studies/1.2", tmp_path / "none")
