"""What a PACS engineer sees of a node: health, metrics, status, logs, and its queue by command."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from pneumoscope.cli.app import app
from pneumoscope.dicom.node import Node, Peer, TlsFiles
from pneumoscope.dicom.node.log import JsonLines
from pneumoscope.dicom.node.settings import NodeSettings, parse_network
from pneumoscope.errors import SettingsError
from tests.dicom import peers
from tests.dicom.films import PRIVATE, film
from tests.dicom.nodes import destination, films, read, running
from tests.dicom.peers import eventually, needs, receiving, send
from tests.dicom.test_node_peers import certificates


def get(node: Node, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.http.port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(node: Node) -> dict[tuple[str, ...], float]:
    """Name and label of every metric, as Prometheus's own parser reads them."""
    return {
        (sample.name, *(value for name, value in sample.labels.items() if name != "destination")): (
            sample.value
        )
        for family in text_string_to_metric_families(get(node, "/metrics")[1])
        for sample in family.samples
    }


def test_metrics_count_what_came_in_and_went_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    good = film(tmp_path / "in" / "a.dcm")
    lateral = film(tmp_path / "in" / "b.dcm", SOPInstanceUID=generate_uid(), ViewPosition="LL")
    with receiving() as receiver:
        peer = destination(receiver.port)
        with running(tmp_path, destination=peer, http_port=0, callers=("PACS",)) as node:
            assert send(node.port, good, lateral, good) == [0, 0, 0]
            assert send(node.port, good, caller="STRANGER") == []
            read(node, 2)
            sent = ("pneumoscope_node_objects_sent_total", "sr")
            eventually(lambda: samples(node).get(sent) == 1)
            found = samples(node)
            assert f'destination="{peer}"' in get(node, "/metrics")[1]
    name = "pneumoscope_node_"
    assert found[(f"{name}films_received_total", "dimse")] == 2
    assert found[(f"{name}films_known_total", "dimse")] == 1
    assert found[(f"{name}rejected_total", "association")] == 1
    assert found[(f"{name}films_finished_total", "read")] == 1
    assert found[(f"{name}films_finished_total", "tags")] == 1
    assert found[(f"{name}objects_sent_total", "sc")] == 1
    assert found[(f"{name}objects_sent_total", "sr")] == 1
    assert found[(f"{name}queue_films", "accepted")] == 0
    assert found[(f"{name}healthy",)] == found[(f"{name}destination_up",)] == 1


def test_a_waiting_queue_and_a_failing_destination_are_seen(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.status = 0xA700
        peer = destination(receiver.port)
        with running(tmp_path, destination=peer, http_port=0, kinds=("sr",)) as node:
            send(node.port, *films(tmp_path / "in", 2))
            eventually(lambda: node.queue.counts()["results"] == 2)
            failed = ("pneumoscope_node_send_failures_total", "A700")
            eventually(lambda: samples(node).get(failed, 0) >= 3)
            found = samples(node)
            page = get(node, "/")[1]
    name = "pneumoscope_node_"
    assert found[(f"{name}queue_films", "results")] == 2
    assert found[(f"{name}queue_oldest_seconds", "results")] > 0
    assert found[failed] >= 3
    assert found[(f"{name}objects_retried_total", "sr")] >= 1
    assert found[(f"{name}destination_up",)] == 0
    assert "status A700, Refused: Out of Resources" in page


def test_health_fails_while_the_disk_is_full(tmp_path: Path) -> None:
    with running(tmp_path, http_port=0) as node:
        assert get(node, "/healthz") == (200, '{"status":"ok","problems":[]}')
        node.queue.free = lambda: -1  # type: ignore[method-assign]
        code, said = get(node, "/healthz")
        assert (code, "disk is full" in said) == (503, True)
        assert "disk is full" in get(node, "/")[1]
        assert get(node, "/dicom-web/studies")[0] == 404  # Not without --stow.


def test_nothing_that_is_shown_or_logged_tells_who_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="pneumoscope")
    with running(tmp_path, http_port=0, destination=destination(peers.free_port())) as node:
        send(node.port, *films(tmp_path / "in", 2))
        eventually(lambda: node.tally.trouble)
        shown = [get(node, path)[1] for path in ("/", "/metrics", "/status.json", "/healthz")]
    lines = [JsonLines().format(record) for record in caplog.records if "node" in record.name]
    events = {json.loads(line)["event"] for line in lines}
    assert {"film.accepted", "film.read", "destination.failed", "node.started"} <= events
    accepted = next(entry for entry in map(json.loads, lines) if entry["event"] == "film.accepted")
    assert re.fullmatch(r"[0-9a-f]{12}", accepted["film"])
    assert accepted["caller"].startswith("PACS@")
    for text in (*shown, *lines):
        for private in PRIVATE:
            assert private not in text


def test_strangers_see_nothing(tmp_path: Path) -> None:
    from pneumoscope.dicom.node.settings import parse_network

    with running(tmp_path, http_port=0, networks=(parse_network("10.0.0.0/8"),)) as node:
        for path in ("/", "/metrics", "/healthz"):
            assert get(node, path)[0] == 403
    with pytest.raises(SettingsError, match="any machine"):
        NodeSettings(queue=tmp_path, http_port=1, http_host="0.0.0.0")
    with pytest.raises(SettingsError, match="http-port"):
        NodeSettings(queue=tmp_path, stow=True)


@needs("openssl")
def test_http_speaks_tls_where_the_node_does(tmp_path: Path) -> None:
    tls = certificates(tmp_path)
    with running(tmp_path, http_port=0, tls=TlsFiles(tls.certificate, tls.key)) as node:
        url = f"https://127.0.0.1:{node.http.port}/healthz"
        with urllib.request.urlopen(url, context=tls.client()) as answer:
            assert answer.status == 200


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port that treats each caller so."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                answer(caller)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def failure(tmp_path: Path, port: int, title: str = "DEST", **changes: Any) -> tuple[str, str]:
    """What a node with one radiograph to send says of its destination."""
    with running(tmp_path, destination=destination(port, title), **changes) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.tally.trouble)
        trouble = node.tally.trouble
        assert trouble is not None
        return trouble.failure.label, str(trouble.failure)


class TestWhyNothingArrives:
    def test_nobody_listens(self, tmp_path: Path) -> None:
        label, words = failure(tmp_path, peers.free_port())
        assert label == "refused"
        assert "refuses the connection. Check that it runs" in words

    def test_a_title_is_unknown(self, tmp_path: Path) -> None:
        with receiving() as receiver:
            receiver.entity.require_called_aet = True
            label, words = failure(tmp_path, receiver.port, "OTHER")
            assert (label, "OTHER" in words) == ("unknown_called_ae", True)
            receiver.entity.require_calling_aet = ["SOMEBODY"]
            label, words = failure(tmp_path / "b", receiver.port)
            assert (label, "PNEUMOSCOPE" in words) == ("unknown_calling_ae", True)

    def test_no_kind_of_object_is_accepted(self, tmp_path: Path) -> None:
        from pynetdicom.presentation import build_context

        with receiving(contexts=[build_context("1.2.840.10008.1.1")]) as receiver:
            assert failure(tmp_path, receiver.port)[0] == "no_context"

    def test_it_is_silent_or_hangs_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pneumoscope.dicom.node.destinations._TIMEOUT_SECONDS", 0.3)
        kept: list[socket.socket] = []
        with listening(kept.append) as port:
            assert failure(tmp_path, port)[0] == "timeout"
        with listening(lambda caller: caller.close()) as port:
            assert failure(tmp_path / "b", port)[0] == "aborted"

    @needs("openssl")
    def test_it_speaks_no_tls(self, tmp_path: Path) -> None:
        with receiving() as receiver:
            label, words = failure(tmp_path, receiver.port, tls_out=certificates(tmp_path))
        assert (label, "TLS" in words) == ("tls", True)

    @needs("openssl")
    def test_its_certificate_is_for_another_host(self, tmp_path: Path) -> None:
        theirs = certificates(tmp_path / "theirs", "DNS:elsewhere.example")
        with receiving(ssl_context=theirs.server()) as receiver:
            label, words = failure(tmp_path, receiver.port, tls_out=theirs)
        assert (label, "not valid for '127.0.0.1'" in words) == ("tls", True)

    def test_its_host_has_no_address(self, tmp_path: Path) -> None:
        with running(tmp_path, destination=Peer("DEST", "pacs.invalid", 104)) as node:
            send(node.port, *films(tmp_path / "in", 1))
            eventually(lambda: node.tally.trouble)
            trouble = node.tally.trouble
        assert trouble is not None
        assert trouble.failure.label == "unknown_host"

    def test_it_aborts_while_it_is_sent_an_object(self, tmp_path: Path) -> None:
        from pynetdicom import evt

        with receiving() as receiver:
            receiver.server.bind(evt.EVT_C_STORE, lambda event: event.assoc.abort() or 0)
            assert failure(tmp_path, receiver.port)[0] == "ended"


@needs("openssl")
def test_a_pem_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    tls = certificates(tmp_path)
    missing = tmp_path / "missing.pem"
    with pytest.raises(SettingsError, match=r"missing\.pem: no such PEM file"):
        TlsFiles(tls.certificate, tls.key, missing).client()
    other = certificates(tmp_path / "other")
    with pytest.raises(SettingsError, match="KEY_VALUES_MISMATCH"):
        TlsFiles(tls.certificate, other.key).server()


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["dicom-node", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_given_up_objects_are_sent_again_or_dropped(tmp_path: Path, runs: bool) -> None:
    """The same by a running node and without one."""
    from pynetdicom.presentation import build_context

    queue = tmp_path / "queue"
    with receiving(contexts=[build_context("1.2.840.10008.1.1")]) as receiver:
        receiver.take("1.2.840.10008.5.1.4.1.1.7")
        peer = destination(receiver.port)
        with running(tmp_path, destination=peer) as node:
            send(node.port, *films(tmp_path / "in", 2))
            read(node, 2)
            eventually(lambda: node.queue.counts()["undeliverable"] == 2)
        receiver.take("1.2.840.10008.5.1.4.1.1.88.33")
        first, second = sorted(path.name for path in (queue / "undeliverable").iterdir())
        if runs:
            with running(tmp_path, destination=peer) as node:
                assert command("retry", first[:8], "--queue", queue) == (0, "1 files put back.\n")
                eventually(lambda: len(receiver.got) == 3)
                assert command("drop", second, "--yes", "--queue", queue)[0] == 0
        else:
            assert command("retry", first[:8], "--queue", queue) == (0, "1 files put back.\n")
            assert command("drop", second, "--yes", "--queue", queue)[0] == 0
            with running(tmp_path, destination=peer) as node:
                eventually(lambda: len(receiver.got) == 3)
                read(node, 2)
        assert [str(dataset.Modality) for dataset in receiver.got].count("SR") == 1
        assert not any((queue / "undeliverable").iterdir())
        assert not any((queue / "results").iterdir())
        assert {path.stem for path in (queue / "done").iterdir()} == {first, second}


def test_a_quarantined_film_is_read_again(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        key, _ = node.queue.accept(films(tmp_path / "in", 1)[0].read_bytes())
        eventually(lambda: node.queue.counts()["results"] == 1)
        node.queue.drop("results", key)
    kept = tmp_path / "queue" / "quarantine" / f"{key}.dcm"
    kept.write_bytes((tmp_path / "in" / "0.dcm").read_bytes())
    assert command("retry", "quarantine", "--queue", tmp_path / "queue")[0] == 0
    with running(tmp_path) as node:
        eventually(lambda: node.queue.counts()["results"] == 1)


def test_status_shows_a_queue_and_its_node(tmp_path: Path) -> None:
    port = peers.free_port()
    queue = tmp_path / "queue"
    with running(tmp_path, destination=destination(port)) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.tally.trouble)

        def told() -> bool:
            return "refuses the connection" in command("status", "--queue", queue)[1]

        eventually(told)
        shown = json.loads(command("status", "--json", "--queue", queue)[1])
        assert shown["waiting"]["results"]["films"] == 1
        assert shown["destination"] == f"DEST@127.0.0.1:{port}"
    assert "No node runs" in command("status", "--queue", queue)[1]


def test_the_image_of_the_node_asks_for_its_health_without_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `--allow-address`, a call from 127.0.0.1 would be counted as a stranger's."""
    monkeypatch.setattr("pneumoscope.dicom.node.clerk._STATUS_SECONDS", 0.1)
    file = Path(__file__).parents[2] / "Dockerfile"
    node_part = file.read_text().partition("FROM base AS node")[2].partition("FROM")[0]
    found = re.search(r"CMD (\[.+\])", node_part)
    assert found is not None
    _, *arguments = json.loads(found[1])
    queue = tmp_path / "queue"
    arguments[-1] = arguments[-1].replace("/var/lib/pneumoscope", queue.as_posix())

    def healthy() -> bool:
        check = [sys.executable, *arguments]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    with running(tmp_path, networks=(parse_network("10.1.0.5"),)) as node:
        eventually((queue / "status.json").exists)
        assert healthy()
        assert not node.tally.counts()["rejected"]
        node._server.shutdown()
        eventually(lambda: not healthy())
        assert node.status()["problems"] == ["the port is closed: nobody listens"]
    assert not healthy()


def test_nothing_to_retry_is_an_error(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    result = CliRunner().invoke(
        app, ["dicom-node", "retry", "abc", "--queue", str(tmp_path / "queue")]
    )
    assert isinstance(result.exception, SettingsError)
    assert "6 digits" in str(result.exception)
