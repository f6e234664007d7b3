"""Lesion annotations: boxes and masks mean the same pixels, and nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import LesionAnnotation


def test_a_pixel_belongs_to_a_box_when_its_centre_does() -> None:
    annotation = LesionAnnotation.from_boxes([[1.6, 2.5, 2.0, 1.0]], 6, 8)
    expected = np.zeros((6, 8), dtype=bool)
    expected[2, 2:4] = True  # columns 1.6 to 3.6 hold the centres 2.5 and 3.5, not 1.5
    assert (annotation.mask == expected).all()
    assert annotation.boxes.tolist() == [[1.6, 2.5, 2.0, 1.0]]
    assert (annotation.height, annotation.width, annotation.n_boxes) == (6, 8, 1)
    assert annotation.mask.mean() == 2 / 48


def test_centres_on_an_edge_belong_to_one_of_two_adjacent_boxes() -> None:
    both = LesionAnnotation.from_boxes([[0, 0, 2.5, 4], [2.5, 0, 2.5, 4]], 4, 8)
    parts = [LesionAnnotation.from_boxes([box], 4, 8) for box in both.boxes]
    assert both.mask.sum() == sum(part.mask.sum() for part in parts) == 20


def test_overlapping_boxes_make_one_mask() -> None:
    annotation = LesionAnnotation.from_boxes([[0, 0, 4, 4], [2, 2, 4, 4]], 10, 10)
    assert annotation.mask.sum() == 16 + 16 - 4
    assert annotation.n_boxes == 2


def test_a_box_past_the_film_is_cut_at_its_edge() -> None:
    annotation = LesionAnnotation.from_boxes([[-1, 6, 5, 4.5]], 10, 12)
    assert annotation.boxes.tolist() == [[0, 6, 4, 4]]
    assert annotation.mask[6:, :4].all() and annotation.mask.sum() == 16


def test_a_mask_gives_the_tight_boxes_of_its_parts() -> None:
    mask = np.zeros((200, 100), dtype=bool)
    mask[10:20, 5:15] = True
    mask[20:30, 15:25] = True  # touches the first at a corner
    mask[100:150, 60:90] = True
    mask[190, 50] = True  # a slip of the pen: 1 of 20,000 pixels
    annotation = LesionAnnotation.from_mask(mask)
    assert annotation.boxes.tolist() == [[5, 10, 20, 20], [60, 100, 30, 50]]
    assert annotation.mask[190, 50]
    again = LesionAnnotation.from_boxes(annotation.boxes, 200, 100)
    assert again.mask.sum() == 20 * 20 + 30 * 50


def test_a_lesion_of_one_pixel_has_a_box_if_there_is_no_larger() -> None:
    mask = np.zeros((400, 400), dtype=bool)
    mask[7, 9] = True
    assert LesionAnnotation.from_mask(mask).boxes.tolist() == [[9, 7, 1, 1]]


@pytest.mark.parametrize(
    ("boxes", "side"),
    [
        ([[1, 1, 3, 3]], "film left"),
        ([[6, 1, 3, 3]], "film right"),
        ([[1, 1, 3, 3], [6, 1, 3, 3]], "both"),
        ([[0, 0, 5, 8], [6, 1, 1, 1]], "film left"),  # 1 of 41 pixels is no second side
        ([[5, 0, 1, 8]], "both"),  # the middle column of 11
    ],
)
def test_side(boxes: list[list[float]], side: str) -> None:
    width = 11 if boxes[0][0] == 5 else 10
    assert LesionAnnotation.from_boxes(boxes, 10, width).side == side


@pytest.mark.parametrize(
    ("boxes", "problem"),
    [
        ([], "shape"),
        ([1, 2, 3, 4], "shape"),
        ([[1, 2, 3]], "shape"),
        ([[1, 2, 0, 4]], "zero or negative"),
        ([[5, 5, -2, 4]], "zero or negative"),
        ([[1, np.nan, 3, 4]], "missing"),
        ([[80, 10, 30, 30]], "beside the radiograph of 10 x 10"),
        ([[6, 0, 9, 9]], "beside the radiograph"),
        ([[2.6, 2.6, 0.5, 0.5]], "centre of no pixel"),
    ],
)
def test_boxes_that_are_none_are_refused(boxes: list[list[float]], problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        LesionAnnotation.from_boxes(boxes, 10, 10)


@pytest.mark.parametrize("mask", [np.zeros((4, 4), bool), np.ones(4, bool)])
def test_masks_without_lesion_are_refused(mask: np.ndarray) -> None:
    with pytest.raises(EvaluationError, match="no lesion"):
        LesionAnnotation.from_mask(mask)
