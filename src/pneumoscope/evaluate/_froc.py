"""Free-response ROC: lesions found against false regions, as regions are believed less and less."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluate._weighted import Array, Figures, ratio

RATES: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0)
"""False regions per radiograph at which the curve is read; LUNA16's, which go on to 4 and 8."""


class FreeResponse:
    """All regions of n radiographs, sorted once by score.

    A lesion is found by a region whose centre lies in its box (the hit criterion of the LUNA16
    challenge, Setio et al. 2017: the mark lies in the nodule); it counts once, at the highest such
    region's score. A region centred in no lesion box is false. Regions with equal scores are one
    step: no threshold can tell them apart.

    Args:
        boxes: for each radiograph the score at which each of its lesions is found, -inf for never.
        false: for each radiograph the scores of its false regions.
    """

    def __init__(self, boxes: Sequence[Array], false: Sequence[Array]) -> None:
        self.n_boxes = np.array([len(scores) for scores in boxes], dtype=np.float64)
        scores = np.concatenate([np.empty(0), *boxes, *false])
        row = np.concatenate([_rows(boxes), _rows(false)])
        hit = np.arange(scores.size) < self.n_boxes.sum()
        order = np.argsort(-scores, kind="stable")
        order = order[np.isfinite(scores[order])]
        self._row, self._hit = row[order], hit[order].astype(np.float64)
        self._ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0.0)

    def figures(self, weights: Array) -> Figures:
        """`froc@rate` at each of `RATES`, and `froc`, their mean, for weights (k, n).

        `froc@rate` is the largest part of the lesions found with at most `rate` false regions per
        radiograph: a step function, nothing interpolated. NaN without lesions.
        """
        drawn = weights[:, self._row]
        found = np.cumsum(drawn * self._hit, axis=1)[:, self._ends]
        false = np.cumsum(drawn * (1.0 - self._hit), axis=1)[:, self._ends]
        lesions, radiographs = weights @ self.n_boxes, weights.sum(axis=1)
        values = [
            # The tolerance keeps 1 false region in 8 radiographs at a rate of .125.
            ratio(
                np.max(
                    np.where(false <= (rate + 1e-9) * radiographs[:, None], found, 0.0),
                    axis=1,
                    initial=0.0,
                ),
                lesions,
            )
            for rate in RATES
        ]
        figures = {f"froc@{rate:g}": value for rate, value in zip(RATES, values, strict=True)}
        return {**figures, "froc": np.mean(values, axis=0)}


def _rows(lists: Sequence[Array]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(lists)), [len(values) for values in lists])
