from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from pynetdicom.presentation import build_context

from pneumoscope.dicom import outcome
from pneumoscope.dicom.node import worker
from pneumoscope.dicom.node.destinations import associate, end, watched
from pneumoscope.dicom.node.settings import parse_network
from pneumoscope.dicom.objects import _MAKERS, KINDS
from pneumoscope.dicom.outcome import Outcome
from pneumoscope.dicom.result import Result
from pneumoscope.errors import OutputError
from tests.dicom import peers
from tests.dicom.films import NAME, film, info
from tests.dicom.node_process import engine
from tests.dicom.nodes import destination, films, read, running
from tests.dicom.peers import eventually, needs, program, receiving, send, storescu

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ROOT = Path(__file__).parents[2]


def test_films_come_in_and_objects_go_out(tmp_path: Path) -> None:
    (path,) = films(tmp_path / "in", 1)
    with (
        receiving() as receiver,
        running(tmp_path, destination=destination(receiver.port), kinds=KINDS) as node,
    ):
        assert send(node.port, path) == [0]
        read(node, 1)
        got = {str(dataset.Modality): dataset for dataset in receiver.got}
    assert set(got) == {"OT", "SEG", "SR", "PR"}
    source = dcmread(path)
    assert {dataset.StudyInstanceUID for dataset in got.values()} == {source.StudyInstanceUID}
    assert list((tmp_path / "queue" / "accepted").iterdir()) == []
    assert list((tmp_path / "queue" / "results").iterdir()) == []


@needs("echoscu", "storescu")
def test_dcmtk_echoes_and_stores(tmp_path: Path) -> None:
    (path,) = films(tmp_path / "in", 1)
    with running(tmp_path) as node:
        command = [str(program("echoscu")), "-aec", "PNEUMOSCOPE", "127.0.0.1", str(node.port)]
        assert subprocess.run(command, check=False).returncode == 0
        assert storescu(node.port, path) == 0
        assert storescu(node.port, path, title="OTHER") != 0
        eventually(lambda: node.queue.counts()["results"] == 1)


def test_the_same_film_sent_twice_is_read_once(tmp_path: Path) -> None:
    (path,) = films(tmp_path / "in", 1)
    with receiving() as receiver, running(tmp_path, destination=destination(receiver.port)) as node:
        assert send(node.port, path, path) == [0, 0]
        read(node, 1)
        assert send(node.port, path) == [0]
        assert node.queue.counts()["accepted"] == 0
        assert len(receiver.got) == 2


def test_a_second_reading_refers_to_the_first(tmp_path: Path) -> None:
    """By another model: here, by the same at another threshold."""
    (path,) = films(tmp_path / "in", 1)
    reports = []
    with receiving() as receiver:
        for threshold in (0.5, 0.6):
            model = engine(described=info().model_copy(update={"threshold": threshold}))
            changes = {"kinds": ("sr",), "destination": destination(receiver.port)}
            with running(tmp_path, model, **changes) as node:
                assert send(node.port, path) == [0]
                read(node, 1)
                reports.append(receiver.got[-1])
            for note in (tmp_path / "queue" / "done").iterdir():
                note.unlink()
    first, second = reports
    assert "PredecessorDocumentsSequence" not in first
    (series,) = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert instance.ReferencedSOPInstanceUID == first.SOPInstanceUID != second.SOPInstanceUID


@pytest.mark.slow
def test_every_film_of_many_associations_at_once_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts in = counts out, for 100 associations in parallel; the unanswered are repeated.

    The object of a radiograph is the radiograph itself, because making 100 real ones is another
    matter.
    """
    paths = [
        film(tmp_path / f"{n}.dcm", SOPClassUID=CAPTURE, SOPInstanceUID=generate_uid())
        for n in range(100)
    ]

    def tell(item: Any, path: Path, _: Any, kinds: Any, out: Path, folder: str, *rest: Any) -> Any:
        shutil.copy(path, out / folder / "sc.dcm")
        return Outcome(item.name, True, "tags", None, ("sc.dcm",)), item.finding

    monkeypatch.setattr("pneumoscope.dicom.node.worker.tell", tell)
    with receiving() as receiver, running(tmp_path, destination=destination(receiver.port)) as node:
        todo = paths
        with ThreadPoolExecutor(len(paths)) as pool:
            for _ in range(3):
                statuses = list(pool.map(lambda path: send(node.port, path), todo))
                todo = [path for path, said in zip(todo, statuses, strict=True) if said != [0]]
        assert not todo
        read(node, len(paths))
        got = [str(dataset.SOPInstanceUID) for dataset in receiver.got]
    assert Counter(got) == Counter(str(dcmread(path).SOPInstanceUID) for path in paths)


def test_a_call_that_would_wait_for_ever_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the association ended between the question whether it is there, and the call."""
    monkeypatch.setattr("pneumoscope.dicom.node.destinations._TIMEOUT_SECONDS", 0.5)
    (path,) = films(tmp_path, 1)
    contexts = [build_context(dcmread(path).SOPClassUID, "1.2.840.10008.1.2.1")]
    with receiving() as receiver:
        association = associate("NODE", destination(receiver.port), contexts, None)
        association.abort()
        association.join()
        association.is_established, association._is_paused = True, False
        thread = threading.Thread(target=end, args=(association,), daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()


class Stuck(threading.Thread):
    """An association that lives, and whose call returns when it is killed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed = threading.Event()

    def run(self) -> None:
        self.killed.wait()

    def kill(self) -> None:
        self.killed.set()


def test_a_call_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumoscope.dicom.node.destinations._PATIENCE_SECONDS", 1.0)
    association = Stuck()
    association.start()
    with watched(association):
        assert association.killed.wait(60)
    quick = Stuck()
    quick.start()
    with watched(quick):
        pass
    assert not quick.killed.wait(2)
    quick.kill()


def test_strangers_are_turned_away(tmp_path: Path) -> None:
    (path,) = films(tmp_path / "in", 1)
    with running(tmp_path, callers=("PACS",)) as node:
        assert send(node.port, path, caller="STRANGER") == []
        assert send(node.port, path, title="OTHER") == []
        assert send(node.port, path, caller="PACS") == [0]
    with running(tmp_path / "b", networks=(parse_network("10.0.0.0/8"),)) as node:
        assert send(node.port, path) == []
        assert node.queue.counts()["accepted"] == 0


def test_a_full_disk_is_said_and_the_node_goes_on(tmp_path: Path) -> None:
    first, second = films(tmp_path / "in", 2)
    with running(tmp_path) as node:
        free = node.queue.free
        node.queue.free = lambda: 10  # type: ignore[method-assign]
        assert send(node.port, first) == [0xA700]
        node.queue.free = free  # type: ignore[method-assign]
        assert send(node.port, second) == [0]
        eventually(lambda: node.queue.counts()["results"] == 1)
        assert node.queue.counts()["accepted"] == 0


def test_a_film_that_the_disk_refuses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = films(tmp_path / "in", 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with running(tmp_path) as node:
        monkeypatch.setattr(node.queue, "accept", full)
        assert send(node.port, path) == [0xA700]


def test_garbage_on_the_line_harms_nobody(tmp_path: Path) -> None:
    (path,) = films(tmp_path / "in", 1)
    with running(tmp_path) as node:
        for content in (b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00" + b"\xff" * 4000, b""):
            with socket.create_connection(("127.0.0.1", node.port)) as line:
                line.sendall(content)
        assert send(node.port, path) == [0]
        eventually(lambda: node.queue.counts()["results"] == 1)


def test_objects_that_are_no_films_are_done_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    uid = generate_uid
    refused = {
        "truncated": film(tmp_path / "in" / "truncated.dcm", SOPInstanceUID=uid()),
        "lateral": film(tmp_path / "in" / "l.dcm", SOPInstanceUID=uid(), ViewPosition="LL"),
        "frames": film(tmp_path / "in" / "f.dcm", SOPInstanceUID=uid(), NumberOfFrames=3),
        "own": film(tmp_path / "in" / "o.dcm", SOPInstanceUID=uid(), Manufacturer="Pneumoscope"),
    }
    dataset = dcmread(refused["truncated"])
    dataset.PixelData = dataset.PixelData[:100]
    dataset.save_as(refused["truncated"])
    with running(tmp_path) as node:
        assert send(node.port, *refused.values()) == [0] * 4
        read(node, 4)
        notes = " ".join(path.read_text() for path in (node.queue.folder / "done").iterdir())
        assert node.queue.counts()["results"] == 0
    for reason in ("truncated", "no frontal view", "holds 3 frames", "result of Pneumoscope"):
        assert reason in notes


def test_an_object_that_is_not_what_it_is_called_is_refused(tmp_path: Path) -> None:
    from pynetdicom import AE

    (path,) = films(tmp_path / "in", 1)
    with running(tmp_path) as node:
        entity = AE(ae_title="PACS")
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1")
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
        association = entity.associate("127.0.0.1", node.port, ae_title="PNEUMOSCOPE")
        dataset = dcmread(path)
        with pytest.raises(ValueError, match="context"):  # CT is not accepted at all.
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            association.send_c_store(dataset)
        association.release()
        assert node.queue.counts()["accepted"] == 0


def test_a_destination_that_is_down_gets_everything_later(tmp_path: Path) -> None:
    port = peers.free_port()
    with running(tmp_path, destination=destination(port)) as node:
        assert send(node.port, *films(tmp_path / "in", 3)) == [0] * 3
        eventually(lambda: node.queue.counts()["results"] == 3)
        with receiving(port) as receiver:
            receiver.status = 0xA700
            eventually(lambda: receiver.refused)
            assert node.queue.counts()["done"] == 0
            receiver.status = 0
            read(node, 3)
            assert len(receiver.uids) == len(receiver.got) == 6


def test_an_object_that_is_refused_keeps_no_other_waiting(tmp_path: Path) -> None:
    """Also where it would be tried again only after an hour."""
    first, second = films(tmp_path / "in", 2)
    with (
        receiving() as receiver,
        running(
            tmp_path,
            destination=destination(receiver.port),
            kinds=("sr",),
            first_retry=3600.0,
            longest_retry=3600.0,
        ) as node,
    ):
        receiver.status = 0xC000
        send(node.port, first)
        eventually(lambda: receiver.refused)
        receiver.status = 0
        send(node.port, second)
        read(node, 1)
        eventually(lambda: node.queue.counts()["results"] == 1)


def test_what_the_destination_does_not_take_is_kept_aside(tmp_path: Path) -> None:
    contexts = [build_context(CAPTURE)]
    with (
        receiving(contexts=contexts) as receiver,
        running(tmp_path, destination=destination(receiver.port)) as node,
    ):
        send(node.port, *films(tmp_path / "in", 1))
        read(node, 1)
        assert len(receiver.got) == 1
        assert node.queue.counts()["undeliverable"] == 1


def test_a_film_that_the_model_fails_on_ends_in_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoscope.dicom.node.worker._AFTER_ERROR_SECONDS", 0.01)
    bad, good = films(tmp_path / "in", 2)
    uid = dcmread(bad).SOPInstanceUID

    whole = outcome.tell

    def fails(item: Any, path: Path, *rest: Any) -> Any:
        if dcmread(path).SOPInstanceUID == uid:
            raise RuntimeError(NAME)
        return whole(item, path, *rest)

    monkeypatch.setattr("pneumoscope.dicom.node.worker.tell", fails)
    with running(tmp_path) as node:
        assert send(node.port, bad, good) == [0, 0]
        eventually(lambda: node.queue.counts()["quarantine"] == 1)
        eventually(lambda: node.queue.counts()["results"] == 1)


def test_a_full_disk_while_reading_costs_no_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoscope.dicom.node.worker._AFTER_ERROR_SECONDS", 0.01)

    whole, times = outcome.tell, 0

    def full(*arguments: Any) -> Any:
        nonlocal times
        times += 1
        if times <= 5:
            raise OSError(28, "No space left on device")
        return whole(*arguments)

    monkeypatch.setattr("pneumoscope.dicom.node.worker.tell", full)
    with running(tmp_path) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.queue.counts()["results"] == 1)
        assert node.queue.counts()["quarantine"] == 0


def fails(_: Result) -> Any:
    raise ValueError(NAME)


def test_a_kind_that_fails_keeps_no_other_from_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(_MAKERS, "gsps", fails)
    with receiving() as receiver:
        changes = {"kinds": ("sr", "gsps"), "destination": destination(receiver.port)}
        with running(tmp_path, **changes) as node:
            send(node.port, *films(tmp_path / "in", 1))
            read(node, 1)
    assert [str(made.Modality) for made in receiver.got] == ["SR"]
    (said,) = [log for log in caplog.records if getattr(log, "event", "") == "object.left_out"]
    assert vars(said)["fields"]["kind"] == "gsps"
    assert said.getMessage().endswith("gsps cannot be made (ValueError)")
    (done,) = (tmp_path / "queue" / "done").iterdir()
    assert json.loads(done.read_text())["left_out"] == {"gsps": "gsps cannot be made (ValueError)"}
    assert NAME not in caplog.text


def test_a_film_without_any_object_ends_in_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pneumoscope.dicom.node.worker._AFTER_ERROR_SECONDS", 0.01)
    monkeypatch.setitem(_MAKERS, "gsps", fails)
    with running(tmp_path, kinds=("gsps",)) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.queue.counts()["quarantine"] == 1)
    said = [log for log in caplog.records if getattr(log, "event", "") == "film.failed"]
    assert len(said) == worker.MOST_ATTEMPTS
    assert said[0].getMessage().endswith("at the objects: gsps cannot be made (ValueError)")


@pytest.mark.parametrize("error", [OutputError("does not read back"), OSError("truncated")])
def test_only_what_the_system_refuses_is_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Libraries raise OSError, too, where the radiograph is at fault."""
    monkeypatch.setattr("pneumoscope.dicom.node.worker._AFTER_ERROR_SECONDS", 0.01)

    def raises(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("pneumoscope.dicom.node.worker.tell", raises)
    with running(tmp_path) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.queue.counts()["quarantine"] == 1)
