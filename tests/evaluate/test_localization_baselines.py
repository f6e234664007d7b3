"""Baseline maps: reproducible, on any grid, and as good as chance says they are."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    LesionAnnotation,
    UsualLocation,
    centre_map,
    random_map,
    score_heatmap,
)


def test_random_maps_follow_the_name() -> None:
    first, again, other = (random_map(30, 40, name) for name in ("a", "a", "b"))
    assert (first == again).all() and (first != other).any()
    assert first.shape == (30, 40) and first.dtype == np.float32
    assert first.min() >= 0.0 and first.max() <= 1.0


def test_random_maps_score_as_chance_does() -> None:
    annotation = LesionAnnotation.from_boxes([[10, 10, 30, 20]], 60, 50)  # a fifth of the film
    scores = [score_heatmap(random_map(60, 50, f"{n}"), annotation, []) for n in range(300)]
    assert np.mean([own.peak_in_box for own in scores]) == pytest.approx(0.2, abs=0.06)
    assert np.mean([own.area_matched for own in scores]) == pytest.approx(0.2, abs=0.005)
    # Half of the lesion is hot, of a union of half the film and the other half of the lesion.
    half = [own.iou[9] for own in scores]
    assert np.mean(half) == pytest.approx(0.1 / 0.6, abs=0.005)


def test_the_centre_map_is_a_gaussian_of_a_quarter_of_each_side() -> None:
    heat = centre_map(101, 201)
    assert heat.dtype == np.float32 and heat[50, 100] == heat.max() == 1.0
    assert (heat == heat[::-1, ::-1]).all()
    # One standard deviation off: 25.25 rows, 50.25 columns.
    assert heat[75, 100] == pytest.approx(np.exp(-0.5 * (25 / 25.25) ** 2), abs=1e-6)
    assert heat[50, 150] == pytest.approx(np.exp(-0.5 * (50 / 50.25) ** 2), abs=1e-6)


def test_the_usual_location_is_the_mean_mask() -> None:
    usual = UsualLocation(size=4)
    left = np.zeros((8, 8), dtype=bool)
    left[0:2, 0:2] = True
    usual.accumulate(left)
    usual.accumulate(left | np.roll(left, 4, axis=1))
    assert usual.n == 2
    heat = usual.map(4, 4)
    expected = np.zeros((4, 4), dtype=np.float32)
    expected[0, 0], expected[0, 2] = 1.0, 0.5
    assert (heat == expected).all() and heat.dtype == np.float32


def test_the_usual_location_is_interpolated_between_centres_of_cells() -> None:
    usual = UsualLocation(size=2)
    usual.accumulate(np.array([[1, 0], [1, 0]]))
    assert usual.map(1, 4).tolist() == [[1.0, 0.75, 0.25, 0.0]]


def test_masks_of_any_shape_land_on_the_same_place() -> None:
    films = [(100, 100), (333, 517), (64, 200), (7, 11)]
    for height, width in films:
        mask = np.zeros((height, width), dtype=bool)
        mask[: -(-height // 2), : -(-width // 2)] = True
        usual = UsualLocation()
        usual.accumulate(mask)
        for shape in films:
            heat = usual.map(*shape)
            assert heat.shape == shape and heat.max() == 1.0 and heat.min() >= 0.0
            assert (heat >= 0.5).mean() == pytest.approx(mask.mean(), abs=0.2 / min(shape) ** 0.5)
            assert heat[0, 0] == 1.0 and heat[-1, -1] == 0.0


def test_the_area_of_a_mask_is_kept() -> None:
    rng = np.random.default_rng(0)
    for shape in ((300, 170), (50, 90)):
        mask = rng.random(shape) < 0.3
        usual = UsualLocation(size=32)
        usual.accumulate(mask)
        assert usual._sum.mean() == pytest.approx(mask.mean(), abs=1e-12)


def test_faults_are_named() -> None:
    usual = UsualLocation()
    with pytest.raises(EvaluationError, match="usual location"):
        usual.map(10, 10)
    with pytest.raises(EvaluationError, match="no lesion"):
        usual.accumulate(np.zeros((4, 4)))
