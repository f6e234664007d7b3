"""Storage commitment: objects stay until the destination says that it keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from pneumoscope.dicom.node import WebPeer
from pneumoscope.dicom.node.commitment import PUSH_MODEL
from pneumoscope.dicom.node.settings import NodeSettings
from pneumoscope.errors import SettingsError
from tests.dicom import peers
from tests.dicom.nodes import destination, films, read, running
from tests.dicom.peers import Orthanc, Receiver, eventually, needs, receiving, send


class Archive:
    """Answers questions about storage for a receiver: by what it has, or as it is told.

    Args:
        receiver: what it has.
    """

    def __init__(self, receiver: Receiver) -> None:
        from pynetdicom import evt

        self.receiver = receiver
        self.asked: list[Dataset] = []
        self.lies = False
        self.node_port: int | None = None
        receiver.take(PUSH_MODEL)
        receiver.server.bind(evt.EVT_N_ACTION, self._action)

    def _action(self, event: Any) -> tuple[int, None]:
        request = event.action_information
        self.asked.append(request)
        association = event.assoc if self.node_port is None else None
        threading.Timer(0.05, self.answer, [request, association]).start()
        return 0x0000, None

    def answer(self, request: Dataset, association: Any = None) -> int | None:
        """Report, on the association of the question or on one of its own; the node's status."""
        told, kept, lost = Dataset(), [], []
        for item in request.ReferencedSOPSequence:
            has = item.ReferencedSOPInstanceUID in self.receiver.uids
            if has and not self.lies:
                kept.append(item)
            else:
                item.FailureReason = 0x0112
                lost.append(item)
        told.TransactionUID = request.TransactionUID
        told.ReferencedSOPSequence = kept
        if lost:
            told.FailedSOPSequence = lost
        own = association or self._call()
        kind = 2 if lost else 1
        status, _ = own.send_n_event_report(told, kind, PUSH_MODEL, f"{PUSH_MODEL}.1")
        if association is None:
            own.release()
        return status.get("Status")  # type: ignore[no-any-return]

    def _call(self) -> Any:
        from pynetdicom import AE, build_role

        assert self.node_port is not None
        entity = AE(ae_title="DEST")
        entity.add_requested_context(PUSH_MODEL)
        role = build_role(PUSH_MODEL, scp_role=True)
        return entity.associate("127.0.0.1", self.node_port, ae_title="PNEUMOSCOPE", ext_neg=[role])


@contextmanager
def archive() -> Iterator[Archive]:
    with receiving() as receiver:
        yield Archive(receiver)


def committing(tmp_path: Path, port: int, **changes: Any) -> Any:
    return running(tmp_path, destination=destination(port), commit=True, **changes)


@pytest.mark.parametrize("own_association", [False, True], ids=["same", "own"])
def test_what_is_kept_is_deleted(tmp_path: Path, own_association: bool) -> None:
    with archive() as there, committing(tmp_path, there.receiver.port) as node:
        there.node_port = node.port if own_association else None
        send(node.port, *films(tmp_path / "in", 2))
        eventually(lambda: node.tally.counts()["committed"] == {"success": 4})
        assert node.queue.counts()["uncommitted"] == 0
        eventually(lambda: not any((tmp_path / "queue" / "transactions").iterdir()))
    named = {
        item.ReferencedSOPInstanceUID for ask in there.asked for item in ask.ReferencedSOPSequence
    }
    assert named == there.receiver.uids


@pytest.mark.slow
def test_what_is_not_kept_is_sent_again_and_at_last_given_up(tmp_path: Path) -> None:
    with archive() as there, committing(tmp_path, there.receiver.port, kinds=("sr",)) as node:
        there.lies = True
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: len(there.receiver.got) == 2)
        there.lies = False
        eventually(lambda: node.tally.counts()["committed"].get("success") == 1)
        there.lies = True
        send(node.port, films(tmp_path / "in", 2)[1])
        eventually(lambda: node.queue.counts()["undeliverable"] == 1)
        assert node.queue.counts()["uncommitted"] == 0
        assert len(there.receiver.uids) == 2


def test_a_question_outlives_the_node_and_a_stranger_answers_none(tmp_path: Path) -> None:
    with archive() as there:
        there.node_port = peers.free_port()  # Nobody there: the answer is lost.
        with committing(tmp_path, there.receiver.port, kinds=("sr",)) as node:
            send(node.port, *films(tmp_path / "in", 1))
            eventually(lambda: there.asked)
            eventually(lambda: node.queue.counts()["uncommitted"] == 1)
        first = there.asked[0]
        with committing(tmp_path, peers.free_port(), kinds=("sr",)) as node:
            there.node_port = node.port
            made_up = Dataset()
            made_up.TransactionUID = "2.25.1"
            made_up.ReferencedSOPSequence = first.ReferencedSOPSequence
            assert there.answer(made_up) == 0x0110
            assert node.queue.counts()["uncommitted"] == 1
            assert there.answer(first) == 0x0000
            assert node.queue.counts()["uncommitted"] == 0


def test_a_destination_without_the_service_is_told_of(tmp_path: Path) -> None:
    with receiving() as receiver, committing(tmp_path, receiver.port, kinds=("sr",)) as node:
        send(node.port, *films(tmp_path / "in", 1))
        eventually(lambda: node.tally.trouble)
        assert node.queue.counts()["uncommitted"] == 1
        trouble = node.tally.trouble
        assert trouble is not None
        assert "storage commitment" in str(trouble.failure)


def test_dicomweb_has_no_storage_commitment(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DICOM destination"):
        NodeSettings(queue=tmp_path, destination=WebPeer("http://127.0.0.1/x"), commit=True)


@pytest.mark.slow
@needs(peers.ORTHANC)
def test_orthanc_commits_what_it_stored(tmp_path: Path) -> None:
    port = peers.free_port()
    modality = {
        "AET": "PNEUMOSCOPE",
        "Host": "127.0.0.1",
        "Port": port,
        "AllowStorageCommitment": True,
    }
    orthanc = Orthanc(tmp_path, {"pneumoscope": modality})
    orthanc.start()
    try:
        peer = destination(orthanc.dicom, "ORTHANC")
        with running(tmp_path, destination=peer, commit=True, port=port) as node:
            send(node.port, *films(tmp_path / "in", 2))
            read(node, 2)
            eventually(lambda: node.tally.counts()["committed"] == {"success": 4})
            assert node.queue.counts()["uncommitted"] == 0
    finally:
        orthanc.kill()
