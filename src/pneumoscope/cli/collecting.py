"""Which radiographs are meant by what stands on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from glob import glob
from pathlib import Path

from pneumoscope.errors import PneumoscopeError
from pneumoscope.names import written


def collect(paths: Iterable[str]) -> list[tuple[str, Path]]:
    """Files meant by files, folders (searched for radiographs) and globs, in order, each once.

    Each stands beside its name as `names.written` gives it.

    Raises:
        PneumoscopeError: a path matches nothing.
    """
    from pneumoscope.imaging import is_radiograph_file

    found: dict[str, Path] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and is_radiograph_file(p))
        elif path.exists():
            inside = [path]
        else:
            inside = sorted(Path(match) for match in glob(text, recursive=True))  # noqa: PTH207
        if not inside:
            raise PneumoscopeError(
                "no radiograph there", path=path, remedy="give PNG, JPEG, TIFF or DICOM files"
            )
        found.update({written(member.as_posix()): member for member in inside if member.is_file()})
    return list(found.items())
