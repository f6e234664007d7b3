from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pneumoscope.dicom.node.queue import Queue
from pneumoscope.errors import OutputError


def reopened(queue: Queue) -> Queue:
    queue.close()
    return Queue(queue.folder)


def processed(queue: Queue, key: str, *names: str) -> None:
    staged = queue.staging(key)
    for name in names:
        (staged / name).write_bytes(b"object")
    queue.processed(key, staged, {"chosen": bool(names)})


def test_a_film_goes_from_state_to_state(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    key, new = queue.accept(b"film")
    assert new
    ((waiting, path),) = queue.waiting()
    assert (waiting, path.read_bytes()) == (key, b"film")
    processed(queue, key, "sc.dcm", "sr.dcm")
    assert queue.waiting() == []
    first, second = queue.outgoing()
    queue.sent(first[1])
    assert queue.counts()["done"] == 0
    queue.sent(second[1])
    assert queue.counts() == {
        "accepted": 0,
        "results": 0,
        "undeliverable": 0,
        "uncommitted": 0,
        "quarantine": 0,
        "done": 1,
    }
    assert queue.outgoing() == []


def test_the_same_object_is_known_in_every_state(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    key, _ = queue.accept(b"film")
    assert queue.accept(b"film") == (key, False)
    processed(queue, key, "sc.dcm")
    assert queue.accept(b"film") == (key, False)
    queue.sent(queue.outgoing()[0][1])
    assert queue.accept(b"film") == (key, False)
    assert reopened(queue).accept(b"film") == (key, False)


def test_what_was_being_written_is_cleared_and_what_was_accepted_is_not(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    key, _ = queue.accept(b"film")
    (tmp_path / "incoming" / "half").write_bytes(b"fi")
    (queue.staging(key) / "sc.dcm").write_bytes(b"half an object")
    queue = reopened(queue)
    assert list((tmp_path / "incoming").iterdir()) == []
    assert [waiting for waiting, _ in queue.waiting()] == [key]


def test_steps_that_a_kill_cut_in_two_are_finished(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    keys = [queue.accept(content)[0] for content in (b"one", b"two", b"three")]
    for key in keys[:2]:
        processed(queue, key, "sc.dcm")
    processed(queue, keys[2])
    for key in keys:  # As if the radiograph had not been taken away yet.
        (tmp_path / "accepted" / f"{key}.dcm").write_bytes(b"film")
    (tmp_path / "results" / keys[1] / "sc.dcm").unlink()  # Sent, but not yet done.
    queue = reopened(queue)
    assert queue.waiting() == []
    assert [key for key, _ in queue.outgoing()] == [keys[0]]
    assert {path.stem for path in (tmp_path / "done").iterdir()} == set(keys[1:])


def test_what_cannot_be_delivered_or_read_is_kept(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    key, _ = queue.accept(b"film")
    processed(queue, key, "sc.dcm")
    queue.undeliverable(queue.outgoing()[0][1])
    assert (tmp_path / "undeliverable" / key / "sc.dcm").read_bytes() == b"object"
    other, _ = queue.accept(b"other")
    assert [queue.begin(other) for _ in range(3)] == [1, 2, 3]
    queue.quarantine(other, {})
    assert (tmp_path / "quarantine" / f"{other}.dcm").read_bytes() == b"other"
    counts = queue.counts()
    assert (counts["undeliverable"], counts["quarantine"], counts["done"]) == (1, 1, 2)


def test_a_count_sees_each_object_once(tmp_path: Path) -> None:
    """Also while another thread moves it."""
    queue = Queue(tmp_path)
    key, _ = queue.accept(b"film")
    processed(queue, key, "sr.dcm")

    def move() -> None:
        for _ in range(50):
            queue.uncommitted(tmp_path / "results" / key / "sr.dcm")
            queue.put_back(tmp_path / "uncommitted" / key / "sr.dcm", "results")

    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move)
        while not moving.done():
            counts = queue.counts()
            assert counts["results"] + counts["uncommitted"] == 1
        moving.result()
    assert (tmp_path / "results" / key / "sr.dcm").exists()


def test_objects_put_back_survive_a_kill_at_any_step(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    key, _ = queue.accept(b"film")
    processed(queue, key, "sc.dcm", "sr.dcm")
    for _, path in queue.outgoing():
        queue.undeliverable(path)
    (tmp_path / "results" / key).mkdir()  # Killed before the first object was moved.
    queue = reopened(queue)
    assert queue.counts()["undeliverable"] == 1
    assert queue.retry("undeliverable", key) == 2
    assert [path.name for _, path in queue.outgoing()] == ["sc.dcm", "sr.dcm"]
    queue = reopened(queue)
    assert queue.counts()["done"] == 0
    for _, path in queue.outgoing():
        queue.sent(path)
    assert (tmp_path / "done" / f"{key}.json").read_text().count("true") == 1


def test_dropped_in_any_state_nothing_is_left_but_a_note(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    keys = [queue.accept(content)[0] for content in (b"one", b"two", b"three", b"four")]
    processed(queue, keys[1], "sc.dcm")
    processed(queue, keys[2], "sc.dcm")
    queue.undeliverable(tmp_path / "results" / keys[2] / "sc.dcm")
    queue.quarantine(keys[3], {})
    staged = queue.staging(keys[0])  # The model has the radiograph in hand.
    states = ("accepted", "results", "undeliverable", "quarantine")
    found = {state: queue.find(state) for state in states}
    assert found == {state: [(state, key)] for state, key in zip(states, keys, strict=True)}
    assert [queue.drop(state, key) for state, key in zip(states, keys, strict=True)] == [1] * 4
    (staged / "sc.dcm").write_bytes(b"object")
    queue.processed(keys[0], staged, {})
    queue = reopened(queue)
    counts = queue.counts()
    assert counts.pop("done") == 4
    assert set(counts.values()) == {0}
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_short_or_unknown_key_finds_nothing(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    key, _ = queue.accept(b"film")
    assert queue.find(key[:6]) == [("accepted", key)]
    assert queue.find(key[:5]) == queue.find("../../x") == queue.find("") == []


def test_attempts_outlive_the_process(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    key, _ = queue.accept(b"film")
    queue.begin(key)
    assert reopened(queue).begin(key) == 2


def test_a_film_that_was_begun_lets_the_others_pass(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    first, _ = queue.accept(b"first")
    second, _ = queue.accept(b"second")
    assert [key for key, _ in queue.waiting()] == [first, second]
    queue.begin(first)
    assert [key for key, _ in queue.waiting()] == [second, first]
    queue.begin_again(first)
    assert [key for key, _ in queue.waiting()] == [first, second]


def test_a_queue_has_one_holder(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    with pytest.raises(OutputError, match="in use"):
        Queue(tmp_path)
    assert reopened(queue).counts()["accepted"] == 0


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        queue.accept(b"film")
    assert queue.waiting() == []
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot hold a queue"):
        Queue(tmp_path / "file")


def test_a_change_before_the_sleep_is_not_slept_through(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    seen = queue.changes
    queue.accept(b"film")
    sleeper = threading.Thread(target=queue.wait, args=(600, seen), daemon=True)
    sleeper.start()
    sleeper.join(30)
    assert not sleeper.is_alive()


def test_a_change_ends_the_sleep(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    sleeper = threading.Thread(target=queue.wait, args=(600, queue.changes), daemon=True)
    sleeper.start()
    queue.accept(b"film")
    sleeper.join(30)
    assert not sleeper.is_alive()
