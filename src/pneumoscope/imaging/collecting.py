"""Which radiographs are meant by paths, folders and globs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from pneumoscope.errors import PneumoscopeError
from pneumoscope.imaging.read import is_radiograph_file
from pneumoscope.names import plain, written

_MOST_KINDS = 5


def collect(paths: Iterable[str]) -> tuple[list[tuple[str, Path]], str]:
    """Files meant by files, folders (searched for radiographs) and globs, in order, each once.

    Returns:
        (name, path) pairs, with names as `names.written` gives them; and a sentence that counts
        the files of the folders that are no radiographs, empty if there are none.

    Raises:
        PneumoscopeError: a path matches nothing.
    """
    found: dict[str, Path] = {}
    passed_over: list[Path] = []
    for text in paths:
        path = Path(text)
        meant = [path] if path.exists() else sorted(map(Path, glob(text, recursive=True)))  # noqa: PTH207
        inside: list[Path] = []
        for member in meant:
            films, others = _searched(member) if member.is_dir() else ([member], [])
            inside += films
            passed_over += others
        if not inside:
            kinds = f" among {len(passed_over)} files" if passed_over else ""
            raise PneumoscopeError(
                f"no radiograph there{kinds}" if meant else "no such file or folder",
                path=path,
                remedy="give PNG, JPEG, TIFF or DICOM files",
            )
        found.update({written(member.as_posix()): member for member in inside})
    return list(found.items()), _words(passed_over) if passed_over else ""


def _searched(folder: Path) -> tuple[list[Path], list[Path]]:
    """The radiographs below a folder, and its other files."""
    films: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            (films if is_radiograph_file(path) else others).append(path)
    return films, others


def _words(passed_over: list[Path]) -> str:
    """How many files were passed over, by suffix."""
    kinds = Counter(plain(path.suffix.lower()) or "no suffix" for path in passed_over)
    several = [f"{count} {kind}" for kind, count in kinds.most_common(_MOST_KINDS)]
    if len(kinds) > _MOST_KINDS:
        several.append("...")
    number = "1 file that is" if len(passed_over) == 1 else f"{len(passed_over)} files that are"
    return f"Passed over {number} not PNG, JPEG, TIFF or DICOM: {', '.join(several)}"
