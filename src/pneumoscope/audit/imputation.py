"""Noisy linear imputation: what stands where pixels were removed.

Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022
(arXiv 2202.00449), section 4: each missing pixel is the weighted mean of its eight neighbours (1/6
along the axes, 1/12 along the diagonals), missing ones included, so that all follow from one sparse
linear system; a little noise hides that they were computed. A black or gray hole would tell the
network where something was removed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

NOISE = 0.01
"""Standard deviation of the noise, pixels being in [0, 1]; the paper's."""

_NEIGHBOURS = tuple(
    ((down, right), 1 / 12 if down and right else 1 / 6)
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if down or right
)


def impute(
    pixels: NDArray[np.float64],
    missing: NDArray[np.bool_],
    rng: np.random.Generator,
    noise: float = NOISE,
) -> NDArray[np.float64]:
    """Fill the missing pixels from those around them.

    Args:
        pixels: (height, width) in [0, 1]; what stands at missing pixels is not looked at.
        missing: (height, width); not all of them.
        rng: source of the noise.
        noise: its standard deviation.

    Returns:
        (height, width), the known pixels unchanged; noise may leave [0, 1].

    Raises:
        ValueError: shapes differ, or every pixel is missing.
    """
    if pixels.shape != missing.shape or missing.all():
        raise ValueError("missing must have the shape of pixels and leave some of them")
    filled = np.array(pixels, dtype=np.float64)
    if missing.any():
        matrix, right = _system(filled, missing)
        # Symmetric and diagonally dominant: no pivoting, and an ordering that keeps it sparse.
        factors = splu(
            matrix,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        filled[missing] = factors.solve(right)
        filled[missing] += noise * rng.standard_normal(right.size)
    return filled


def _system(
    pixels: NDArray[np.float64], missing: NDArray[np.bool_]
) -> tuple[sparse.csc_matrix, NDArray[np.float64]]:
    """The linear system of the missing pixels: matrix (m, m) and right-hand side (m,)."""
    count = int(missing.sum())
    place = np.full(missing.shape, -1)
    place[missing] = np.arange(count)
    place = np.pad(place, 1, constant_values=-1)
    known = np.pad(np.where(missing, 0.0, pixels), 1)
    inside = np.pad(np.ones(missing.shape), 1)
    row, column = (index + 1 for index in np.nonzero(missing))
    right, diagonal = np.zeros(count), np.zeros(count)
    entries = []
    for (down, across), weight in _NEIGHBOURS:
        at = (row + down, column + across)
        right += weight * known[at]
        # Beyond the edge there is no neighbour: the others share its weight.
        diagonal += weight * inside[at]
        linked = np.flatnonzero(place[at] >= 0)
        entries.append((np.full(linked.size, -weight), linked, place[at][linked]))
    entries.append((diagonal, np.arange(count), np.arange(count)))
    values, rows, columns = (np.concatenate(part) for part in zip(*entries, strict=True))
    return sparse.csc_matrix((values, (rows, columns)), shape=(count, count)), right
