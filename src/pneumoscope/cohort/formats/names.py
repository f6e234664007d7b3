"""Which radiograph a file of the field means: folders and suffixes of names may be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from pneumoscope.errors import CohortError

_SUFFIXES = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".nii", ".gz", ".txt", ".xml",
        ".json", ".bmp", ".npy", ".npz",
    }
)  # fmt: skip

Parts = tuple[str, ...]


def without_suffix(name: str) -> str:
    """A name without known suffixes, `/` separated: `A/b.nii.gz` is `A/b`."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    while path.suffix.casefold() in _SUFFIXES:
        path = path.with_suffix("")
    return path.as_posix()


def parts_of(name: str) -> Parts:
    """Folders and stem of a name, without case and known suffixes: `A/b.nii.gz` is (a, b)."""
    path = PurePosixPath(without_suffix(name))
    return tuple(part.casefold() for part in path.parts if part not in ("/", "."))


def same_film(first: Parts, second: Parts) -> bool:
    """Whether one name is the end of the other, folder by folder."""
    short, long = sorted((first, second), key=len)
    return bool(short) and long[-len(short) :] == short


class NameIndex:
    """Names to be found by their ends.

    Args:
        names: all names, as they stand.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known = {name: parts_of(name) for name in names}
        self._by_stem: dict[str, list[str]] = {}
        for name, parts in self._known.items():
            if parts:
                self._by_stem.setdefault(parts[-1], []).append(name)

    def find(self, name: str) -> list[str]:
        """The names that mean the same radiograph; the same spelling alone if there is one."""
        if name in self._known:
            return [name]
        parts = parts_of(name)
        if not parts:
            return []
        found = [
            other
            for other in self._by_stem.get(parts[-1], ())
            if same_film(parts, self._known[other])
        ]
        # CheXlocalize joins folders and file by "_".
        joined = self._by_stem.get("_".join(parts[-3:]), ()) if len(parts) > 2 else ()
        exact = [other for other in found if self._known[other] == parts]
        return exact or found or list(joined)


def matched(
    images: Iterable[str],
    names: Iterable[str],
    path: Path,
    alias: Callable[[str], str] | None = None,
) -> dict[str, str]:
    """The name that a file has for each radiograph; radiographs without one are left out.

    Args:
        images: paths of the radiographs in their cohort.
        names: the file's.
        path: the file.
        alias: another name of a radiograph, "" where it has none.

    Raises:
        CohortError: a name means two radiographs, or a radiograph has two names.
    """
    index = NameIndex(names)
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for image in images:
        candidates = index.find(image)
        if not candidates and alias is not None and (other := alias(image)):
            candidates = index.find(other)
        if len(candidates) > 1:
            raise CohortError(
                f"has two names for {image}: {candidates[0]} and {candidates[1]}",
                path=path,
                remedy="give the folders too, as they stand in the cohort",
            )
        for name in candidates:
            if name in taken:
                raise CohortError(
                    f"the name {name} may mean {taken[name]} or {image}",
                    path=path,
                    remedy="give the folders too, as they stand in the cohort",
                )
            found[image] = name
            taken[name] = image
    return found
