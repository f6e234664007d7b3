"""Results are kept, found, and forgotten."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pneumoscope.errors import OutputError, SettingsError
from pneumoscope.serve.jobs import Answer, Job, WorkQueue
from pneumoscope.serve.settings import ServeSettings, read_token
from pneumoscope.serve.store import FolderStore, MemoryStore, Store

KEY = "0123456789abcdef" * 2
ANSWER = Answer(KEY, "{}", b"film", b"heat", 3, 2, "source")


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore(60, 1000)
    return FolderStore(tmp_path / "store", 60)


def test_what_is_kept_is_found_and_forgotten(store: Store) -> None:
    assert store.get(KEY) is None
    store.add(ANSWER)
    assert store.get(KEY) == ANSWER
    store.sweep()
    assert store.remove(KEY)
    assert not store.remove(KEY)
    assert store.get(KEY) is None


@pytest.mark.parametrize("key", ["../store", "", ".", f"{KEY}/..", KEY.upper(), "x" * 5000])
def test_only_ids_are_looked_up(store: Store, key: str) -> None:
    store.add(ANSWER)
    assert store.get(key) is None
    assert not store.remove(key)


def test_the_old_go_first_when_memory_is_full() -> None:
    store = MemoryStore(60, 25)
    for index in range(4):
        store.add(Answer(f"{index:032x}", "{}", b"12345678"))
    assert [store.get(f"{index:032x}") is None for index in range(4)] == [True, True, False, False]


def test_memory_forgets_after_a_while() -> None:
    store = MemoryStore(0.01, 1000)
    store.add(ANSWER)
    time.sleep(0.02)
    assert store.get(KEY) is None
    store.sweep()
    assert not store.remove(KEY)


def test_a_folder_forgets_after_a_while_and_outlives_the_server(tmp_path: Path) -> None:
    FolderStore(tmp_path, 60).add(ANSWER)
    again = FolderStore(tmp_path, 60)
    assert again.get(KEY) == ANSWER
    (tmp_path / f".{KEY}").mkdir()
    for name in (KEY, f".{KEY}"):
        os.utime(tmp_path / name, (0, 0))
    assert again.get(KEY) is None
    again.sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["pneumoscope-store.json"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(OutputError, match="something else"):
        FolderStore(tmp_path, 60)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_queue_keeps_its_bound_and_its_order() -> None:
    queue = WorkQueue(3)
    assert queue.reserve(2) and queue.reserve(1) and not queue.reserve(1)
    jobs = [Job(str(index), Path(str(index))) for index in range(3)]
    for job in jobs:
        queue.put(job)
    assert queue.take(2, wait=True, idle=True) == jobs[:2]
    jobs[0].attempts = 1
    queue.put_back(jobs[:2])
    assert queue.take(3, wait=False, idle=False) == []
    assert queue.take(3, wait=True, idle=True) == jobs[:1]
    assert queue.take(3, wait=True, idle=True) == jobs[1:]
    queue.close()
    assert queue.take(1, wait=False, idle=True) == []
    queue.release(3)
    assert queue.take(1, wait=True, idle=True) is None
    assert not queue.reserve(1)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.4", "::", "films.example"])
def test_other_addresses_need_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="token-file"):
        ServeSettings(host=host)
    assert ServeSettings(host=host, token="x" * 16).token is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_this_machine_needs_none(host: str) -> None:
    assert ServeSettings(host=host).token is None


def test_a_token_is_read_and_hidden(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  0123456789abcdef\n")
    assert read_token(file) == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(ServeSettings(token=read_token(file)))
    for text in ("short", "with a space in the token", ""):
        file.write_text(text)
        with pytest.raises(SettingsError, match="16 characters"):
            read_token(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_token(tmp_path / "none")


@pytest.mark.parametrize("folder", [False, True])
def test_a_reading_stands_beside_its_result(tmp_path: Path, folder: bool) -> None:
    store = FolderStore(tmp_path / "store", 60) if folder else MemoryStore(60, 1 << 20)
    key = "0" * 32
    assert not store.read(key, "{}")
    store.add(Answer(key, "{}", b"film", b"heat", values=b"values"))
    assert store.read(key, '{"note": "é"}')
    assert store.read(key, '{"note": "two"}')
    found = store.get(key)
    assert found == Answer(key, "{}", b"film", b"heat", values=b"values", reading='{"note": "two"}')
    assert store.remove(key)
    assert not store.read(key, "{}")
