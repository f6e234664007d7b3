"""The radiographs that an export looks at: of train to calibrate, of val to measure."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import read_film, stated_sizes
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import CohortError, ImageError
from pneumoscope.imaging import model_input

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


# A file, and the (height, width) that its radiograph had before it was squashed, if known.
_Film = tuple[Path, tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many radiographs are drawn at most.

    Attributes:
        calibration: of train, to calibrate int8.
        val: of val, to measure.
        seed: the same seed draws the same radiographs.
    """

    calibration: int = 128
    val: int = 512
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Films:
    """Radiographs as the model sees them, from `imaging.model_input`.

    Attributes:
        calibration: (C, size, size) uint8, of train; C is 0 if none are needed.
        val: (N, size, size) uint8.
        targets: (N,) of `val`, 1 for the positive label; both labels occur.
        digest: of the whole manifest.
    """

    calibration: NDArray[np.uint8]
    val: NDArray[np.uint8]
    targets: NDArray[np.int64]
    digest: str


def read_films(
    cohort: Manifest, info: BundleInfo, sampling: Sampling, progress: Progress, *, calibrate: bool
) -> Films:
    """Draw and read radiographs.

    Args:
        cohort: where they are.
        info: of the bundle.
        sampling: how many.
        progress: hears of the reading.
        calibrate: whether any of train are needed.

    Raises:
        CohortError: the labels are not the bundle's, a split is empty, val's radiographs are of one
            label alone, or a radiograph cannot be read.
    """
    if cohort.labels != info.labels:
        raise CohortError(
            f"the cohort's labels {cohort.labels} are not the bundle's {info.labels}",
            remedy="give a cohort with the labels that the bundle was trained on",
        )
    val = _drawn(cohort.subset("val"), sampling.val, sampling.seed)
    targets = val.targets()
    if targets.min() == targets.max():
        raise CohortError(
            f"all radiographs drawn from val are {cohort.labels[targets[0]]}, so no ROC-AUC can be "
            "measured",
            path=cohort.root,
            remedy="give a cohort whose val split has both labels",
        )
    train: list[_Film] = []
    if calibrate:
        train = _films(_drawn(cohort.subset("train"), sampling.calibration, sampling.seed))
    digest = cohort.digest()
    pixels = _read([*train, *_films(val)], info.architecture.size, progress)
    return Films(pixels[: len(train)], pixels[len(train) :], targets, digest)


def _drawn(part: Manifest, count: int, seed: int) -> Manifest:
    """Up to `count` radiographs, whatever the order of the table."""
    table = part.table.sort_values("image", kind="stable")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(table))[:count])
    return replace(part, table=table.iloc[chosen].reset_index(drop=True))


def _films(part: Manifest) -> list[_Film]:
    return list(zip(part.paths(), stated_sizes(part.table), strict=True))


def _read(films: list[_Film], size: int, progress: Progress) -> NDArray[np.uint8]:
    def one(film: _Film) -> NDArray[np.uint8]:
        try:
            return model_input(read_film(*film, model=size).upright(), size)[0]
        except ImageError as error:
            raise CohortError(
                error.problem,
                path=film[0],
                remedy="give a cohort whose radiographs can be read (pneumoscope scan makes one)",
            ) from error

    pixels = np.empty((len(films), size, size), dtype=np.uint8)
    # Pillow and the JPEG decoders release the interpreter's lock, so threads are enough.
    with ThreadPoolExecutor(max_workers=available_cpus()) as pool:
        for index, square in enumerate(pool.map(one, films)):
            pixels[index] = square
            progress("Reading radiographs", index + 1, len(films))
    return pixels
