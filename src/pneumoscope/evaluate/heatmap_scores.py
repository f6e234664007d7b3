"""What one heatmap scores on one radiograph: small numbers, from which every figure is made.

A map without evidence (flat, or with a value that is not finite) counts as an empty one: it hits
no lesion, has no region, and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _parts, _pixels, box_overlap
from pneumoscope.evaluate._pixels import BINS, THRESHOLDS, Evidence
from pneumoscope.evaluate.annotations import LesionAnnotation, Side

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HeatmapScores:
    """Scores of a heatmap on a radiograph with lesions; k lesion boxes, t = 19 `THRESHOLDS`.

    Attributes:
        evidence: `heat`; or `flat` or `nan`, which count as an empty map.
        pixels: of the radiograph.
        lesion_pixels: of them in a lesion.
        side: half of the radiograph with the lesions.
        peak_in_box: share of the map's maxima in a lesion: 0 or 1 for a single peak (Zhang et al.
            2018), what picking one of several at random scores on average.
        hit_rate: whether the first of the maxima, row by row, is in a lesion, as CheXlocalize
            (Saporta et al. 2022) looks for it: 0 or 1.
        miou: IoU of the pixels above Otsu's threshold with the lesions' mask, as CheXlocalize cuts
            a map.
        area_matched: part of the hottest pixels, as many as the lesions have, that lie in them.
        auprc: average precision of this radiograph's pixels.
        energy_in_boxes: part of the heat in the lesions (Wang et al. 2020, Score-CAM).
        energy_in_lungs: part of the heat in the lungs; NaN without lungs.
        peak_in_lungs: share of the maxima in the lungs; NaN without lungs.
        lungs_share: part of the radiograph that is lung; NaN without lungs.
        peak_at_border: share of the maxima within 5 % of the side of the radiograph's edge; NaN for
            a map without evidence, which has no peak.
        iou: (t,) IoU of the pixels that are at least a threshold with the lesions' mask.
        largest_iou: (t,) best IoU with a lesion box of the box around the largest part.
        part_iou: (t,) likewise of the best of the boxes around all parts.
        histogram: (2, 256) pixels by heat, outside and inside the lesions.
        box_iou: (k,) best IoU of each lesion box with a region.
        box_iobb: (k,) best IoBB of each lesion box with a region.
        box_scores: (k,) highest score of a region centred in the lesion box; -inf if there is none.
        false_scores: (f,) scores of the regions centred in no lesion box.
    """

    evidence: Evidence
    pixels: int
    lesion_pixels: int
    side: Side
    peak_in_box: float
    hit_rate: float
    miou: float
    area_matched: float
    auprc: float
    energy_in_boxes: float
    energy_in_lungs: float
    peak_in_lungs: float
    lungs_share: float
    peak_at_border: float
    iou: Array
    largest_iou: Array
    part_iou: Array
    histogram: NDArray[np.int64]
    box_iou: Array
    box_iobb: Array
    box_scores: Array
    false_scores: Array

    @property
    def n_boxes(self) -> int:
        """How many lesions."""
        return len(self.box_iou)

    @property
    def lesion_share(self) -> float:
        """Part of the radiograph's area that is in a lesion, (0, 1]."""
        return self.lesion_pixels / self.pixels

    def emptied(self) -> HeatmapScores:
        """The scores of an empty map on the same radiograph: what a missed case is worth."""
        return _empty(
            self.evidence,
            self.pixels,
            self.lesion_pixels,
            self.side,
            self.n_boxes,
            self.lungs_share,
        )


@dataclass(frozen=True, slots=True)
class LungScores:
    """Scores of a heatmap on a radiograph with known lungs, as in `HeatmapScores`."""

    evidence: Evidence
    energy_in_lungs: float
    peak_in_lungs: float
    lungs_share: float
    peak_at_border: float


def score_heatmap(
    heatmap: ArrayLike,
    annotation: LesionAnnotation,
    regions: ArrayLike,
    lungs: ArrayLike | None = None,
) -> HeatmapScores:
    """Everything that is measured of one heatmap; 6 ms for 512 x 512, 70 ms for white noise.

    Args:
        heatmap: (h, w) in [0, 1], on the radiograph's grid; 0 is no evidence.
        annotation: the radiograph's lesions.
        regions: (r, 5) of x, y, width, height, score, r >= 0: the boxes made from this heatmap.
        lungs: (h, w), true in the lungs.

    Raises:
        EvaluationError: shapes that differ, heat outside [0, 1], regions that are none, or a lungs
            mask without lungs.
    """
    heat, evidence = _pixels.read_heat(heatmap)
    mask = annotation.mask
    _pixels.same_grid(heat, mask, "lesion mask")
    found = read_regions(regions)
    lung = LungScores(evidence, np.nan, np.nan, np.nan, np.nan)
    if lungs is not None:
        lung = _score_lungs(heat, evidence, lungs)
    lesion_pixels = int(np.count_nonzero(mask))
    empty = _empty(
        evidence, mask.size, lesion_pixels, annotation.side, annotation.n_boxes, lung.lungs_share
    )
    if evidence != "heat":
        return empty
    places = _pixels.peaks(heat)
    reached = _pixels.levels(heat)
    histogram = _pixels.histograms(heat, mask)
    outside, inside = histogram.astype(np.float64)[:, None, :]
    largest, best = _part_ious(reached, annotation.boxes)
    iou, iobb = box_overlap.overlaps(annotation.boxes, found[:, :4])
    hits = box_overlap.centred_in(annotation.boxes, found[:, :4])
    return replace(
        empty,
        peak_in_box=float(mask.ravel()[places].mean()),
        hit_rate=float(mask.ravel()[places[0]]),
        miou=_pixels.mask_iou(_pixels.otsu_mask(heat), mask),
        area_matched=_pixels.area_matched(heat, mask),
        auprc=float(_pixels.average_precision(outside, inside)[0]),
        energy_in_boxes=_pixels.energy_share(heat, mask),
        energy_in_lungs=lung.energy_in_lungs,
        peak_in_lungs=lung.peak_in_lungs,
        peak_at_border=_pixels.border_share(places, *heat.shape),
        iou=_pixels.threshold_ious(reached, mask),
        largest_iou=largest,
        part_iou=best,
        histogram=histogram,
        box_iou=box_overlap.best(iou),
        box_iobb=box_overlap.best(iobb),
        box_scores=np.max(np.where(hits, found[:, 4], -np.inf), axis=1, initial=-np.inf),
        false_scores=found[~hits.any(axis=0), 4],
    )


def score_lungs(heatmap: ArrayLike, lungs: ArrayLike) -> LungScores:
    """What a heatmap scores on a radiograph with known lungs, with or without lesions.

    Args:
        heatmap: (h, w) in [0, 1], on the radiograph's grid.
        lungs: (h, w), true in the lungs.

    Raises:
        EvaluationError: shapes that differ, heat outside [0, 1], or no lungs in the mask.
    """
    heat, evidence = _pixels.read_heat(heatmap)
    return _score_lungs(heat, evidence, lungs)


def read_regions(regions: ArrayLike) -> Array:
    """Regions as (r, 5) float64; an empty list is none.

    Raises:
        EvaluationError: another shape, a value that is not finite, or a box without area.
    """
    table = np.asarray(regions, dtype=np.float64)
    if table.size == 0:
        return np.empty((0, 5))
    if table.ndim != 2 or table.shape[1] != 5:
        raise EvaluationError(
            f"regions have shape {table.shape} instead of (regions, 5)",
            remedy="give x, y, width, height and score of each region",
        )
    if not np.isfinite(table).all() or (table[:, 2:4] <= 0.0).any():
        raise EvaluationError(
            "a region has no area, or a value that is not finite",
            remedy="give x, y, width, height and score of each region",
        )
    return table


def _score_lungs(heat: _pixels.Heat, evidence: Evidence, lungs: ArrayLike) -> LungScores:
    mask = np.asarray(lungs, dtype=np.bool_)
    _pixels.same_grid(heat, mask, "lungs mask")
    if not mask.any():
        raise EvaluationError(
            "the lungs mask is empty", remedy="leave out radiographs whose lungs were not found"
        )
    share = float(mask.mean())
    if evidence != "heat":
        return LungScores(evidence, 0.0, 0.0, share, np.nan)
    places = _pixels.peaks(heat)
    return LungScores(
        evidence=evidence,
        energy_in_lungs=_pixels.energy_share(heat, mask),
        peak_in_lungs=float(mask.ravel()[places].mean()),
        lungs_share=share,
        peak_at_border=_pixels.border_share(places, *heat.shape),
    )


def _empty(
    evidence: Evidence,
    pixels: int,
    lesion_pixels: int,
    side: Side,
    n_boxes: int,
    lungs_share: float,
) -> HeatmapScores:
    """The scores of an empty map on a radiograph with these lesions and lungs (NaN without)."""
    nothing, unfound = np.zeros(len(THRESHOLDS)), np.zeros(n_boxes)
    histogram = np.zeros((2, BINS), dtype=np.int64)
    histogram[:, 0] = pixels - lesion_pixels, lesion_pixels
    in_lungs = np.nan if np.isnan(lungs_share) else 0.0
    return HeatmapScores(
        evidence=evidence,
        pixels=pixels,
        lesion_pixels=lesion_pixels,
        side=side,
        peak_in_box=0.0,
        hit_rate=0.0,
        miou=0.0,
        area_matched=0.0,
        auprc=0.0,
        energy_in_boxes=0.0,
        energy_in_lungs=in_lungs,
        peak_in_lungs=in_lungs,
        lungs_share=lungs_share,
        peak_at_border=np.nan,
        iou=nothing,
        largest_iou=nothing,
        part_iou=nothing,
        histogram=histogram,
        box_iou=unfound,
        box_iobb=unfound,
        box_scores=np.full(n_boxes, -np.inf),
        false_scores=np.empty(0),
    )


def _part_ious(reached: NDArray[np.uint8], lesions: Array) -> tuple[Array, Array]:
    """Best IoU with a lesion of the largest part's box and of any part's box, each (thresholds,).

    Choe et al. 2020, "Evaluating WSOL right": MaxBoxAcc looks at the largest part, MaxBoxAccV2 at
    all.
    """
    threshold, area, boxes = _parts.parts(reached)
    overlap = box_overlap.overlaps(boxes, lesions)[0].max(axis=1)
    largest, best = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    np.maximum.at(best, threshold, overlap)
    # Of parts equally large the one that overlaps more comes last and stays.
    order = np.lexsort((overlap, area))
    largest[threshold[order]] = overlap[order]
    return largest, best
