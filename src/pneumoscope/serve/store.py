"""Results by their random ids, forgotten after a while."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from pneumoscope.errors import OutputError
from pneumoscope.files import write_json
from pneumoscope.serve.jobs import Answer

_KEY = re.compile(r"[0-9a-f]{32}")
_MARK = "pneumoscope-store.json"


class Store(Protocol):
    """Where results are."""

    def add(self, answer: Answer) -> None:
        """Keep a result."""
        ...

    def get(self, key: str) -> Answer | None:
        """A result; None if there is none, or no more."""
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
            for name, content in (("film.png", answer.film), ("heatmap.png", answer.heatmap)):
                if content is not None:
                    (making / name).write_bytes(content)
            text = asdict(answer) | {"film": None, "heatmap": None}
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
            film, heat = (_bytes(folder / name) for name in ("film.png", "heatmap.png"))
        except FileNotFoundError:
            return None
        return Answer(**known | {"film": film, "heatmap": heat})

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
