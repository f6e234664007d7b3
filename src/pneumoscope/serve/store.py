"""Results by their random ids, forgotten after a while."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from pneumoscope.errors import OutputError
from pneumoscope.files import write_json, write_text
from pneumoscope.serve.jobs import Answer

_KEY = re.compile(r"[0-9a-f]{32}")
_MARK = "pneumoscope-store.json"
_PICTURES = ("film", "heatmap", "values")
_READING = "reading.json"


class Store(Protocol):
    """Where results are."""

    def add(self, answer: Answer) -> None:
        """Keep a result."""
        ...

    def get(self, key: str) -> Answer | None:
        """A result; None if there is none, or no more."""
        ...

    def read(self, key: str, reading: str) -> bool:
        """Keep a reading beside its result and renew the result; False if there is none."""
        ...

    def remove(self, key: str) -> bool:
        """Forget a result; False if there is none."""
        ...

    def sweep(self) -> None:
        """Forget what is too old."""
        ...


class MemoryStore:
    """In memory.

    Args:
        seconds: a result is kept so long.
        room: bytes of all results, at most; the oldest go first.
    """

    def __init__(self, seconds: float, room: int) -> None:
        self._seconds, self._room, self._used = seconds, room, 0
        self._results: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, answer: Answer) -> None:
        """Keep a result."""
        with self._lock:
            self._results[answer.key] = (time.monotonic() + self._seconds, answer)
            self._used += answer.size
            while self._used > self._room and len(self._results) > 1:
                self._forget(next(iter(self._results)))

    def get(self, key: str) -> Answer | None:
        """A result; None if there is none, or no more."""
        with self._lock:
            until, answer = self._results.get(key, (0.0, None))
            return answer if until > time.monotonic() else None

    def read(self, key: str, reading: str) -> bool:
        """Keep a reading beside its result and renew the result; False if there is none."""
        with self._lock:
            until, answer = self._results.get(key, (0.0, None))
            now = time.monotonic()
            if answer is None or until <= now:
                return False
            self._results[key] = (now + self._seconds, replace(answer, reading=reading))
            return True

    def remove(self, key: str) -> bool:
        """Forget a result; False if there is none."""
        with self._lock:
            if key not in self._results:
                return False
            self._forget(key)
            return True

    def sweep(self) -> None:
        """Forget what is too old."""
        with self._lock:
            now = time.monotonic()
            for key in [key for key, (until, _) in self._results.items() if until <= now]:
                self._forget(key)

    def _forget(self, key: str) -> None:
        _, answer = self._results.pop(key)
        self._used -= answer.size


class FolderStore:
    """In a folder, one folder per result; they outlive the server.

    Args:
        folder: made if missing; one that holds anything but results is refused.
        seconds: a result is kept so long.

    Raises:
        OutputError: the folder cannot be used.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        mark = folder / _MARK
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            known = mark.is_file() or not any(folder.iterdir())
        except OSError as error:
            raise OutputError(
                f"cannot be used ({error.strerror})", path=folder, remedy="choose another --store"
            ) from error
        if not known:
            raise OutputError(
                "holds something else than results of pneumoscope serve",
                path=folder,
                remedy="choose another --store",
            )
        write_json(mark, {"format": 1})

    def add(self, answer: Answer) -> None:
        """Keep a result; it appears whole or not at all.

        Raises:
            OSError: the disk is full.
        """
        making = self._folder / f".{answer.key}"
        making.mkdir(mode=0o700)
        try:
            for part in _PICTURES:
                content = getattr(answer, part)
                if content is not None:
                    (making / f"{part}.png").write_bytes(content)
            text = asdict(answer) | dict.fromkeys(_PICTURES)
            (making / "answer.json").write_text(json.dumps(text), encoding="utf-8")
            making.rename(self._folder / answer.key)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            raise

    def get(self, key: str) -> Answer | None:
        """A result; None if there is none, or no more."""
        if not _KEY.fullmatch(key):
            return None
        folder = self._folder / key
        try:
            if folder.stat().st_mtime + self._seconds <= time.time():
                return None
            known = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
            reading = _bytes(folder / _READING)
            if reading is not None:
                known["reading"] = reading.decode("utf-8")
            pictures = {part: _bytes(folder / f"{part}.png") for part in _PICTURES}
        except FileNotFoundError:
            return None
        return Answer(**known | pictures)

    def read(self, key: str, reading: str) -> bool:
        """Keep a reading beside its result and renew the result; False if there is none.

        Raises:
            OSError: the disk is full.
        """
        if self.get(key) is None:
            return False
        # A new file in the folder renews the folder's time.
        write_text(self._folder / key / _READING, reading)
        return True

    def remove(self, key: str) -> bool:
        """Forget a result; False if there is none."""
        if not _KEY.fullmatch(key) or not (self._folder / key).is_dir():
            return False
        shutil.rmtree(self._folder / key, ignore_errors=True)
        return True

    def sweep(self) -> None:
        """Forget what is too old, and what a killed server left half-written."""
        for folder in self._folder.iterdir():
            if not _KEY.fullmatch(folder.name.removeprefix(".")):
                continue
            try:
                old = folder.stat().st_mtime + self._seconds <= time.time()
            except FileNotFoundError:
                continue
            if old:
                shutil.rmtree(folder, ignore_errors=True)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
