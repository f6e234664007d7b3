"""Films and their lung masks as two uint8 arrays, decoded once, aspect ratio restored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.annotations import find_mask
from pneumoscope.cohort.layout import list_cohort
from pneumoscope.cohort.lung_masks import LungCase, read_lung_film, read_lung_mask
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import Sizes
from pneumoscope.cohort.scan import ScanSettings, scan
from pneumoscope.errors import CohortError


@dataclass(frozen=True, slots=True)
class LungFilms:
    """Films with lung masks, letterboxed.

    Args:
        films: uint8 (N, side, side).
        lungs: uint8 (N, side, side), 1 on lung.
    """

    films: NDArray[np.uint8]
    lungs: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.films)


def lung_manifest(films: Path, progress: Callable[[int, int], None] | None = None) -> Manifest:
    """The radiographs of a manifest, or of a folder, whose part `test` stays test.

    Args:
        films: the manifest, or the folder with label folders.
        progress: called with (done, total) while a folder is scanned.

    Raises:
        CohortError: there are no radiographs.
    """
    if films.is_file():
        return Manifest.read(films)
    official = "test" in (list_cohort(films).official or [])
    return scan(films, ScanSettings(keep_official=official), progress).manifest


def lung_cases(manifest: Manifest, split: str, masks: Path, sizes: Sizes) -> list[LungCase]:
    """The radiographs of a split that have a lung mask below `masks`, in the table's order.

    Raises:
        CohortError: the split is empty, or none of it has a mask.
    """
    part = manifest.subset(split)
    images = part.table["image"].tolist()
    found = [
        LungCase(image, part.root, mask, patient, sizes.get(image))
        for image, patient in zip(images, part.patients(), strict=True)
        if (mask := find_mask(masks, image)) is not None
    ]
    if not found:
        raise CohortError(
            f"no radiograph of split '{split}' has a mask here",
            path=masks,
            remedy="give masks with the radiographs' relative paths or names, as PNG",
        )
    return found


def read_films(
    cases: Sequence[LungCase], side: int, progress: Callable[[int, int], None] | None = None
) -> LungFilms:
    """Decode radiographs and masks into squares of `side` pixels.

    Args:
        cases: radiographs and their masks.
        side: side of the letterboxed squares in pixels.
        progress: called with (done, total).

    Raises:
        CohortError: a radiograph or mask cannot be read, or they differ in size.
    """
    films = np.zeros((len(cases), side, side), dtype=np.uint8)
    lungs = np.zeros_like(films)
    for index, case in enumerate(cases):
        films[index], letterbox = read_lung_film(case, side)
        drawn = read_lung_mask(case.mask, letterbox.height, letterbox.width).astype(np.float32)
        lungs[index] = letterbox.apply(drawn) > 0.5
        if progress is not None:
            progress(index + 1, len(cases))
    return LungFilms(films, lungs)
