"""Which radiographs are meant by paths, folders and globs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from pneumoscope.errors import PneumoscopeError
from pneumoscope.files import is_made_here
from pneumoscope.imaging.read import is_radiograph_file
from pneumoscope.names import plain, written

_MOST_KINDS = 5


def collect(paths: Iterable[str]) -> tuple[list[tuple[str, Path]], str]:
    """Files meant by files, folders (searched for radiographs) and globs, in order, each once.

    Returns:
        (name, path) pairs, with names as `names.written` gives them; and sentences that count what
        was passed over in the folders, empty if nothing was: files that are no radiographs, and
        folders that `predict` or `explain` wrote or that cannot be read.

    Raises:
        PneumoscopeError: a path matches nothing.
    """
    found: dict[str, Path] = {}
    passed_over: list[Path] = []
    made_here: list[Path] = []
    closed: list[Path] = []
    for text in paths:
        path = Path(text)
        meant = [path] if path.exists() else sorted(map(Path, glob(text, recursive=True)))  # noqa: PTH207
        inside: list[Path] = []
        for member in meant:
            if member.is_dir():
                inside += _searched(member, passed_over, made_here, closed)
            else:
                inside.append(member)
        if not inside:
            kinds = f" among {len(passed_over)} files" if passed_over else ""
            kinds += ", but what predict or explain wrote" if made_here else ""
            kinds += f", and {_listed(closed)} cannot be read" if closed else ""
            raise PneumoscopeError(
                f"no radiograph there{kinds}" if meant else "no such file or folder",
                path=path,
                remedy="give PNG, JPEG, TIFF or DICOM files",
            )
        found.update({written(member.as_posix()): member for member in inside})
    sentences = [_words(passed_over)] if passed_over else []
    if made_here:
        sentences.append(f"Passed over {_listed(made_here)}: predict or explain wrote it")
    if closed:
        sentences.append(f"Passed over {_listed(closed)}: the folder cannot be read")
    return list(found.items()), ". ".join(sentences)


def _searched(
    folder: Path, passed_over: list[Path], made_here: list[Path], closed: list[Path]
) -> list[Path]:
    """The radiographs below a folder; linked folders are followed, each place once, as by `scan`.

    Its other files, and folders that were made here or cannot be read, join the lists.
    """
    films: list[Path] = []
    seen: set[str] = set()

    def refused(error: OSError) -> None:
        closed.append(Path(error.filename))

    for place, inner, files in os.walk(folder, onerror=refused, followlinks=True):
        known = os.path.realpath(place)
        if known in seen:
            inner.clear()
            continue
        seen.add(known)
        if is_made_here(Path(place)):
            made_here.append(Path(place))
            inner.clear()
            continue
        inner.sort()
        for path in (Path(place, name) for name in files):
            if path.is_file():
                (films if is_radiograph_file(path) else passed_over).append(path)
    return sorted(films)


def _listed(folders: list[Path]) -> str:
    """The first of the folders, and how many more."""
    first, more = written(min(folders).as_posix()), len(folders) - 1
    return f"{first} and {more} more" if more else first


def _words(passed_over: list[Path]) -> str:
    """How many files were passed over, by suffix."""
    kinds = Counter(plain(path.suffix.lower()) or "no suffix" for path in passed_over)
    several = [f"{count} {kind}" for kind, count in kinds.most_common(_MOST_KINDS)]
    if len(kinds) > _MOST_KINDS:
        several.append("...")
    number = "1 file that is" if len(passed_over) == 1 else f"{len(passed_over)} files that are"
    return f"Passed over {number} not PNG, JPEG, TIFF or DICOM: {', '.join(several)}"
