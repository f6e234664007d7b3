"""Which findings of an earlier call still belong to the films they are asked of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.console import console, shown
from pneumoscope.files import sha256_file

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.report.findings_folder import FindingsFolder

_NAMED = 5


def digests_now(
    files: Sequence[tuple[str, Path]], told: Callable[[str], str] = str
) -> Callable[[str], str | None]:
    """A function from a name to the digest of its file as it is now, for `FindingsFolder`.

    Args:
        files: (name, path) pairs of this call.
        told: from a file's SHA-256 to what findings hold of it.

    Returns:
        Of a name of this call the digest, "" if the file cannot be read; else None.
    """
    paths = dict(files)

    def now(name: str) -> str | None:
        if name not in paths:
            return None
        try:
            return told(sha256_file(paths[name]))
        except OSError:
            return ""

    return now


def tell_reused(folder: FindingsFolder, files: Sequence[tuple[str, Path]]) -> None:
    """Say which films have their finding from an earlier call, and which have changed since."""
    kept = [name for name, _ in files if name in folder.finished]
    folder.note_reused(kept)
    finished = "were finished before and have"
    if kept:
        console.print(f"{len(kept)} of {len(files)} {finished} not changed since: {_some(kept)}")
    if folder.changed:
        names = _some(folder.changed)
        console.print(f"{len(folder.changed)} {finished} changed since; read again: {names}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(shown, names[:_NAMED])) + more
