"""The queue on disk: what was accepted is in it until it is sent, or somebody takes it out.

    incoming/              being written; emptied at the start
    accepted/KEY.dcm       radiographs that wait for the model
    results/KEY/*.dcm      objects that wait for the destination; a folder appears when it is whole
    undeliverable/KEY/     objects that the destination does not take at all
    uncommitted/KEY/       objects that were sent, and whose storage is not yet committed
    quarantine/KEY.dcm     radiographs that the model failed on again and again
    done/KEY.json          what became of a radiograph; no patient data
    attempts/KEY           how often a radiograph was begun
    films/DIGEST           KEY of the file from which a radiograph was read; see `Source.digest`
    reports/DIGEST         UIDs of the last report about a radiograph

KEY is the SHA-256 of the radiograph's file, so that no name tells anything and the same object sent
twice is known. The same radiograph in another transfer syntax is another file: `films` tells that
it was read. Each step is a rename on one file system, after what it moves was synchronised to disk:
at any moment a radiograph is in exactly one state, or in two of which the later one counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from pneumoscope.errors import OutputError
from pneumoscope.files import sha256_file, write_json, write_text

_FOLDERS = (
    "incoming", "accepted", "results", "undeliverable", "uncommitted", "quarantine", "done",
    "attempts", "films", "reports", "transactions", "requests",
)  # fmt: skip
STATES = ("accepted", "results", "undeliverable", "uncommitted", "quarantine")
"""Where a radiograph or its objects wait for something."""


_SHORTEST_KEY = 6


class QueueInUse(OutputError):
    """Another process holds the queue."""


class Queue:
    """The queue in a folder, which one process holds at a time.

    Args:
        folder: created if missing.

    Raises:
        QueueInUse: another process holds it.
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._changes = 0
        try:
            for name in _FOLDERS:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._held = (self.folder / "lock").open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise QueueInUse(
                "is in use by another node", path=folder, remedy="stop it, or name another folder"
            ) from None
        except OSError as error:
            raise OutputError(
                f"cannot hold a queue ({error.strerror})", path=folder, remedy="check permissions"
            ) from error
        self._recover()

    def close(self) -> None:
        """Let another process hold it."""
        self._held.close()

    def free(self) -> int:
        """Bytes free on its disk."""
        return shutil.disk_usage(self.folder).free

    def accept(self, content: bytes) -> tuple[str, bool]:
        """Take a radiograph in; when this returns it is on disk, not just in its cache.

        Returns:
            Its key, and whether it is new.

        Raises:
            OSError: the disk is full or broken; then the radiograph was not taken in.
        """
        temporary = self.folder / "incoming" / uuid4().hex
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            key = sha256_file(temporary)
            with self._lock:
                if self._known(key):
                    return key, False
                temporary.replace(self._film(key))
                _sync(self.folder / "accepted")
        finally:
            temporary.unlink(missing_ok=True)
        self.wake()
        return key, True

    def waiting(self) -> list[tuple[str, Path]]:
        """Films that wait for the model: the least often begun first, of these the oldest.

        A radiograph that brings the process down so lets the others pass before it is tried again.
        """
        films = (self.folder / "accepted").glob("*.dcm")
        order = sorted(films, key=lambda film: (self._attempts(film.stem), *_age(film)))
        return [(film.stem, film) for film in order]

    def begin(self, key: str) -> int:
        """Count that a radiograph is begun, and say for which time."""
        times = 1 + self._attempts(key)
        (self.folder / "attempts" / key).write_text(str(times))
        return times

    def begin_again(self, key: str) -> None:
        """Forget that a radiograph was begun: what stopped it was not the radiograph."""
        (self.folder / "attempts" / key).unlink(missing_ok=True)

    def staging(self, key: str) -> Path:
        """A new folder for the objects of a radiograph, gone after a kill."""
        folder = self.folder / "incoming" / f"{key}-{uuid4().hex}"
        folder.mkdir()
        return folder

    def twin(self, film: str, key: str) -> str | None:
        """The key of another file from which this radiograph was read; None if there is none.

        Args:
            film: `Source.digest`.
            key: of the file at hand.
        """
        try:
            other = (self.folder / "films" / film).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        return other if other != key and self._was_read(other) else None

    def report(self, film: str) -> list[str] | None:
        """The UIDs of the last report about a radiograph, as `remember_report` had them."""
        try:
            found = json.loads((self.folder / "reports" / film).read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return [str(uid) for uid in found]

    def remember_report(self, film: str, uids: Sequence[str]) -> None:
        """Keep the UIDs of a report, so that the next one about this radiograph refers to it."""
        write_text(self.folder / "reports" / film, json.dumps(list(uids)))

    def processed(
        self, key: str, staged: Path, note: Mapping[str, Any], film: str | None = None
    ) -> None:
        """The objects of a radiograph are in `staged`: let them wait for the destination.

        Args:
            key: of the radiograph.
            staged: folder of `staging`; without objects the radiograph is done.
            note: what became of it, without patient data.
            film: `Source.digest`, so that the same radiograph in another file is known.
        """
        if film is not None:  # Before the result: without one it means nothing.
            write_text(self.folder / "films" / film, key)
        objects = any(path.suffix == ".dcm" for path in staged.iterdir())
        if objects:
            write_json(staged / "note.json", dict(note))
            for path in (*staged.iterdir(), staged):
                _sync(path)
        with self._lock:
            if not self._film(key).exists():  # Dropped meanwhile.
                objects = False
            elif objects:
                staged.replace(self.folder / "results" / key)
                _sync(self.folder / "results")
            else:
                self._done(key, note)
            self._forget_film(key)
        if not objects:
            shutil.rmtree(staged)
        self.wake()

    def quarantine(self, key: str, note: Mapping[str, Any]) -> None:
        """Keep a radiograph that the model fails on, where nothing tries it again."""
        with self._lock:
            self._film(key).replace(self.folder / "quarantine" / f"{key}.dcm")
            _sync(self.folder / "quarantine")
            self._done(key, note)
            self._forget_film(key)

    def outgoing(self) -> list[tuple[str, Path]]:
        """Objects that wait for the destination, the oldest films' first."""
        folders = sorted((self.folder / "results").iterdir(), key=_age)
        return [(folder.name, path) for folder in folders for path in sorted(folder.glob("*.dcm"))]

    def sent(self, path: Path) -> None:
        """An object has arrived; with the last one its radiograph is done."""
        with self._lock:
            path.unlink(missing_ok=True)
            self._close_result(path.parent)

    def undeliverable(self, path: Path) -> None:
        """Keep an object that the destination does not take, where nothing sends it again."""
        self._keep(path, "undeliverable")

    def uncommitted(self, path: Path) -> None:
        """Keep an object that has arrived until the destination says that it keeps it."""
        self._keep(path, "uncommitted")

    def _keep(self, path: Path, state: str) -> None:
        with self._lock:
            if not path.exists():  # Dropped meanwhile.
                return
            self._move(path, state)
            self._close_result(path.parent)

    def _move(self, path: Path, state: str) -> None:
        kept = self.folder / state / path.parent.name
        kept.mkdir(exist_ok=True)
        path.replace(kept / path.name)
        _sync(kept)

    def forget(self, path: Path) -> None:
        """Delete an object that waits outside `results`, with its folder if that is the last."""
        with self._lock:
            path.unlink(missing_ok=True)
            _remove_if_empty(path.parent)

    def put_back(self, path: Path, state: str) -> None:
        """Move an object that waits outside `results` to `results` or `undeliverable`."""
        with self._lock:
            if not path.exists():
                return
            if state == "results":
                self._send_again(path.parent, [path])
                return
            self._move(path, state)
            _remove_if_empty(path.parent)
        self.wake()

    def find(self, what: str) -> list[tuple[str, str]]:
        """(state, key) of what waits in a state, or of what a key or its first digits name."""
        places = [(state, path) for state in STATES for path in (self.folder / state).iterdir()]
        return [
            (state, path.stem)
            for state, path in places
            if what == state or (len(what) >= _SHORTEST_KEY and path.stem.startswith(what))
        ]

    def retry(self, state: str, key: str) -> int:
        """Put back what was given up: objects to be sent, or a radiograph to be read again.

        Returns:
            How many files.
        """
        with self._lock:
            if state == "quarantine":
                (self.folder / "done" / f"{key}.json").unlink(missing_ok=True)
                (self.folder / "attempts" / key).unlink(missing_ok=True)
                (self.folder / state / f"{key}.dcm").replace(self._film(key))
                number = 1
            elif state in ("undeliverable", "uncommitted"):
                folder = self.folder / state / key
                number = self._send_again(folder, sorted(folder.glob("*.dcm")))
            else:
                return 0
        self.wake()
        return number

    def _send_again(self, folder: Path, paths: Sequence[Path]) -> int:
        results, done = self.folder / "results" / folder.name, self.folder / "done"
        results.mkdir(exist_ok=True)
        note = done / f"{folder.name}.json"
        if note.exists():
            write_json(results / "note.json", json.loads(note.read_text("utf-8")))
        for path in paths:
            path.replace(results / path.name)
        _sync(results)
        note.unlink(missing_ok=True)
        _remove_if_empty(folder)
        return len(paths)

    def drop(self, state: str, key: str) -> int:
        """Delete a radiograph, or objects that wait; a note says so.

        Returns:
            How many files.
        """
        with self._lock:
            path = self.folder / state / key
            files = list(path.glob("*.dcm")) if path.is_dir() else [path.with_suffix(".dcm")]
            if not (self.folder / "done" / f"{key}.json").exists():
                self._done(key, {**_note(path), "dropped": True})
            for file in files:
                file.unlink(missing_ok=True)
            if path.is_dir():
                shutil.rmtree(path)
            (self.folder / "attempts" / key).unlink(missing_ok=True)
        return len(files)

    def counts(self) -> dict[str, int]:
        """How many radiographs or objects are in each state, at one moment: none counts twice."""
        with self._lock:
            return {
                state: sum(1 for _ in (self.folder / state).iterdir())
                for state in (*STATES, "done")
            }

    @property
    def changes(self) -> int:
        """How often something has changed."""
        return self._changes

    def wait(self, seconds: float, since: int) -> None:
        """Sleep until something has changed, at most so long.

        Args:
            seconds: at most.
            since: `changes` as it was before the caller looked at the queue, so that no change
                between that look and this call is slept through.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._changes != since, seconds)

    def wake(self) -> None:
        """End all sleep: something changed."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _film(self, key: str) -> Path:
        return self.folder / "accepted" / f"{key}.dcm"

    def _attempts(self, key: str) -> int:
        try:
            return int((self.folder / "attempts" / key).read_text() or 0)
        except FileNotFoundError:
            return 0

    def _known(self, key: str) -> bool:
        return self._film(key).exists() or self._was_read(key)

    def _was_read(self, key: str) -> bool:
        later = ((self.folder / "results" / key), (self.folder / "done" / f"{key}.json"))
        return any(path.exists() for path in later)

    def _forget_film(self, key: str) -> None:
        self._film(key).unlink(missing_ok=True)
        (self.folder / "attempts" / key).unlink(missing_ok=True)

    def _close_result(self, folder: Path) -> None:
        if not folder.is_dir() or any(folder.glob("*.dcm")):
            return
        note = _note(folder)
        if note or not (self.folder / "done" / f"{folder.name}.json").exists():
            self._done(folder.name, note)
        shutil.rmtree(folder)

    def _done(self, key: str, note: Mapping[str, Any]) -> None:
        path = self.folder / "done" / f"{key}.json"
        write_json(path, dict(note))
        _sync(path)
        _sync(path.parent)

    def _recover(self) -> None:
        """Finish the steps that a kill cut in two."""
        for path in (self.folder / "incoming").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in (self.folder / "results").iterdir():
            self._forget_film(folder.name)
            self._close_result(folder)
        for key, _ in self.waiting():
            if (self.folder / "done" / f"{key}.json").exists():
                self._forget_film(key)


def _note(folder: Path) -> dict[str, Any]:
    path = folder / "note.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except FileNotFoundError:  # Another thread was faster.
        return 0.0, path.name


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
