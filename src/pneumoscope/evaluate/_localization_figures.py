"""The localization figures of many radiographs, for many weightings of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluate import _pixels
from pneumoscope.evaluate._froc import FreeResponse
from pneumoscope.evaluate._pixels import BINS, THRESHOLDS
from pneumoscope.evaluate._weighted import Array, Figures, ratio
from pneumoscope.evaluate.bootstrap import Statistic, weighted_means
from pneumoscope.evaluate.heatmap_scores import HeatmapScores

HALF = THRESHOLDS.index(0.5)
OVERLAPS: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7)
"""IoU and IoBB from which on a lesion box counts as found."""

# Choe et al. 2020: MaxBoxAcc asks for IoU .5, MaxBoxAccV2 averages over these.
_BOX_ACCURACY = 0.5
_BOX_ACCURACY_V2 = (0.3, 0.5, 0.7)
_MEANS = (
    "peak_in_box",
    "hit_rate",
    "area_matched",
    "miou",
    "auprc",
    "energy_in_boxes",
    "energy_in_lungs",
    "peak_in_lungs",
    "lungs_share",
    "peak_at_border",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One radiograph of a slice.

    Attributes:
        scores: of its heatmap, already emptied if the classifier gates it; None without lesions.
        false_scores: scores of its regions, all false, if it has no lesions.
    """

    scores: HeatmapScores | None
    false_scores: Array


def statistic(rows: Sequence[Row], chosen: int, *, gated: bool) -> Statistic:
    """What `LocalizationEvaluator` reports of a slice, as `bootstrap_patients` wants it.

    Args:
        rows: the slice's n radiographs, none of them without lesions unless `gated`.
        chosen: index of the heat threshold chosen on the tuning half.
        gated: also the figures that need radiographs without lesions.
    """
    annotated = np.array([row for row, item in enumerate(rows) if item.scores is not None], int)
    scores = [item.scores for item in rows if item.scores is not None]
    means = weighted_means({name: [getattr(item, name) for item in scores] for name in _MEANS})
    found, n_boxes = _found(scores)
    overlap = _Overlap(scores, chosen)
    pixels = np.array([item.histogram / item.pixels for item in scores]).reshape(-1, 2, BINS)
    response = _response(rows) if gated else None
    false = [np.nan if row.scores is not None else len(row.false_scores) for row in rows]
    per_negative = weighted_means({"false_regions_per_negative": false})

    def figures(weights: NDArray[np.float64]) -> Figures:
        own = weights[:, annotated]
        boxes = own @ n_boxes
        average = means(own)
        result = {
            **average,
            # The name that the field has for it.
            "pointing_game": average["peak_in_box"],
            **{name: ratio(own @ column, boxes) for name, column in found.items()},
            **overlap.figures(own),
            "pxap": _pixels.average_precision(own @ pixels[:, 0], own @ pixels[:, 1]),
        }
        if response is not None:
            result |= {**response.figures(weights), **per_negative(weights)}
        return result

    return figures


def brief_statistic(scores: Sequence[HeatmapScores]) -> Statistic:
    """The three figures of a breakdown: peak_in_box, area_matched, mean_iou@0.5."""
    return weighted_means(
        {
            "peak_in_box": [item.peak_in_box for item in scores],
            "area_matched": [item.area_matched for item in scores],
            "mean_iou@0.5": [item.iou[HALF] for item in scores],
        }
    )


def choose_heat_threshold(scores: Sequence[HeatmapScores]) -> int | None:
    """Index of the heat threshold with the largest mean IoU; among equals the nearest to 0.5.

    None if there is nothing to choose on.
    """
    if not scores:
        return None
    means = np.mean([item.iou for item in scores], axis=0)
    best = np.flatnonzero(means == means.max())
    return int(best[np.argmin(np.abs(best - HALF))])


class _Overlap:
    """Figures read at a heat threshold, or at the best of all."""

    def __init__(self, scores: Sequence[HeatmapScores], chosen: int) -> None:
        size = (-1, len(THRESHOLDS))
        part = np.array([item.part_iou for item in scores]).reshape(size)
        largest = np.array([item.largest_iou for item in scores]).reshape(size)
        self._iou = np.array([item.iou for item in scores]).reshape(size)
        self._dice = 2 * self._iou / (1 + self._iou)
        self._accuracy = (largest >= _BOX_ACCURACY).astype(np.float64)
        self._accuracy_v2 = [(part >= least).astype(np.float64) for least in _BOX_ACCURACY_V2]
        self._chosen = chosen

    def figures(self, weights: Array) -> Figures:
        total = weights.sum(axis=1, keepdims=True)
        iou = ratio(weights @ self._iou, total)
        dice = ratio(weights @ self._dice, total)
        accuracy = ratio(weights @ self._accuracy, total)
        # Choe et al. take the best heat threshold for each IoU by itself, then the mean.
        accuracy_v2 = np.stack([ratio(weights @ hits, total) for hits in self._accuracy_v2])
        return {
            "mean_iou": iou[:, self._chosen],
            "mean_iou@0.5": iou[:, HALF],
            "max_mean_iou": iou.max(axis=1),
            "mean_dice": dice[:, self._chosen],
            "mean_dice@0.5": dice[:, HALF],
            "max_mean_dice": dice.max(axis=1),
            "box_acc": accuracy[:, self._chosen],
            "box_acc_v2": accuracy_v2[:, :, self._chosen].mean(axis=0),
            "max_box_acc": accuracy.max(axis=1),
            "max_box_acc_v2": accuracy_v2.max(axis=2).mean(axis=0),
        }


def _found(scores: Sequence[HeatmapScores]) -> tuple[dict[str, Array], Array]:
    """How many lesion boxes of each radiograph are found, by figure, and how many there are."""
    columns = {
        f"{name}@{least:g}": np.array(
            [np.count_nonzero(getattr(item, f"box_{name}") >= least) for item in scores], float
        )
        for name in ("iou", "iobb")
        for least in OVERLAPS
    }
    return columns, np.array([item.n_boxes for item in scores], float)


def _response(rows: Sequence[Row]) -> FreeResponse:
    return FreeResponse(
        [np.empty(0) if row.scores is None else row.scores.box_scores for row in rows],
        [row.false_scores if row.scores is None else row.scores.false_scores for row in rows],
    )
