"""Nodes in this process, radiographs to send them, and destinations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from pneumoscope.dicom.node import Node, NodeSettings, Peer
from tests.dicom.films import film
from tests.dicom.node_process import engine
from tests.dicom.peers import eventually


@contextmanager
def running(tmp_path: Path, model: Any = None, **changes: Any) -> Iterator[Node]:
    """A node in this process, with a model that answers at once unless another is given."""
    settings = {"queue": tmp_path / "queue", "port": 0, "min_free": 0, "gate": False}
    retries = {"first_retry": 0.1, "longest_retry": 0.3}
    node = Node(NodeSettings(**{**settings, **retries, **changes}), model or engine())
    with pytest.MonkeyPatch.context() as patch:
        # A change just before a loop begins to wait for one is seen only when it has waited.
        for loop in ("commitment", "sender", "worker"):
            patch.setattr(f"pneumoscope.dicom.node.{loop}._IDLE_SECONDS", 0.2)
        node.start()
        try:
            yield node
        finally:
            node.stop()


def films(folder: Path, number: int) -> list[Path]:
    """Different radiographs of one study."""
    folder.mkdir(exist_ok=True)
    return [
        film(folder / f"{index}.dcm", SOPInstanceUID=generate_uid(entropy_srcs=[f"film {index}"]))
        for index in range(number)
    ]


def destination(port: int, title: str = "DEST") -> Peer:
    return Peer(title, "127.0.0.1", port)


def read(node: Node, number: int) -> None:
    eventually(lambda: node.queue.counts()["done"] == number)
