"""What a teacher says of every cell: its map, made nearer to the opacities.

A network that is trained on image labels alone sees disease all over the lungs of an ill
radiograph. Its map times the density factor (`density`) is nearer to the opacities. A student that
is trained on it, beside the labels, needs no factor any more (self-training; docs/localization.md).
Such a student finds some cells of an opacity and not all. If it teaches in turn, its map is
smoothed within the lungs instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.density import SHIPPED, SIDE, DensityPrior, on_grid, shipped_prior
from pneumoscope.files import atomic_path, cache_folder, sha256_file
from pneumoscope.inference import load_engine
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.heatmaps import run_heatmaps, smoothed
from pneumoscope.training.cache import Progress

# Raise when the same teacher says something else of the same radiograph.
_VERSION = 1
_AT_ONCE = 32


def cached_teaching(
    bundle: Path,
    pixels: NDArray[np.uint8],
    lungs: NDArray[np.uint8],
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> NDArray[np.uint8]:
    """A teacher's maps of radiographs within the lungs, smoothed or times the density factor.

    Args:
        bundle: the teacher: a bundle, a run, or `default`. Its maps are smoothed if its own heatmap
            is, else multiplied by the density factor.
        pixels: (N, size, size) uint8, as `cached_pixels` gives them.
        lungs: (N, g, g) uint8, as `cached_lungs` gives them.
        folder: where to keep the array; `cache_folder()` by default.
        progress: called with (done, total).

    Returns:
        (N, g, g) uint8: near 255 at the strongest place of each radiograph, 0 where there is no
        evidence.

    Raises:
        BundleError: there is no such bundle.
    """
    engine = load_engine(bundle, expected=len(pixels))
    content = hashlib.sha256(np.ascontiguousarray(pixels).data)
    content.update(np.ascontiguousarray(lungs).data)
    teacher = (engine.info.files[WEIGHTS_FILE], engine.info.heatmap, engine.runtime)
    parts = (_VERSION, *teacher, sha256_file(SHIPPED), content.hexdigest())
    key = hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:32]
    path = (folder or cache_folder()) / "teaching" / f"{key}.npy"
    if not path.is_file():
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            maps = np.stack(list(_taught(engine, pixels, lungs, progress)))
            np.save(stream, maps, allow_pickle=False)
    taught: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return taught


def _taught(
    engine: Engine,
    pixels: NDArray[np.uint8],
    lungs: NDArray[np.uint8],
    progress: Progress | None,
) -> Iterator[NDArray[np.uint8]]:
    own = HeatmapSpec.parse(engine.info.heatmap)
    for start in range(0, len(pixels), _AT_ONCE):
        batch = np.array(pixels[start : start + _AT_ONCE])
        maps = run_heatmaps(engine, _in_its_size(batch, engine), (own,), None).maps[own]
        for film, heat, lung in zip(batch, maps, lungs[start:], strict=False):
            yield _fused(film, heat, np.asarray(lung), None if own.smooth else shipped_prior())
        if progress is not None:
            progress(start + len(batch), len(pixels))


def _in_its_size(pixels: NDArray[np.uint8], engine: Engine) -> NDArray[np.uint8]:
    """The student's radiographs in the square that the teacher takes, which may be another."""
    side = engine.info.architecture.size
    if pixels.shape[1] == side:
        return pixels
    films = [
        Image.fromarray(film).resize((side, side), Image.Resampling.BILINEAR) for film in pixels
    ]
    return np.stack([np.asarray(film) for film in films])


def _fused(
    pixels: NDArray[np.uint8],
    heat: NDArray[np.float32],
    lungs: NDArray[np.uint8],
    prior: DensityPrior | None,
) -> NDArray[np.uint8]:
    """One radiograph's map on the lungs' grid, times the factor or, without a prior, smoothed."""
    probability = lungs.astype(np.float32) / 255
    square, heat = on_grid(probability), _resized(heat, SIDE)
    local = smoothed(heat, square) if prior is None else heat * prior.factor(pixels, probability)
    fused = local * square
    peak = float(fused.max())
    if peak <= 0:
        return np.zeros_like(lungs)
    levels: NDArray[np.uint8] = np.rint(_resized(fused / peak, len(lungs)) * 255).astype(np.uint8)
    return levels


def _resized(grid: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    picture = Image.fromarray(np.ascontiguousarray(grid, dtype=np.float32))
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))
