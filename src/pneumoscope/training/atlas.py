"""Making the atlas of the density factor: normal radiographs of adults and of children."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.density import Atlas, on_grid, relative_density
from pneumoscope.errors import RunError
from pneumoscope.training.cache import Progress, cached_lungs, cached_pixels

SIZE = 256
"""Side of the square in pixels at which densities are taken."""

# Of each source of adults at most so many, so that none decides what is normal; of children at
# most so many in all.
_PER_SOURCE, _CHILDREN = 500, 900


def make_atlases(
    manifest: Manifest,
    children: Collection[str],
    *,
    seed: int = 0,
    decoding: Progress | None = None,
    lungs: Progress | None = None,
) -> dict[str, Atlas]:
    """The atlases `adult` and `child` of a manifest's negative train radiographs.

    Args:
        manifest: a joined cohort; its column `cohort`, and `source` if there is one, say where a
            radiograph comes from.
        children: cohorts of children; without any there is no atlas `child`.
        seed: the same seed draws the same radiographs.
        decoding, lungs: called with (done, total).

    Raises:
        RunError: there are too few normal radiographs of a kind.
    """
    train = manifest.subset("train")
    kind, source = _kinds(train, children)
    rng = np.random.default_rng(seed)
    chosen: dict[str, NDArray[np.intp]] = {}
    adults = np.flatnonzero(kind == "adult")
    sources = source[adults]
    parts = [rng.permutation(adults[sources == s])[:_PER_SOURCE] for s in np.unique(sources)]
    chosen["adult"] = np.concatenate([np.array([], dtype=np.intp), *parts])
    if children:
        chosen["child"] = rng.permutation(np.flatnonzero(kind == "child"))[:_CHILDREN]
    atlases = {}
    for name, rows in chosen.items():
        part = replace(train, table=train.table.iloc[rows].reset_index(drop=True))
        pixels = cached_pixels(part, SIZE, progress=decoding)
        try:
            atlases[name] = _atlas(pixels, cached_lungs(pixels, progress=lungs))
        except ValueError as error:
            raise RunError(
                f"the atlas '{name}' cannot be made: {error}",
                remedy="give more radiographs of the negative label whose lungs are found",
            ) from error
    return atlases


def _kinds(train: Manifest, children: Collection[str]) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Of each radiograph `adult`, `child` or, if it is positive, nothing; and its source."""
    table = train.table
    blank = [""] * len(table)
    cohort, origin = (table.get(name, blank) for name in ("cohort", "source"))
    kinds = [
        "" if ill else ("child" if str(name) in children else "adult")
        for name, ill in zip(cohort, train.targets(), strict=True)
    ]
    sources = [f"{name}/{part}" for name, part in zip(cohort, origin, strict=True)]
    return np.array(kinds), np.array(sources)


def _atlas(pixels: NDArray[np.uint8], lungs: NDArray[np.uint8]) -> Atlas:
    densities = []
    for film, probability in zip(pixels, lungs, strict=True):
        # Lungs that were not found are 255 everywhere.
        if probability.min() >= 128:
            continue
        inside = on_grid(probability.astype(np.float32) / 255)
        density = relative_density(np.asarray(film), inside)
        if density is not None:
            densities.append((density, inside))
    return Atlas.of(densities)
