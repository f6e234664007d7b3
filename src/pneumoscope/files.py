"""Writing files so that a half-written one never stands under its final name.

Used by every room; standard library only.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pneumoscope.errors import OutputError

PREDICTED, EXPLAINED = "predict.json", "explain.json"
"""What `predict` and `explain` leave in the folder that they write."""

_UMASK = threading.Lock()
_NO_SPACE = 1 << 16


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it goes.

    Raises:
        OutputError: the folder is missing or read-only, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(f"{path.suffix}", f".{path.stem}-", path.parent)
        os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically; what is no valid Unicode is written as an escape."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused, not written."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_tree(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, or of the names and bytes of all files below a folder."""
    path = Path(path)
    if not path.is_dir():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def cache_folder() -> Path:
    """`$PNEUMOSCOPE_CACHE`, else the user's cache folder."""
    named = os.environ.get("PNEUMOSCOPE_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    # As a user without a home, "~" stays and cannot be made: the error names the variable.
    return Path(base or os.path.join(os.path.expanduser("~"), ".cache")) / "pneumoscope"  # noqa: PTH111, PTH118


def is_made_here(folder: Path) -> bool:
    """Whether `predict` or `explain` wrote this folder: its pictures are no radiographs."""
    # Unlike `Path.is_file` it raises nothing where the folder must not be read.
    return any(os.path.isfile(folder / name) for name in (PREDICTED, EXPLAINED))  # noqa: PTH113


def new_folder(path: Path) -> Path:
    """Create an output folder, refusing one that already holds something.

    Raises:
        OutputError: `path` is a file or a folder that is not empty, or cannot be created.
    """
    path = Path(path)
    if path.is_file():
        raise OutputError("is a file; the output is a folder", path=path, remedy="name a folder")
    if path.is_dir() and any(path.iterdir()):
        raise OutputError("already exists", path=path, remedy="choose another folder or remove it")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


@contextmanager
def filling(path: Path) -> Iterator[Path]:
    """Yield a new folder for files; if they cannot all be written, none of them stays.

    Raises:
        OutputError: as of `new_folder`.
    """
    folder = new_folder(path)
    try:
        yield folder
    except BaseException:
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        raise


def new_file(path: Path, *, replace: bool = False) -> Path:
    """Return the path of an output file, refusing one that exists unless it may be replaced.

    Raises:
        OutputError: `path` exists.
    """
    if path.exists() and not replace:
        raise OutputError("already exists", path=path, remedy="choose another name or add --force")
    return path


def _umask() -> int:
    # It can only be read by setting it, for all threads at once.
    with _UMASK:
        current = os.umask(0)
        os.umask(current)
    return current


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error to raise for what the system says of an output, with what to do about it."""
    words = error.strerror or error
    if _full(path, error):
        problem, remedy = f"cannot be written: the disk is full ({words})", "make room there"
    else:
        problem, remedy = f"cannot be written ({words})", "check the path and its permissions"
    if cache_folder() in path.parents:
        remedy += ", or name another folder in the environment variable PNEUMOSCOPE_CACHE"
    return OutputError(problem, path=path, remedy=remedy)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What fails inside because `path` cannot be written says so.

    Raises:
        OutputError: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def _full(path: Path, error: OSError) -> bool:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Libraries that write in C may say nothing but that less was written than asked for.
    try:
        return error.errno is None and shutil.disk_usage(path.parent).free < _NO_SPACE
    except OSError:
        return False
