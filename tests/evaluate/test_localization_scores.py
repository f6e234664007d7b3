"""What one heatmap scores: hand-computed cases, public implementations, fair to ties and faults."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import HeatmapScores, LesionAnnotation, score_heatmap, score_lungs
from pneumoscope.evaluate._pixels import THRESHOLDS, average_precision

Heat = NDArray[np.float32]
LESION = LesionAnnotation.from_boxes([[3, 2, 4, 2]], 8, 10)  # rows 2, 3; columns 3 to 6
NONE: list[list[float]] = []


def peak_at(row: int, column: int, height: float = 1.0) -> Heat:
    heat = np.zeros((8, 10), dtype=np.float32)
    heat[row, column] = height
    return heat


def at(threshold: float) -> int:
    return THRESHOLDS.index(threshold)


@pytest.mark.parametrize(
    ("row", "column", "hit"), [(2, 3, 1.0), (3, 6, 1.0), (4, 3, 0.0), (2, 7, 0.0)]
)
def test_the_peak_lies_in_the_box_or_not(row: int, column: int, hit: float) -> None:
    scores = score_heatmap(peak_at(row, column), LESION, NONE)
    assert scores.peak_in_box == scores.energy_in_boxes == hit
    assert scores.evidence == "heat"


def test_tied_maxima_score_their_average() -> None:
    heat = peak_at(2, 3)
    heat[0, :3] = 1.0
    assert score_heatmap(heat, LESION, NONE).peak_in_box == 0.25


def test_hit_rate_and_miou_are_those_of_chexlocalize() -> None:
    """Their code: `argmax`; 255 * (map - min) / max as uint8, cut by OpenCV's Otsu; IoU."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(40):
        mask = np.zeros((40, 50), dtype=np.bool_)
        top, left = rng.integers(0, 25, 2)
        mask[top : top + 15, left : left + 20] = True
        heat = ndimage.gaussian_filter(rng.normal(size=mask.shape), rng.uniform(0.5, 8))
        heat = ((heat - heat.min()) / np.ptp(heat) * rng.uniform(0.2, 1)).astype(np.float32)
        heat[heat < rng.choice([0.0, 0.5]) * heat.max()] = 0.0
        stretched = heat - heat.min()
        levels = np.uint8(255 * (stretched / stretched.max()))
        cut = cv2.threshold(levels, 0, int(levels.max()), cv2.THRESH_OTSU)[1] > 0
        expected = np.sum(cut & mask) / np.sum(cut | mask)
        row, column = np.unravel_index(np.argmax(heat), heat.shape)
        scores = score_heatmap(heat, LesionAnnotation.from_mask(mask), NONE)
        assert scores.miou == pytest.approx(expected, abs=1e-12)
        assert scores.hit_rate == mask[row, column]
        hits.append(scores.hit_rate)
    assert 0 < np.mean(hits) < 1
    tied = peak_at(2, 3)
    tied[0, 0] = 1.0
    assert score_heatmap(tied, LESION, NONE).hit_rate == 0


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_flat_map_is_no_evidence(level: float) -> None:
    noise = np.random.default_rng(0).uniform(-1e-7, 0, (8, 10)) * level
    scores = score_heatmap(level + noise, LESION, [[3, 2, 4, 2, 0.9]], np.ones((8, 10)))
    assert scores.evidence == "flat"
    assert_empty(scores)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_map_is_no_evidence(broken: float) -> None:
    heat = peak_at(2, 3)
    heat[3, 4] = broken
    scores = score_heatmap(heat, LESION, [[3, 2, 4, 2, 0.9]], np.ones((8, 10)))
    assert scores.evidence == "nan"
    assert_empty(scores)


def assert_empty(scores: HeatmapScores) -> None:
    for name in (
        "peak_in_box", "hit_rate", "miou", "area_matched", "auprc", "energy_in_boxes",
        "energy_in_lungs",
    ):  # fmt: skip
        assert getattr(scores, name) == 0.0, name
    for name in ("iou", "largest_iou", "part_iou", "box_iou", "box_iobb"):
        assert not np.any(getattr(scores, name)), name
    assert scores.false_scores.size == 0
    assert scores.box_scores.tolist() == [-np.inf]
    assert scores.lungs_share == 1.0
    assert np.isnan(scores.peak_at_border)
    assert scores.histogram[:, 0].tolist() == [72, 8]
    assert scores.histogram.sum() == 80


def test_an_emptied_map_scores_as_one_that_was_flat() -> None:
    lungs = np.ones((8, 10))
    emptied = score_heatmap(peak_at(2, 3), LESION, [[3, 2, 4, 2, 0.9]], lungs).emptied()
    assert_empty(emptied)
    assert emptied.n_boxes == 1 and emptied.lesion_share == 0.1


def test_faint_maps_still_count() -> None:
    assert score_heatmap(peak_at(2, 3, 1e-9), LESION, NONE).peak_in_box == 1.0


def test_the_perfect_map_scores_one_everywhere() -> None:
    scores = score_heatmap(LESION.mask, LESION, [[3, 2, 4, 2, 0.9]])
    for name in ("peak_in_box", "area_matched", "auprc", "energy_in_boxes"):
        assert getattr(scores, name) == 1.0, name
    for name in ("iou", "largest_iou", "part_iou", "box_iou", "box_iobb"):
        assert (getattr(scores, name) == 1.0).all(), name
    assert scores.iou.shape == scores.largest_iou.shape == (19,)
    assert scores.box_scores.tolist() == [0.9] and scores.false_scores.size == 0


def test_the_opposite_map_scores_nothing() -> None:
    scores = score_heatmap(~LESION.mask, LESION, [[0, 4, 10, 4, 0.9]])
    for name in ("peak_in_box", "area_matched", "energy_in_boxes"):
        assert getattr(scores, name) == 0.0, name
    assert not scores.iou.any() and not scores.box_iou.any() and not scores.box_iobb.any()
    assert scores.auprc == 0.1  # all pixels are needed to find the lesion
    assert scores.box_scores.tolist() == [-np.inf] and scores.false_scores.tolist() == [0.9]


def graded() -> Heat:
    """0.8 on the left half of the lesion, 0.4 on 2 of its other 4 pixels and on 4 beside it."""
    heat = np.zeros((8, 10), dtype=np.float32)
    heat[2:4, 3:5] = 0.8
    heat[2, 5:7] = 0.4
    heat[6, 0:4] = 0.4
    heat[0, 0] = 0.2
    return heat


def test_overlap_at_every_threshold_by_hand() -> None:
    scores = score_heatmap(graded(), LESION, NONE)
    assert scores.iou[at(0.05)] == scores.iou[at(0.2)] == 6 / (8 + 11 - 6)
    assert scores.iou[at(0.25)] == scores.iou[at(0.4)] == 6 / (8 + 10 - 6)
    assert scores.iou[at(0.45)] == scores.iou[at(0.8)] == 4 / 8  # .8 itself reaches .8
    assert scores.iou[at(0.85)] == 0.0


def test_area_matched_shares_out_ties_by_hand() -> None:
    # Eight places: four of heat .8, all in; four more among six of heat .4, of which two are in.
    assert score_heatmap(graded(), LESION, NONE).area_matched == pytest.approx((4 + 4 * 2 / 6) / 8)
    # One pixel hot, seven places among 79 equal ones, of which seven are in.
    heat = peak_at(2, 3) * 0.5 + np.float32(0.1)
    assert score_heatmap(heat, LESION, NONE).area_matched == pytest.approx((1 + 7 * 7 / 79) / 8)


def test_energy_by_hand() -> None:
    scores = score_heatmap(graded(), LESION, NONE)
    assert scores.energy_in_boxes == pytest.approx((4 * 0.8 + 2 * 0.4) / (4 * 0.8 + 6 * 0.4 + 0.2))


def test_parts_by_hand() -> None:
    annotation = LesionAnnotation.from_boxes([[0, 0, 4, 4]], 20, 20)
    heat = np.zeros((20, 20), dtype=np.float32)
    heat[0:4, 0:2] = 0.9  # 8 pixels: IoU .5 with the lesion
    heat[10:15, 10:15] = 0.5  # 25 pixels far away: the largest part until .5
    scores = score_heatmap(heat, annotation, NONE)
    assert (scores.part_iou[: at(0.9) + 1] == 0.5).all() and scores.part_iou[at(0.95)] == 0.0
    assert not scores.largest_iou[: at(0.5) + 1].any()
    assert (scores.largest_iou[at(0.55) : at(0.9) + 1] == 0.5).all()


def test_regions_by_hand() -> None:
    annotation = LesionAnnotation.from_boxes([[0, 0, 10, 10], [30, 30, 10, 10]], 50, 50)
    heat = np.zeros((50, 50), dtype=np.float32)
    heat[5, 5] = 1.0
    regions = [
        [0, 0, 10, 5, 0.9],  # half of the first lesion
        [0, 0, 4, 4, 0.95],  # in it, small
        [36, 30, 10, 10, 0.7],  # 4 of 10 columns in the second lesion, its centre outside
        [20, 0, 5, 5, 0.3],  # beside both
    ]
    scores = score_heatmap(heat, annotation, regions)
    assert scores.box_iou.tolist() == [0.5, 40 / 160]
    assert scores.box_iobb.tolist() == [1.0, 0.4]
    assert scores.box_scores.tolist() == [0.95, -np.inf]
    assert scores.false_scores.tolist() == [0.7, 0.3]


def test_lungs_by_hand() -> None:
    lungs = np.zeros((8, 10), dtype=bool)
    lungs[:, :5] = True
    heat = graded()
    scores = score_heatmap(heat, LESION, NONE, lungs)
    total = 4 * 0.8 + 6 * 0.4 + 0.2
    assert scores.energy_in_lungs == pytest.approx((total - 2 * 0.4) / total)
    assert (scores.peak_in_lungs, scores.lungs_share) == (1.0, 0.5)
    alone = score_lungs(heat, lungs)
    assert alone.energy_in_lungs == scores.energy_in_lungs
    assert (alone.peak_in_lungs, alone.lungs_share, alone.peak_at_border) == (1.0, 0.5, 0.0)
    assert score_lungs(peak_at(0, 9), lungs).peak_in_lungs == 0.0
    assert score_lungs(np.zeros((8, 10)), lungs).energy_in_lungs == 0.0
    without = score_heatmap(heat, LESION, NONE)
    assert np.isnan([without.energy_in_lungs, without.peak_in_lungs, without.lungs_share]).all()
    assert np.isnan(without.emptied().energy_in_lungs)


@pytest.mark.parametrize(
    ("row", "column", "border"),
    [(4, 50, 1.0), (5, 50, 0.0), (94, 50, 0.0), (95, 50, 1.0), (50, 9, 1.0), (50, 190, 1.0)],
)
def test_peaks_at_the_border(row: int, column: int, border: float) -> None:
    annotation = LesionAnnotation.from_boxes([[50, 50, 20, 20]], 100, 200)
    heat = np.zeros((100, 200))
    heat[row, column] = 1.0  # five rows or ten columns are 5 % of the side
    assert score_heatmap(heat, annotation, NONE).peak_at_border == border


def test_average_precision_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    annotation = LesionAnnotation.from_boxes([[10, 12, 30, 20], [50, 40, 9, 17]], 64, 80)
    noise = ndimage.gaussian_filter(rng.random((64, 80)), 4) + 0.05 * annotation.mask
    heat = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    scores = score_heatmap(heat, annotation, NONE)
    target = annotation.mask.ravel()
    rounded = np.minimum(np.floor(heat.ravel() * 256), 255)
    assert scores.auprc == pytest.approx(average_precision_score(target, rounded), abs=1e-12)
    assert scores.auprc == pytest.approx(average_precision_score(target, heat.ravel()), abs=2e-3)
    outside, inside = scores.histogram.astype(float)[:, None]
    assert (outside.sum(), inside.sum()) == ((~target).sum(), target.sum())
    assert average_precision(outside, inside).tolist() == [scores.auprc]


def test_iou_is_that_of_the_thresholded_map() -> None:
    heat = np.random.default_rng(1).random((8, 10), dtype=np.float32)
    scores = score_heatmap(heat, LESION, NONE)
    for threshold, iou in zip(THRESHOLDS, scores.iou, strict=True):
        hot = heat >= threshold
        assert iou == (hot & LESION.mask).sum() / (hot | LESION.mask).sum()


def test_area_matched_is_that_of_random_tie_breaking() -> None:
    rng = np.random.default_rng(2)
    heat = np.round(rng.random((8, 10)) * 4) / 4
    tries = []
    for _ in range(4000):
        order = np.lexsort((rng.random(80), -heat.ravel()))
        tries.append(LESION.mask.ravel()[order[:8]].mean())
    expected = score_heatmap(heat, LESION, NONE).area_matched
    assert expected == pytest.approx(np.mean(tries), abs=0.01)


def test_faults_are_named() -> None:
    heat = peak_at(2, 3)
    with pytest.raises(EvaluationError, match="shape"):
        score_heatmap(np.zeros((8, 9)), LESION, NONE)
    with pytest.raises(EvaluationError, match="shape"):
        score_heatmap(np.zeros(80), LESION, NONE)
    with pytest.raises(EvaluationError, match="outside"):
        score_heatmap(255 * heat, LESION, NONE)
    with pytest.raises(EvaluationError, match="outside"):
        score_heatmap(heat - np.float32(0.5), LESION, NONE)
    with pytest.raises(EvaluationError, match="regions have shape"):
        score_heatmap(heat, LESION, [[1, 2, 3, 4]])
    with pytest.raises(EvaluationError, match="no area"):
        score_heatmap(heat, LESION, [[1, 2, 0, 4, 0.5]])
    with pytest.raises(EvaluationError, match="lungs mask"):
        score_heatmap(heat, LESION, NONE, np.ones((8, 9)))
    with pytest.raises(EvaluationError, match="lungs mask is empty"):
        score_lungs(heat, np.zeros((8, 10)))
