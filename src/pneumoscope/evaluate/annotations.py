"""Lesion annotations: the boxes or the mask somebody drew, on the radiograph's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pneumoscope.errors import EvaluationError

Side = Literal["film left", "film right", "both"]

# Smaller parts of a mask are slips of the pen, not lesions: 26 pixels of a 512 x 512 radiograph.
_SPECK = 1e-4
# A lesion reaches into a half of the radiograph if at least this part of it lies there.
_REACH = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class LesionAnnotation:
    """The lesions of one radiograph; never used in training, only to measure.

    Made by `from_boxes` or `from_mask`, which check what they are given.

    Attributes:
        mask: (height, width), true in any lesion. A pixel belongs to a box when its centre does.
        boxes: (k, 4) of x, y, width, height in the radiograph's pixels, k > 0: one for each lesion.
    """

    mask: NDArray[np.bool_]
    boxes: NDArray[np.float64]

    @classmethod
    def from_boxes(
        cls, boxes: ArrayLike | Sequence[Sequence[float]], height: int, width: int
    ) -> LesionAnnotation:
        """From lines of a box file.

        A box that reaches past the radiograph, as rounding makes it, is cut at the radiograph's
        edge.

        Args:
            boxes: (k, 4) of x, y, width, height in pixels of this radiograph, k > 0.
            height: of the radiograph, pixels.
            width: of the radiograph, pixels.

        Raises:
            EvaluationError: not (k, 4), not finite, a box without area or too small to hold the
                centre of a pixel, or a box that lies for the most part beside the radiograph, which
                means that it was measured on another grid.
        """
        table = np.asarray(boxes, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != 4 or not table.size:
            raise EvaluationError(
                f"lesion boxes have shape {table.shape} instead of (boxes, 4)",
                remedy="give x, y, width, height for each lesion, and no annotation for no lesion",
            )
        if not np.isfinite(table).all() or (table[:, 2:] <= 0.0).any():
            raise EvaluationError(
                "a lesion box has a side that is missing, zero or negative",
                remedy="give x, y, width, height, not the coordinates of two corners",
            )
        low = np.clip(table[:, :2], 0.0, (width, height))
        high = np.clip(table[:, :2] + table[:, 2:], 0.0, (width, height))
        beside = np.prod(high - low, axis=1) < 0.5 * np.prod(table[:, 2:], axis=1)
        if beside.any():
            x, y, across, down = table[np.flatnonzero(beside)[0]]
            raise EvaluationError(
                f"the lesion box {across:g} x {down:g} at ({x:g}, {y:g}) lies for the most part "
                f"beside the radiograph of {width} x {height} pixels",
                remedy="give boxes in pixels of the radiograph itself, not of a resized copy",
            )
        mask = np.zeros((height, width), dtype=np.bool_)
        # The centre of pixel j is j + 1/2.
        first, last = np.ceil(low - 0.5).astype(int), np.ceil(high - 0.5).astype(int)
        for (left, top), (right, bottom) in zip(first, last, strict=True):
            mask[top:bottom, left:right] = True
        if (first >= last).any():
            raise EvaluationError(
                "a lesion box is so small that it holds the centre of no pixel",
                remedy="give boxes in pixels, not as fractions of the radiograph",
            )
        return cls(mask=mask, boxes=np.hstack([low, high - low]))

    @classmethod
    def from_mask(cls, mask: ArrayLike) -> LesionAnnotation:
        """From a drawing: the boxes are those of its parts that touch at a side or a corner.

        Parts smaller than a ten-thousandth of the radiograph have no box of their own, unless there
        is none larger; their pixels stay in the mask.

        Args:
            mask: (height, width), true in a lesion.

        Raises:
            EvaluationError: not two-dimensional, or no pixel is true.
        """
        lesion = np.asarray(mask, dtype=np.bool_)
        if lesion.ndim != 2 or not lesion.any():
            raise EvaluationError(
                f"a lesion mask of shape {lesion.shape} holds no lesion",
                remedy="give (height, width) with some pixel true, no annotation for no lesion",
            )
        numbers, _ = ndimage.label(lesion, structure=np.ones((3, 3), dtype=np.int8))
        areas = np.bincount(numbers.ravel())[1:]
        smallest = min(_SPECK * lesion.size, int(areas.max()))
        boxes = [
            (x.start, y.start, x.stop - x.start, y.stop - y.start)
            for area, (y, x) in zip(areas, ndimage.find_objects(numbers), strict=True)
            if area >= smallest
        ]
        return cls(mask=lesion, boxes=np.array(boxes, dtype=np.float64))

    @property
    def height(self) -> int:
        """Of the radiograph, pixels."""
        return int(self.mask.shape[0])

    @property
    def width(self) -> int:
        """Of the radiograph, pixels."""
        return int(self.mask.shape[1])

    @property
    def n_boxes(self) -> int:
        """How many lesions."""
        return len(self.boxes)

    @property
    def side(self) -> Side:
        """Which half of the radiograph the lesions lie in; the patient's right is on its left.

        `both` if each half holds at least a tenth of the lesions' area. A middle column of pixels
        counts half to each.
        """
        middle = (np.arange(self.width) + 0.5) / self.width
        part = np.where(middle < 0.5, 1.0, np.where(middle > 0.5, 0.0, 0.5))
        left = float(self.mask.sum(axis=0) @ part) / float(self.mask.sum())
        if left > 1.0 - _REACH:
            return "film left"
        return "film right" if left < _REACH else "both"
