"""What `LocalizationEvaluator` returns, ready for JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from pneumoscope.evaluate.bootstrap import Interval, figures_json

Slice = Literal["true_positives", "annotated", "all"]
"""Radiographs of the test half: with lesions and called positive; with lesions, whatever they are
called; or all, as delivered."""


@dataclass(frozen=True, slots=True)
class FigureReport:
    """Figures of some radiographs: of a level of a breakdown, or the differences of two methods.

    Attributes:
        n: radiographs; of a difference, those with lesions.
        n_patients: theirs; of a difference, those of all radiographs compared.
        figures: by name; of a level `peak_in_box`, `area_matched` and `mean_iou@0.5`, of a
            difference the first method's figure less the second's.
    """

    n: int
    n_patients: int
    figures: dict[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: the counts, then the figures."""
        counts = [field.name for field in fields(self) if field.name != "figures"]
        return {
            **{name: getattr(self, name) for name in counts}, "figures": figures_json(self.figures)
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SliceReport(FigureReport):
    """Figures of one method on one slice of the test half.

    In `true_positives` are the radiographs with lesions that the classifier calls positive. In
    `annotated` are all radiographs with lesions: the map itself is measured, so that models may be
    compared whose decisions differ. In `all` are all radiographs; where the classifier says
    negative the map counts as empty, so that a missed case hits nothing.

    Attributes:
        n: radiographs with lesions.
        n_patients: theirs.
        n_boxes: their lesions.
        n_missed: of n, called negative.
        n_negatives: radiographs without lesions.
        n_flat: of n - n_missed, maps without evidence because they are flat.
        n_nan: likewise because of a value that is not finite.
        figures: by name.

            - `peak_in_box`, or `pointing_game`: the hottest pixel is in a lesion, ties averaged.
              `hit_rate` and `miou`: the pointing game and the IoU as CheXlocalize defines them
              (Saporta et al. 2022): the first of the hottest pixels; the pixels above Otsu's
              threshold of the map between its own smallest and largest value.
            - `area_matched`: overlap of as many of the hottest pixels as the lesions have. `auprc`:
              average precision of a radiograph's pixels, mean over radiographs; `pxap`: the same of
              all films' pixels pooled, each radiograph weighing the same whatever its size
              (wsolevaluation resizes all to 224 x 224). `energy_in_boxes`.
            - `iou@t`, `iobb@t`: part of all lesion boxes for which some region has at least this
              IoU (IoBB: intersection over the *region's* area), the accuracy of Wang et al. 2017.
            - `mean_dice@0.5`, `mean_dice`, `max_mean_dice`: the Dice coefficient at the heat
              thresholds of `mean_iou@0.5`, `mean_iou`, `max_mean_iou`.
            - `mean_iou`, `box_acc`, `box_acc_v2`: at the heat threshold chosen on the tuning half;
              `mean_iou@0.5`: at the fixed one. `mean_iou` is of pixels; `box_acc` is the part of
              radiographs on which the box around the largest part of the map has IoU >= .5 with a
              lesion box; `_v2` looks at all parts, mean over IoU .3, .5, .7.
            - `max_mean_iou`, `max_box_acc`, `max_box_acc_v2`: at the heat threshold (among 0.05,
              0.10, ..., 0.95) that is best on *this* half, as the literature reports MaxBoxAcc:
              optimistic.
            - `energy_in_lungs`, `peak_in_lungs`, `lungs_share` (what a map spread evenly would
              score): over radiographs with known lungs. `peak_at_border`: over maps with evidence.
            - in `all` also `froc@r`, part of the lesions found at no more than r false regions per
              radiograph; `froc`, the mean over r; and `false_regions_per_negative`.
    """

    n_boxes: int
    n_missed: int
    n_negatives: int
    n_flat: int
    n_nan: int


@dataclass(frozen=True, slots=True)
class MethodReport:
    """Figures of one method.

    Attributes:
        threshold: heat threshold of `mean_iou`, `box_acc` and `box_acc_v2`.
        threshold_from: `tuning half`: the largest mean IoU of its true positives; or `default`,
            because it has none.
        slices: `true_positives`, `annotated` and `all`.
    """

    threshold: float
    threshold_from: Literal["tuning half", "default"]
    slices: dict[Slice, SliceReport]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
            "slices": {name: report.to_dict() for name, report in self.slices.items()},
        }


@dataclass(frozen=True, slots=True)
class GroupReport:
    """Breakdowns of the true positives of the test half.

    Attributes:
        size_boundaries: lesion share of the radiograph up to which lesions are `small`, and
            `medium`; NaN without true positives.
        figures: by method, breakdown and level; levels without a radiograph are absent.
    """

    size_boundaries: tuple[float, float]
    figures: dict[str, dict[str, dict[str, FigureReport]]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "size_boundaries": [
                value if math.isfinite(value) else None for value in self.size_boundaries
            ],
            "methods": {
                method: {
                    breakdown: {level: found.to_dict() for level, found in levels.items()}
                    for breakdown, levels in breakdowns.items()
                }
                for method, breakdowns in self.figures.items()
            },
        }
