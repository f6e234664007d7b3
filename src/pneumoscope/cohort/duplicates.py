"""Radiographs that are there twice: the same bytes, or the same exposure stored differently.

Chest radiographs resemble each other so much that a perceptual hash of the whole picture (pHash, up
to 10 of 63 bits apart) calls 36,000 pairs of the 5,254 Kermany radiographs alike. What tells people
apart is the fine texture: rib edges, vessels. So a radiograph's fingerprint is its texture with
gray level and local contrast divided out. Among the 57 million pairs of 10,731 public radiographs
(Kermany, RSNA, SIIM) no two patients exceed a correlation of 0.69, but for one pair of identical
files; copies made by JPEG at quality 30, resizing, gamma, contrast or a shift of 1 % of the width
stay above 0.85.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

SIDE = 64
MIN_SIMILARITY = 0.8

_SKETCH = 256
# The correlation of two sketches misses that of the textures by (1 - 0.8 ** 2) / 16 = 0.02 (one
# standard deviation) where it matters: what is proposed lies 6 deviations below what is accepted.
_MIN_SKETCH = 0.66
_BLOCK = 2048


@dataclass(frozen=True)
class NearPair:
    """Two radiographs by their index, and the correlation of their textures in [-1, 1]."""

    first: int
    second: int
    similarity: float


def thumbnail(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Squash a radiograph to uint8 (64, 64) by area averaging.

    Args:
        pixels: float32 (height, width) in [0, 1].
    """
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    gray: NDArray[np.uint8] = np.rint(np.asarray(small) * 255).astype(np.uint8)
    return gray


def equal_bytes(digests: Sequence[str]) -> list[list[int]]:
    """Groups (two or more indices, ascending) of equal digests."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        found[digest].append(index)
    return [group for group in found.values() if len(group) > 1]


def near_pairs(thumbnails: NDArray[np.uint8]) -> list[NearPair]:
    """Pairs of thumbnails that show the same exposure, ordered by index.

    Short sketches of the textures propose pairs, the textures decide. For 5,000 radiographs this
    takes about 2 s of one core; the comparison grows with the square of their number.

    Args:
        thumbnails: uint8 (n, 64, 64).
    """
    pairs: list[NearPair] = []
    for first, second in _alike(sketches(thumbnails)):
        one, other = texture(thumbnails[first]), texture(thumbnails[second])
        similar = np.einsum("ij,ij->i", one, other)
        for k in np.flatnonzero(similar >= MIN_SIMILARITY):
            pairs.append(NearPair(int(first[k]), int(second[k]), min(1.0, float(similar[k]))))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def texture(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Fine structure of each thumbnail as unit vectors: float32 (n, 4096); zero where flat.

    High-pass (sigma 2) divided by its local standard deviation (sigma 4), so that markers and
    borders, which are strong but few, weigh no more than ribs; the product of two rows is the
    correlation of the textures.
    """
    values = thumbnails.astype(np.float32)
    high = values - gaussian_filter(values, (0, 2, 2))
    # 4 gray levels of 255 keep noise in flat regions from being blown up.
    high /= np.sqrt(gaussian_filter(high * high, (0, 4, 4))) + 4
    rows = high.reshape(len(thumbnails), -1)
    return _unit(rows - rows.mean(axis=1, keepdims=True))


def sketches(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Textures in brief: float32 (n, 256) unit vectors whose products are nearly the textures'.

    A fixed random projection (Johnson and Lindenstrauss, 1984).
    """
    directions = np.random.default_rng(0).standard_normal((SIDE * SIDE, _SKETCH), dtype=np.float32)
    brief = np.zeros((len(thumbnails), _SKETCH), dtype=np.float32)
    for start in range(0, len(thumbnails), _BLOCK):
        block = slice(start, start + _BLOCK)
        brief[block] = _unit(texture(thumbnails[block]) @ directions)
    return brief


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.where(length > 1e-3, rows / np.maximum(length, 1e-3), 0)
    return unit


def _alike(brief: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Index pairs (first < second) of similar sketches, at most `_BLOCK` at once."""
    for start in range(0, len(brief), _BLOCK):
        for other in range(start, len(brief), _BLOCK):
            product = brief[start : start + _BLOCK] @ brief[other : other + _BLOCK].T
            near = product >= _MIN_SKETCH
            first, second = np.nonzero(np.triu(near, 1) if other == start else near)
            for cut in range(0, len(first), _BLOCK):
                yield first[cut : cut + _BLOCK] + start, second[cut : cut + _BLOCK] + other
