from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.cohort.duplicates import (
    MIN_SIMILARITY,
    equal_bytes,
    near_pairs,
    sketches,
    texture,
    thumbnail,
)

from .films import film

Picture = NDArray[np.float32]


def _jpeg(pixels: Picture) -> Picture:
    stream = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(stream, "JPEG", quality=40)
    return (np.asarray(Image.open(stream)) / 255).astype(np.float32)


def _resized(pixels: Picture) -> Picture:
    small = Image.fromarray(pixels).resize((150, 110), Image.Resampling.BICUBIC)
    return np.asarray(small).clip(0, 1).astype(np.float32)


def _marked(pixels: Picture) -> Picture:
    copy = pixels.copy()
    copy[4:14, 4:20] = 1.0
    return copy


@pytest.mark.parametrize(
    "change",
    [_jpeg, _resized, _marked, lambda p: p**1.4, lambda p: 0.5 * p + 0.2],
    ids=["jpeg", "resize", "marker", "gamma", "contrast"],
)
def test_copies_are_found_among_strangers(change: Callable[[Picture], Picture]) -> None:
    films = [film(seed, side=192) for seed in range(30)]
    films.append(change(films[7]).astype(np.float32))
    (pair,) = near_pairs(np.stack([thumbnail(pixels) for pixels in films]))
    assert (pair.first, pair.second) == (7, 30)
    assert pair.similarity >= MIN_SIMILARITY


def test_strangers_who_look_alike_are_no_copies() -> None:
    """The synthetic films share their shape, as chests do: gray levels agree, textures do not."""
    thumbnails = np.stack([thumbnail(film(seed, side=192)) for seed in range(60)])
    pairs = np.triu_indices(60, 1)
    assert np.asarray(np.corrcoef(thumbnails.reshape(60, -1)))[pairs].min() > 0.7
    rows = texture(thumbnails)
    assert (rows @ rows.T)[pairs].max() < 0.5
    assert near_pairs(thumbnails) == []


def test_sketches_keep_the_products_of_textures() -> None:
    thumbnails = np.stack([thumbnail(film(seed)) for seed in range(40)])
    fine, brief = texture(thumbnails), sketches(thumbnails)
    assert brief.shape == (40, 256)
    np.testing.assert_allclose(np.linalg.norm(brief, axis=1), 1, atol=1e-5)
    # One standard deviation is 1 / sqrt(256).
    assert np.abs(brief @ brief.T - fine @ fine.T).max() < 5 / 16


def test_flat_pictures_are_not_copies_of_each_other() -> None:
    flat = np.stack([np.full((64, 64), value, np.uint8) for value in (0, 0, 200)])
    assert near_pairs(flat) == []
    assert not texture(flat).any()
    assert not sketches(flat).any()


def test_few_and_many() -> None:
    one = thumbnail(film(1))[None]
    assert near_pairs(one[:0]) == []
    assert near_pairs(one) == []
    # More than one block of the comparison: the copy lies in another block than the original.
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2100, 64, 64)).astype(np.uint8)
    noise[2080] = noise[5]
    found = [(pair.first, pair.second) for pair in near_pairs(noise)]
    assert found == [(5, 2080)]


def test_a_thumbnail_averages_areas() -> None:
    pixels = np.zeros((128, 256), np.float32)
    pixels[:, 128:] = 1
    pixels[0, 0] = 0.8
    small = thumbnail(pixels)
    assert small.shape == (64, 64)
    assert small.dtype == np.uint8
    assert small[0, 0] == round(0.8 / 8 * 255)
    assert small[5, 31] == 0
    assert small[5, 32] == 255


def test_equal_bytes_groups_indices() -> None:
    assert equal_bytes(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]
