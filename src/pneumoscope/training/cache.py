"""Radiographs decoded, and their lungs segmented, once: kept on disk, keyed by content.

A cohort's pixels at one size are one array (N, size, size), memory-mapped, so that any number of
runs and processes share it. Its name is the digest of the radiographs' own digests, the size, and
the version of the preprocessing: another split or seed of the same cohort finds the same array.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import read_film, stated_sizes
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import CohortError, ImageError
from pneumoscope.files import atomic_path, cache_folder, sha256_file
from pneumoscope.imaging import model_input
from pneumoscope.lungs import LungSegmenter, plausible

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Film:
    """A radiograph's file, its digest, and its (height, width) before it was squashed, if known."""

    path: Path
    sha256: str
    original: tuple[int, int] | None


# Raise when `imaging.model_input` gives other pixels for the same file.
_PREPROCESSING = 2
_SEGMENTED_AT_ONCE = 32


def cached_pixels(
    manifest: Manifest, size: int, *, folder: Path | None = None, progress: Progress | None = None
) -> NDArray[np.uint8]:
    """The pixels of a manifest's radiographs, in its order.

    Args:
        manifest: radiographs; those without a digest are read to get one.
        size: side of the square in pixels.
        folder: where to keep the array; `cache_folder()` by default.
        progress: called with (done, total) while decoding.

    Returns:
        (N, size, size) uint8, read-only, memory-mapped.

    Raises:
        CohortError: a radiograph cannot be read, or is not the one the manifest names.
    """
    paths = manifest.paths()
    digests = [
        str(known) or sha256_file(path)
        for known, path in zip(manifest.table["sha256"], paths, strict=True)
    ]
    unique = dict(zip(digests, paths, strict=True))
    order = sorted(unique)
    shapes = dict(zip(digests, stated_sizes(manifest.table), strict=True))
    films = [_Film(unique[digest], digest, shapes[digest]) for digest in order]
    array = _array(films, size, folder, progress)
    row = {digest: index for index, digest in enumerate(order)}
    return _rows(array, [row[digest] for digest in digests])


def cached_lungs(
    pixels: NDArray[np.uint8], *, folder: Path | None = None, progress: Progress | None = None
) -> NDArray[np.uint8]:
    """The lungs of radiographs, on the shipped segmenter's grid.

    Args:
        pixels: (N, size, size) uint8, as `cached_pixels` gives them.
        folder: where to keep the array; `cache_folder()` by default.
        progress: called with (done, total) while lungs are segmented.

    Returns:
        (N, g, g) uint8, 255 times the probability of lung; 255 everywhere where no lungs were
        found, so that nothing counts as outside of them.
    """
    segmenter = LungSegmenter.load(threads=available_cpus())
    content = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
    key = hashlib.sha256(f"{segmenter.info.id} {content}".encode()).hexdigest()[:32]
    path = (folder or cache_folder()) / "lungs" / f"{key}.npy"
    if not path.is_file():
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, _segment(segmenter, pixels, progress), allow_pickle=False)
    lungs: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return lungs


def _segment(
    segmenter: LungSegmenter, pixels: NDArray[np.uint8], progress: Progress | None
) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, len(pixels), _SEGMENTED_AT_ONCE):
        found = segmenter.segment(np.asarray(pixels[start : start + _SEGMENTED_AT_ONCE]))
        for lungs in found:
            known = plausible(lungs >= 0.5)
            parts.append(np.rint(lungs * 255) if known else np.full_like(lungs, 255))
        if progress is not None:
            progress(len(parts), len(pixels))
    return np.stack(parts).astype(np.uint8)


def _rows(array: NDArray[np.uint8], rows: list[int]) -> NDArray[np.uint8]:
    """Rows of the shared array, copied only when their order is not the array's own."""
    if rows == list(range(len(array))):
        return array
    taken: NDArray[np.uint8] = array[np.asarray(rows)]
    taken.flags.writeable = False
    return taken


def _array(
    films: list[_Film], size: int, folder: Path | None, progress: Progress | None
) -> NDArray[np.uint8]:
    content = " ".join(f"{film.sha256}{film.original or ''}" for film in films)
    key = hashlib.sha256(f"{_PREPROCESSING} {size} {content}".encode()).hexdigest()[:32]
    path = (folder or cache_folder()) / "pixels" / f"{key}.npy"
    if not path.is_file():
        _write(path, films, size, progress)
    mapped: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def _write(path: Path, films: list[_Film], size: int, progress: Progress | None) -> None:
    with atomic_path(path) as temporary:
        array = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(len(films), size, size)
        )
        for index, pixels in enumerate(_decode(films, size)):
            array[index] = pixels
            if progress is not None:
                progress(index + 1, len(films))
        array.flush()
        del array


def _decode(films: list[_Film], size: int) -> Iterator[NDArray[np.uint8]]:
    def one(film: _Film) -> NDArray[np.uint8]:
        # Kept under this digest, another radiograph's pixels would pass for this one's for ever.
        if film.path.is_file() and sha256_file(film.path) != film.sha256:
            raise CohortError(
                "is not the file that the manifest names (its SHA-256 differs)",
                path=film.path,
                remedy="run `pneumoscope scan` again",
            )
        try:
            return model_input(read_film(film.path, film.original, model=size).upright(), size)[0]
        except ImageError as error:
            raise CohortError(
                error.problem,
                path=film.path,
                remedy="run `pneumoscope scan`, which leaves unreadable files out",
            ) from error

    # Pillow and the JPEG decoders release the interpreter's lock, so threads are enough.
    with ThreadPoolExecutor(max_workers=available_cpus()) as pool:
        yield from pool.map(one, films)
