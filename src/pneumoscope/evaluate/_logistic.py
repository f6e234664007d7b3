"""Logistic regressions of an outcome on one score, for many weightings at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit

Array = NDArray[np.float64]

_TOLERANCE = 1e-8
_MAX_STEPS = 200


def slope_and_intercept(weights: Array, score: Array, outcome: Array) -> tuple[Array, Array]:
    """Fit logit P(outcome = 1) = intercept + slope * score by maximum likelihood.

    A finite solution exists exactly when the scores of the two classes overlap (Albert & Anderson
    1984); elsewhere (separable, one class, constant score) both are NaN.

    Newton's method. Where a full step would not lower the loss, its length is ln(1 + r) / r
    instead, where r is the largest change that the full step makes to a linear predictor: this
    lowers the loss from any point, as the logistic loss is generalised self-concordant (Sun &
    Tran-Dinh 2019, Math. Program. 178, section 4).

    Args:
        weights: (k, n), >= 0.
        score: (n,), finite.
        outcome: (n,) of 0 and 1.

    Returns:
        Slope and intercept, each (k,).
    """
    centre, scale = float(score.mean()), float(score.std()) or 1.0
    x = (score - centre) / scale
    active = np.flatnonzero(_overlap(weights, x, outcome))
    line = np.full((weights.shape[0], 2), np.nan)
    share = weights[active] @ outcome / weights[active].sum(axis=1)
    line[active] = np.column_stack([logit(share), np.zeros(active.size)])
    loss = np.full(weights.shape[0], np.nan)
    loss[active] = _loss(weights[active], x, outcome, line[active])
    for _ in range(_MAX_STEPS):
        if active.size == 0:
            break
        kept, here = weights[active], line[active]
        step, gain = _newton_step(kept, x, outcome, here)
        reached = _loss(kept, x, outcome, here + step)
        largest = np.abs(step[:, :1] + step[:, 1:] * [x.min(), x.max()]).max(axis=1)
        # Beside the solution rounding hides the gain, and the full step is the right one.
        short = ~((reached <= loss[active] - 1e-4 * gain) | (largest < 1e-4))
        if short.any():
            step[short] *= (np.log1p(largest[short]) / largest[short])[:, None]
            reached[short] = _loss(kept[short], x, outcome, here[short] + step[short])
        line[active], loss[active] = here + step, reached
        active = active[~(largest < _TOLERANCE)]
    line[active] = np.nan
    slope = line[:, 1] / scale
    return slope, line[:, 0] - slope * centre


def intercept_with_offset(weights: Array, offset: Array, outcome: Array) -> Array:
    """Fit logit P(outcome = 1) = intercept + offset by maximum likelihood, shape (k,).

    The solution is finite exactly when both classes have weight; else it is NaN. It lies between
    the intercepts that all radiographs would need if all had the largest or the smallest offset;
    Newton's method within that bracket, bisecting where a step would leave it.

    Args:
        weights: (k, n), >= 0.
        offset: (n,), finite.
        outcome: (n,) of 0 and 1.
    """
    positives, totals = weights @ outcome, weights.sum(axis=1)
    a = np.full(weights.shape[0], np.nan)
    active = np.flatnonzero((positives > 0.0) & (positives < totals))
    neutral = logit(positives[active] / totals[active])
    low, high = a.copy(), a.copy()
    low[active], high[active] = neutral - offset.max(), neutral - offset.min()
    a[active] = neutral - weights[active] @ offset / totals[active]
    for _ in range(_MAX_STEPS):
        if active.size == 0:
            break
        kept, here = weights[active], a[active]
        p = expit(here[:, None] + offset)
        excess = np.einsum("kn,kn->k", kept, p) - positives[active]
        low[active] = np.where(excess > 0.0, low[active], here)
        high[active] = np.where(excess > 0.0, here, high[active])
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = here - excess / np.einsum("kn,kn->k", kept, p * (1.0 - p))
        inside = (newton >= low[active]) & (newton <= high[active])
        a[active] = np.where(inside, newton, (low[active] + high[active]) / 2.0)
        active = active[np.abs(a[active] - here) >= _TOLERANCE]
    a[active] = np.nan
    return a


def _newton_step(weights: Array, x: Array, outcome: Array, line: Array) -> tuple[Array, Array]:
    """The full step (k, 2) from `line`, and how fast the loss falls along it (k,)."""
    design = np.column_stack([np.ones_like(x), x, x * x])
    p = expit(line[:, :1] + line[:, 1:] * x)
    g0, g1 = ((weights * (outcome - p)) @ design[:, :2]).T
    h0, h1, h2 = ((weights * (p * (1.0 - p))) @ design).T
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.column_stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0])
        step /= (h0 * h2 - h1 * h1)[:, None]
    return step, step[:, 0] * g0 + step[:, 1] * g1


def _loss(weights: Array, x: Array, outcome: Array, line: Array) -> Array:
    """Negative log likelihood, shape (k,)."""
    signs = 2.0 * outcome - 1.0
    margins = signs * (line[:, :1] + line[:, 1:] * x)
    loss: Array = -np.einsum("kn,kn->k", weights, log_expit(margins))
    return loss


def _overlap(weights: Array, x: Array, outcome: Array) -> NDArray[np.bool_]:
    """Whether the score ranges of the two classes overlap by more than a point, shape (k,)."""
    present = weights > 0.0
    lowest, highest = [], []
    for label in (0.0, 1.0):
        member = present & (outcome == label)
        lowest.append(np.min(np.where(member, x, np.inf), axis=1))
        highest.append(np.max(np.where(member, x, -np.inf), axis=1))
    overlap: NDArray[np.bool_] = (lowest[0] < highest[1]) & (lowest[1] < highest[0])
    return overlap
