"""Figures over radiographs: halves, gating, pooling, patients, pairs, breakdowns, lungs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    HeatmapScores,
    Interval,
    LesionAnnotation,
    LocalizationEvaluator,
    LungsEvaluator,
    half_of,
    score_heatmap,
    score_lungs,
)
from pneumoscope.evaluate import _localization_figures as figures
from pneumoscope.evaluate._froc import FreeResponse

SIZE = 40


def film(seed: int, n_boxes: int = 0) -> tuple[NDArray[np.float32], LesionAnnotation, NDArray[Any]]:
    """A smooth map that knows a little, disjoint lesions, and regions that hit some of them."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(4)[: n_boxes or rng.integers(1, 4)]
    origin = np.column_stack([cells % 2, cells // 2]) * SIZE / 2
    sides = rng.integers(8, 19, (cells.size, 2))
    boxes = np.hstack([origin + rng.integers(0, 2, (cells.size, 2)), sides])
    annotation = LesionAnnotation.from_boxes(boxes, SIZE, SIZE)
    noise = ndimage.gaussian_filter(rng.random((SIZE, SIZE)), 3)
    heat = noise - noise.min() + 0.3 * np.ptp(noise) * annotation.mask
    shaken = boxes + rng.integers(-3, 4, boxes.shape)
    shaken[:, 2:] = np.maximum(shaken[:, 2:], 2)
    other = np.column_stack([rng.integers(0, 30, (2, 2)), rng.integers(3, 10, (2, 2))])
    regions = np.vstack([shaken, other])
    scores = np.round(rng.random(len(regions)), 1)
    return (heat / heat.max()).astype(np.float32), annotation, np.column_stack([regions, scores])


def cohort(
    n: int = 60, per_patient: int = 2, *, methods: Sequence[str] = ("cam",), **settings: int
) -> LocalizationEvaluator:
    evaluator = LocalizationEvaluator(**{"n_resamples": 200, **settings})
    for index in range(n):
        heat, annotation, regions = film(index)
        patient = f"p{index // per_patient}"
        for method in methods:
            own = heat if method == "cam" else heat[::-1]
            evaluator.accumulate(
                method,
                image=f"{index}.png",
                patient=patient,
                scores=score_heatmap(own, annotation, regions),
                half=half_of(patient),
                positive=index % 5 > 0,
                groups={"sex": "FM"[index % 2]} if index % 3 else {},
            )
            evaluator.accumulate_negative(
                method,
                image=f"well-{index}.png",
                patient=patient,
                regions=regions,
                half=half_of(patient),
                positive=index % 4 == 0,
            )
    return evaluator


def add(
    evaluator: LocalizationEvaluator,
    name: str,
    scores: HeatmapScores,
    *,
    half: Any = "test",
    positive: bool = True,
    patient: str = "",
    method: str = "cam",
) -> None:
    evaluator.accumulate(
        method, image=name, patient=patient or name, scores=scores, half=half, positive=positive
    )


def values(found: dict[str, Interval]) -> dict[str, float]:
    return {name: interval.value for name, interval in found.items()}


def boxes_and_map(box: Sequence[float], hot: Sequence[int]) -> HeatmapScores:
    """A 10 x 10 radiograph with one lesion and a map that is 1 in one box, its only region."""
    annotation = LesionAnnotation.from_boxes([box], 10, 10)
    heat = np.zeros((10, 10))
    x, y, width, height = hot
    heat[y : y + height, x : x + width] = 1.0
    return score_heatmap(heat, annotation, [[*hot, 0.5]])


def test_figures_by_hand() -> None:
    evaluator = LocalizationEvaluator(n_resamples=50)
    perfect = boxes_and_map([0, 0, 5, 4], [0, 0, 5, 4])
    half = boxes_and_map([0, 0, 4, 4], [0, 0, 2, 4])
    miss = boxes_and_map([0, 0, 4, 4], [5, 5, 4, 4])
    for name, scores in {"a": perfect, "b": half, "c": miss}.items():
        add(evaluator, name, scores)
    add(evaluator, "d", perfect, positive=False)
    for name, positive in {"e": True, "f": False}.items():
        evaluator.accumulate_negative(
            "cam",
            image=name,
            patient=name,
            regions=[[1, 1, 2, 2, 0.9], [5, 5, 2, 2, 0.4]],
            half="test",
            positive=positive,
        )
    report = evaluator.compute()["cam"]
    assert (report.threshold, report.threshold_from) == (0.5, "default")

    seen = report.slices["true_positives"]
    assert (seen.n, seen.n_boxes, seen.n_missed, seen.n_negatives) == (3, 3, 0, 0)
    found = values(seen.figures)
    assert found["peak_in_box"] == found["energy_in_boxes"] == pytest.approx(2 / 3)
    # In b: 8 hot pixels in, and 8 of the 92 cold ones, of which 8 are in.
    assert found["area_matched"] == pytest.approx((1 + (8 + 8 * 8 / 92) / 16 + 0) / 3)
    assert found["mean_iou"] == found["mean_iou@0.5"] == found["max_mean_iou"] == 0.5
    assert found["iou@0.5"] == pytest.approx(2 / 3) and found["iou@0.7"] == pytest.approx(1 / 3)
    assert found["iobb@0.7"] == pytest.approx(2 / 3)
    assert found["box_acc"] == found["max_box_acc"] == pytest.approx(2 / 3)
    assert found["box_acc_v2"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    assert found["peak_at_border"] == pytest.approx((0 + 0 + 0) / 3)
    assert np.isnan(found["energy_in_lungs"])
    assert "froc" not in found

    whole = report.slices["all"]
    assert (whole.n, whole.n_boxes, whole.n_missed, whole.n_negatives) == (4, 4, 1, 2)
    found = values(whole.figures)
    assert found["peak_in_box"] == found["mean_iou@0.5"] + 0.125 == 0.5
    assert found["iou@0.5"] == 0.5 and found["iobb@0.7"] == 0.5
    assert found["false_regions_per_negative"] == 1.0  # 2 where positive, 0 where not
    # Six radiographs, four lesions: two found at .5, where 2 regions are false (.9, and that of c
    # at .5); with only the .9 above, no lesion is found at less than 2/6 per radiograph.
    assert found["froc@0.125"] == found["froc@0.25"] == 0.0
    assert found["froc@0.5"] == found["froc@1"] == found["froc@2"] == 0.5
    assert found["froc"] == pytest.approx(0.3)
    json.dumps(report.to_dict(), allow_nan=False)


def test_each_iou_of_max_box_acc_v2_has_its_own_best_heat_threshold() -> None:
    annotation = LesionAnnotation.from_boxes([[0, 0, 10, 10]], 20, 20)
    shrinking, growing = np.zeros((20, 20)), np.full((20, 20), 0.4)
    shrinking[:10, :10], shrinking[:4, :10] = 0.4, 0.9  # IoU 1 up to .4, then .4
    growing[:6, :10] = 0.9  # IoU .25 up to .4, then .6
    evaluator = LocalizationEvaluator(0)
    for name, heat in {"a": shrinking, "b": growing}.items():
        add(evaluator, name, score_heatmap(heat, annotation, []))
    found = values(evaluator.compute()["cam"].slices["true_positives"].figures)
    assert found["max_box_acc_v2"] == pytest.approx((1 + 0.5 + 0.5) / 3)  # high, either, low
    assert found["box_acc_v2"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found["max_box_acc"] == found["box_acc"] == 0.5


def test_perfect_maps_score_one_and_empty_maps_nothing() -> None:
    ones, zeros = LocalizationEvaluator(20), LocalizationEvaluator(20)
    for index in range(12):
        _, annotation, _ = film(index, n_boxes=1)
        lungs = np.roll(annotation.mask, 3)
        own = np.column_stack([annotation.boxes, np.ones(annotation.n_boxes)])
        add(ones, f"{index}", score_heatmap(annotation.mask, annotation, own, lungs))
        add(zeros, f"{index}", score_heatmap(0 * annotation.mask, annotation, own, lungs))
    outside = {"lungs_share", "energy_in_lungs", "peak_in_lungs", "peak_at_border"}
    for of in ("true_positives", "all"):
        slices = ones.compute()["cam"].slices[of], zeros.compute()["cam"].slices[of]
        perfect, empty = (values(found.figures) for found in slices)
        for name in perfect.keys() - outside - {"false_regions_per_negative"}:
            assert perfect[name] == pytest.approx(1.0), name
        for name in empty.keys() - outside - {"false_regions_per_negative", "pxap"}:
            assert empty[name] == 0.0, name
        assert empty["energy_in_lungs"] == empty["peak_in_lungs"] == 0.0
        assert slices[1].n_flat == 12
        assert empty["pxap"] == pytest.approx(
            np.mean([film(index, n_boxes=1)[1].mask.mean() for index in range(12)])
        )


@pytest.mark.parametrize("of", ["true_positives", "all"])
def test_weights_count_as_copies(of: str) -> None:
    """Each figure of a resample is that of the radiographs drawn, written out."""
    evaluator = cohort(24, 1)
    records = evaluator._slice("cam", of)  # type: ignore[arg-type]
    rows = [record.gated() for record in records]
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, (5, len(rows))).astype(float)
    weighted = figures.statistic(rows, 4, gated=of == "all")(weights)
    for index, weight in enumerate(weights.astype(int)):
        copies = [row for row, times in zip(rows, weight, strict=True) for _ in range(times)]
        drawn = figures.statistic(copies, 4, gated=of == "all")(np.ones((1, len(copies))))
        assert drawn.keys() == weighted.keys()
        for name, value in drawn.items():
            np.testing.assert_allclose(value[0], weighted[name][index], rtol=1e-12, err_msg=name)


def test_pxap_is_average_precision_of_all_pixels() -> None:
    evaluator = LocalizationEvaluator(0)
    targets, heats = [], []
    for index in range(8):
        heat, annotation, _ = film(index)
        add(evaluator, f"{index}", score_heatmap(heat, annotation, []))
        targets.append(annotation.mask.ravel())
        heats.append(np.minimum(np.floor(heat.ravel() * 256), 255))
    found = values(evaluator.compute()["cam"].slices["true_positives"].figures)
    expected = average_precision_score(np.concatenate(targets), np.concatenate(heats))
    assert found["pxap"] == pytest.approx(expected, abs=1e-12)
    each = [average_precision_score(*pair) for pair in zip(targets, heats, strict=True)]
    assert found["auprc"] == pytest.approx(np.mean(each), abs=1e-12)


def test_pxap_gives_each_film_the_same_weight() -> None:
    small, large = LocalizationEvaluator(0), LocalizationEvaluator(0)
    for index in range(6):
        heat, annotation, _ = film(index)
        times = 1 + index % 3
        finer = LesionAnnotation.from_mask(np.kron(annotation.mask, np.ones((times, times))))
        add(small, f"{index}", score_heatmap(heat, annotation, []))
        add(large, f"{index}", score_heatmap(np.kron(heat, np.ones((times, times))), finer, []))
    first, second = (
        values(own.compute()["cam"].slices["true_positives"].figures) for own in (small, large)
    )
    for name in ("pxap", "auprc", "area_matched", "mean_iou", "max_box_acc_v2", "peak_in_box"):
        assert first[name] == pytest.approx(second[name], abs=1e-9), name


def test_boxes_found_are_the_recall_of_coco() -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1}]}
    detections, evaluator = [], LocalizationEvaluator(0)
    for index in range(1, 41):
        heat, annotation, regions = film(index)
        add(evaluator, f"{index}", score_heatmap(heat, annotation, regions))
        truth["images"].append({"id": index, "width": SIZE, "height": SIZE})
        for box in annotation.boxes.tolist():
            number = len(truth["annotations"]) + 1
            own = {"id": number, "image_id": index, "category_id": 1, "bbox": box}
            truth["annotations"].append({**own, "area": box[2] * box[3], "iscrowd": 0})
        for *box, score in regions.tolist():
            own = {"image_id": index, "category_id": 1, "bbox": box, "score": score}
            detections.append(own)
    reference = coco.COCO()
    reference.dataset = truth
    reference.createIndex()
    evaluation = cocoeval.COCOeval(reference, reference.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0, 0, -1]  # IoU .5, .55, ..., all areas, 100 regions
    found = values(evaluator.compute()["cam"].slices["true_positives"].figures)
    assert 0.1 < found["iou@0.7"] < found["iou@0.5"] < 1.0
    assert found["iou@0.5"] == pytest.approx(recall[0])
    assert found["iou@0.7"] == pytest.approx(recall[4])


def test_the_tuning_half_moves_nothing_but_the_threshold() -> None:
    reports = []
    for seed in (0, 100):
        evaluator = LocalizationEvaluator(50)
        for index in range(10):
            heat, annotation, regions = film(index)
            add(evaluator, f"test-{index}", score_heatmap(heat, annotation, regions))
        for index in range(seed, seed + 10):
            heat, annotation, _ = film(index)
            # The second time the best threshold is high: the lesion is all of the heat above .85.
            tuned = heat if seed == 0 else 0.85 * heat**0.1 + 0.15 * annotation.mask
            add(evaluator, f"t-{index}", score_heatmap(tuned, annotation, []), half="tuning")
        reports.append(evaluator.compute()["cam"])
    first, second = reports
    assert first.threshold != second.threshold >= 0.8
    assert first.threshold_from == second.threshold_from == "tuning half"
    tuned_figures = {"mean_iou", "mean_dice", "box_acc", "box_acc_v2"}
    for of, own in first.slices.items():
        other = second.slices[of]
        assert own.n == other.n == 10
        for name, interval in own.figures.items():
            if np.isfinite(interval.value):
                assert (interval == other.figures[name]) == (name not in tuned_figures), name
        assert other.figures["mean_iou"].value < other.figures["max_mean_iou"].value


def test_the_threshold_is_that_of_true_positives_only() -> None:
    evaluator = LocalizationEvaluator(0)
    low = boxes_and_map([0, 0, 4, 4], [0, 0, 4, 4])
    add(evaluator, "a", low)
    add(evaluator, "b", low, half="tuning", positive=False)
    report = evaluator.compute()["cam"]
    assert (report.threshold, report.threshold_from) == (0.5, "default")
    annotation = LesionAnnotation.from_boxes([[0, 0, 4, 4]], 10, 10)
    # From .3 to .9 only the lesion is hot: 0.5 is among the best, and nearest to 0.5.
    add(evaluator, "c", score_heatmap(0.7 * annotation.mask + 0.25, annotation, []), half="tuning")
    assert evaluator.compute()["cam"].threshold_from == "tuning half"
    assert evaluator.compute()["cam"].threshold == 0.5
    faint = score_heatmap(0.1 * annotation.mask, annotation, [])
    for name in "defgh":
        add(evaluator, name, faint, half="tuning")
    assert evaluator.compute()["cam"].threshold == 0.1


def test_radiographs_called_negative_count_as_empty() -> None:
    called, missed = LocalizationEvaluator(0), LocalizationEvaluator(0)
    for index in range(10):
        heat, annotation, regions = film(index)
        scores = score_heatmap(heat, annotation, regions)
        empty = score_heatmap(0 * heat, annotation, [])
        add(called, f"{index}", scores if index % 2 else empty)
        add(missed, f"{index}", scores, positive=bool(index % 2))
    first, second = (own.compute()["cam"].slices for own in (called, missed))
    assert values(first["all"].figures).items() >= {
        (name, value) for name, value in values(second["all"].figures).items() if np.isfinite(value)
    }
    assert second["all"].n_missed == 5 and second["true_positives"].n == 5
    assert first["all"].n_flat == 5 and second["all"].n_flat == 0
    odd = LocalizationEvaluator(0)
    for index in range(1, 10, 2):
        heat, annotation, regions = film(index)
        add(odd, f"{index}", score_heatmap(heat, annotation, regions))
    alone = odd.compute()["cam"].slices["true_positives"]
    np.testing.assert_equal(values(alone.figures), values(second["true_positives"].figures))


def test_broken_maps_are_counted_misses() -> None:
    evaluator = LocalizationEvaluator(0)
    _, annotation, regions = film(3)
    add(evaluator, "a", score_heatmap(np.full((SIZE, SIZE), np.nan), annotation, regions))
    add(evaluator, "b", score_heatmap(annotation.mask, annotation, regions))
    own = evaluator.compute()["cam"].slices["true_positives"]
    assert (own.n, own.n_nan, own.n_flat) == (2, 1, 0)
    assert own.figures["peak_in_box"].value == 0.5


def test_intervals_follow_patients_and_seed_but_not_the_order() -> None:
    first, again, other = (cohort(seed=seed).compute()["cam"] for seed in (1, 1, 2))
    name = "area_matched"
    one, two, three = (r.slices["all"].figures[name] for r in (first, again, other))
    assert one == two != three and one.value == three.value
    backwards = LocalizationEvaluator(200, seed=1)
    source = cohort(seed=1)._records["cam"]
    for record in reversed(list(source.values())):
        backwards._add("cam", record)
    np.testing.assert_equal(backwards.compute()["cam"].to_dict(), first.to_dict())


def test_radiographs_of_one_patient_are_drawn_together() -> None:
    single, grouped = LocalizationEvaluator(500), LocalizationEvaluator(500)
    hit, miss = (boxes_and_map([0, 0, 4, 4], [x, 0, 4, 4]) for x in (0, 6))
    for index in range(60):
        scores = hit if index // 6 % 2 else miss
        add(single, f"{index}", scores)
        add(grouped, f"{index}", scores, patient=f"p{index // 6}")
    narrow, wide = (own.compute()["cam"].slices["true_positives"] for own in (single, grouped))
    assert (narrow.n_patients, wide.n_patients) == (60, 10)
    for name in ("peak_in_box", "iou@0.5", "pxap", "max_box_acc"):
        spans = [own.figures[name].high - own.figures[name].low for own in (narrow, wide)]
        assert spans[1] > 1.5 * spans[0] > 0.0, name


def test_paired_differences_come_from_the_same_patients() -> None:
    evaluator = cohort(80, methods=("cam", "upside down"))
    reports = evaluator.compute()
    for of in ("true_positives", "all"):
        paired = evaluator.compute_paired("cam", "upside down", of)
        back = evaluator.compute_paired("upside down", "cam", of)
        own, other = (reports[m].slices[of].figures for m in reports)
        for name, interval in paired.figures.items():
            if np.isfinite(interval.value):
                assert interval.value == pytest.approx(own[name].value - other[name].value), name
                assert interval.low == pytest.approx(-back.figures[name].high), name
        # Regions are the same under both, so that their figures cannot differ in any resample.
        same = paired.figures["iou@0.3"]
        assert same.value == same.low == same.high == 0.0
        assert own["iou@0.3"].high > own["iou@0.3"].low
    same_method = evaluator.compute_paired("cam", "cam", "all")
    assert all(i.low == i.high == 0.0 for i in same_method.figures.values() if i.value == i.value)
    assert same_method.n == reports["cam"].slices["all"].n


def test_pairs_are_of_radiographs_that_both_have() -> None:
    evaluator = LocalizationEvaluator(20)
    hit, miss = (boxes_and_map([0, 0, 4, 4], [x, 0, 4, 4]) for x in (0, 6))
    for name in "abc":
        add(evaluator, name, hit, method="a")
    for name in "bcd":
        add(evaluator, name, miss, method="b")
    paired = evaluator.compute_paired("a", "b", "true_positives")
    assert (paired.n, paired.n_patients) == (2, 2)
    assert paired.figures["peak_in_box"] == Interval(1.0, 1.0, 1.0)
    add(evaluator, "z", hit, method="c")
    with pytest.raises(EvaluationError, match="no radiograph in common"):
        evaluator.compute_paired("a", "c", "all")
    with pytest.raises(EvaluationError, match="'d'"):
        evaluator.compute_paired("a", "d", "all")


def test_breakdowns() -> None:
    evaluator = cohort(90, 1)
    report = evaluator.compute_groups()
    whole = evaluator.compute()["cam"].slices["true_positives"]
    own = report.figures["cam"]
    assert set(own) == {"lesion_size", "n_boxes", "side", "sex"}
    for breakdown in ("lesion_size", "n_boxes", "side"):
        levels = own[breakdown].values()
        assert sum(level.n for level in levels) == whole.n
        for name in ("peak_in_box", "area_matched", "mean_iou@0.5"):
            pooled = sum(level.n * level.figures[name].value for level in levels) / whole.n
            assert pooled == pytest.approx(whole.figures[name].value), (breakdown, name)
    sizes = {name: level.n for name, level in own["lesion_size"].items()}
    assert set(sizes) == {"small", "medium", "large"}
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert set(own["n_boxes"]) == {"1", "2", "3+"}
    assert set(own["side"]) == {"film left", "film right", "both"}
    assert sum(level.n for level in own["sex"].values()) < whole.n  # a third has no sex
    low, high = report.size_boundaries
    assert 0.0 < low < high < 1.0
    json.dumps(report.to_dict(), allow_nan=False)


def test_large_lesions_are_in_the_large_third() -> None:
    evaluator = LocalizationEvaluator(0)
    for side in (2, 4, 6):
        add(evaluator, f"{side}", boxes_and_map([0, 0, side, side], [0, 0, 2, 2]))
    add(evaluator, "9", boxes_and_map([0, 0, 9, 9], [0, 0, 2, 2]), half="tuning")
    own = evaluator.compute_groups().figures["cam"]["lesion_size"]
    ious = {name: level.figures["mean_iou@0.5"].value for name, level in own.items()}
    assert ious == {"small": 1.0, "medium": 4 / 16, "large": 4 / 36}
    alike = LocalizationEvaluator(0)
    for name in "abc":
        add(alike, name, boxes_and_map([0, 0, 4, 4], [0, 0, 2, 2]))
    report = alike.compute_groups()
    assert report.size_boundaries == pytest.approx((0.16, 0.16))
    assert {name: own.n for name, own in report.figures["cam"]["lesion_size"].items()} == {
        "small": 3  # up to a boundary, the boundary included
    }


def test_without_test_radiographs_figures_are_undefined() -> None:
    evaluator = LocalizationEvaluator(20)
    heat, annotation, regions = film(0)
    add(evaluator, "a", score_heatmap(heat, annotation, regions), half="tuning")
    report = evaluator.compute()["cam"]
    for own in report.slices.values():
        assert own.n == 0 and own.figures["peak_in_box"].to_dict()["value"] is None
    assert evaluator.compute_groups().figures == {"cam": {}}
    json.dumps([report.to_dict(), evaluator.compute_groups().to_dict()], allow_nan=False)


def test_one_patient_makes_no_interval() -> None:
    evaluator = LocalizationEvaluator(20)
    for name in "ab":
        add(evaluator, name, boxes_and_map([0, 0, 4, 4], [0, 0, 4, 4]), patient="p")
    interval = evaluator.compute()["cam"].slices["all"].figures["peak_in_box"]
    assert interval.value == 1.0 and np.isnan([interval.low, interval.high]).all()


def test_free_response_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    boxes = [np.round(rng.random(n), 1) for n in rng.integers(0, 4, 30)]
    for own in boxes:
        own[rng.random(own.size) < 0.3] = -np.inf
    false = [np.round(rng.random(n), 1) for n in rng.integers(0, 5, 30)]
    found = FreeResponse(boxes, false).figures(np.ones((1, 30)))
    for rate in (0.125, 0.25, 0.5, 1.0, 2.0):
        best = 0.0
        for cut in np.linspace(0, 1, 11).round(1):
            if sum((own >= cut).sum() for own in false) <= rate * 30:
                best = max(best, sum((own >= cut).sum() for own in boxes))
        assert found[f"froc@{rate:g}"][0] == best / sum(own.size for own in boxes)
    curve = [found[f"froc@{rate:g}"][0] for rate in (0.125, 0.25, 0.5, 1.0, 2.0)]
    assert found["froc"][0] == pytest.approx(np.mean(curve)) and curve[0] < curve[-1]


def test_half_of() -> None:
    halves = [half_of(f"patient {number}") for number in range(2000)]
    assert halves == [half_of(f"patient {number}") for number in range(2000)]
    assert 0.46 < halves.count("tuning") / 2000 < 0.54
    # sha256("abc") starts with b, sha256("") would with e, sha256("hello") with 2.
    assert (half_of("abc"), half_of("hello")) == ("test", "tuning")


def test_lungs_evaluator() -> None:
    evaluator = LungsEvaluator(n_resamples=50)
    lungs = np.zeros((10, 10), dtype=bool)
    lungs[:, 2:6] = True
    inside, outside = np.zeros((2, 10, 10))
    inside[5, 3], outside[5, 8] = 1.0, 1.0
    for index, heat in enumerate((inside, inside, outside, 0 * inside)):
        own = score_lungs(heat, lungs)
        evaluator.accumulate("cam", image=f"{index}", patient=f"p{index}", scores=own)
    report = evaluator.compute()["cam"]
    assert (report.n, report.n_patients, report.n_flat, report.n_nan) == (4, 4, 1, 0)
    found = values(report.figures)
    assert found["energy_in_lungs"] == found["peak_in_lungs"] == 0.5
    assert found["lungs_share"] == pytest.approx(0.4) and found["peak_at_border"] == 0.0
    assert report.figures["peak_in_lungs"].low < 0.5 < report.figures["peak_in_lungs"].high
    json.dumps(report.to_dict(), allow_nan=False)
    with pytest.raises(EvaluationError, match="twice"):
        evaluator.accumulate("cam", image="0", patient="p0", scores=score_lungs(inside, lungs))
    with pytest.raises(EvaluationError, match="known lungs"):
        LungsEvaluator().compute()


def test_faults_are_named() -> None:
    evaluator = LocalizationEvaluator()
    scores = boxes_and_map([0, 0, 4, 4], [0, 0, 4, 4])
    for compute in (evaluator.compute, evaluator.compute_groups):
        with pytest.raises(EvaluationError, match="no radiograph"):
            compute()
    add(evaluator, "a", scores)
    with pytest.raises(EvaluationError, match="twice"):
        add(evaluator, "a", scores)
    with pytest.raises(EvaluationError, match="both halves"):
        add(evaluator, "b", scores, patient="a", half="tuning")
    with pytest.raises(EvaluationError, match="two patients"):
        add(evaluator, "a", scores, patient="c", method="other")
    with pytest.raises(EvaluationError, match="not a half"):
        add(evaluator, "d", scores, half="train")
    with pytest.raises(EvaluationError, match="no patient"):
        add(evaluator, "e", scores, patient=" ")
    with pytest.raises(EvaluationError, match="not a slice"):
        evaluator.compute_paired("cam", "cam", "some")  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="'side'"):
        evaluator.accumulate(
            "cam", image="f", patient="f", scores=scores, half="test", positive=True,
            groups={"side": "left"},
        )  # fmt: skip
    assert evaluator.compute()["cam"].slices["all"].n == 1  # nothing refused was kept


def test_every_annotated_radiograph_counts_whatever_it_is_called() -> None:
    evaluator = LocalizationEvaluator(n_resamples=10)
    lesion = LesionAnnotation.from_boxes([[2, 2, 4, 4]], 10, 10)
    hit, miss = np.zeros((10, 10)), np.zeros((10, 10))
    hit[2:6, 2:6] = miss[7:9, 7:9] = 1
    for index, (heat, called) in enumerate([(hit, True), (hit, False), (miss, False)]):
        evaluator.accumulate(
            "m",
            image=str(index),
            patient=str(index),
            scores=score_heatmap(heat, lesion, np.empty((0, 5))),
            half="test",
            positive=called,
        )
    slices = evaluator.compute()["m"].slices
    assert [slices[of].n for of in ("true_positives", "annotated", "all")] == [1, 3, 3]
    peaks = [slices[of].figures["peak_in_box"].value for of in ("true_positives", "annotated")]
    assert peaks == pytest.approx([1, 2 / 3])
    assert slices["all"].figures["peak_in_box"].value == pytest.approx(1 / 3)
    assert slices["annotated"].n_missed == 2
    assert "froc" not in slices["annotated"].figures
    for name in ("max_mean_dice", "mean_dice@0.5", "pointing_game", "hit_rate", "miou"):
        assert slices["annotated"].figures[name].value == pytest.approx(2 / 3), name
        assert slices["all"].figures[name].value == pytest.approx(1 / 3), name
