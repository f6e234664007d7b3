"""A private folder for uploads, and the folders that killed servers left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "pneumoscope-"
_LOCK = "serve.lock"


class Scratch:
    """A folder that is this process's alone.

    Its process holds a lock on a file in it, which the system releases however the process ends.
    Folders of this user whose lock nobody holds are removed first.

    Attributes:
        path: the folder, which only this user can read.
    """

    def __init__(self) -> None:
        _remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        making = self.path / f".{_LOCK}"
        self._lock = os.open(making, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
        # Not every file system has locks; without one, the folder is never taken for abandoned.
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            # Locked before it has its name: another server that starts now must not remove it.
            making.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # It may be gone, or not ours to open.
        with contextlib.suppress(OSError):
            if _is_own(folder):
                _remove_unlocked(folder)


def _is_own(folder: Path) -> bool:
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid()


def _remove_unlocked(folder: Path) -> None:
    """Remove a folder whose server has ended; one without the file is not a server's."""
    with _opened(folder / _LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        yield lock
    finally:
        os.close(lock)
