"""The lesions of a file of the field, found by radiograph and put on its pixel grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.formats.choice import MAJORITY, Choice, Rule, narrowed
from pneumoscope.cohort.formats.marks import ORIGINAL, Box, FieldFile, Grid, Mark, Mask, Shape
from pneumoscope.cohort.formats.names import matched
from pneumoscope.errors import CohortError

# A radiograph and the grid of its annotation may differ so much in shape, by rounding.
_ASPECT = 0.05

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What was drawn on one radiograph.

    Attributes:
        path: the file that says so.
        image: the radiograph as that file names it.
        shapes: by reader; readers who drew nothing have none.
        majority: whether a pixel needs more than half of the readers; else one is enough.
    """

    path: Path
    image: str
    shapes: Mapping[str, tuple[Shape, ...]]
    majority: bool

    def on(self, height: int, width: int, original: Grid | None = None) -> Boxes | Mask | None:
        """Put the lesions on a radiograph's grid.

        Args:
            height: of the radiograph, pixels.
            width: of the radiograph, pixels.
            original: (height, width) it had before it was resized; None if it is as it was.

        Returns:
            Boxes (k, 4) of x, y, width, height in pixels where one reader drew boxes alone; else a
            mask (height, width), in which boxes of several readers that meet are one lesion; None
            without a lesion.

        Raises:
            CohortError: the radiograph has another shape than the one that was drawn on, or a box
                was not counted on its pixels.
        """
        drawn = [shapes for shapes in self.shapes.values() if shapes]
        if not drawn:
            return None
        boxes = [shape for shapes in drawn for shape in shapes if isinstance(shape, Box)]
        for box in boxes:
            self._check(box.grid, height, width, original)
        alone = len(self.shapes) == 1 and len(boxes) == len(drawn[0])
        for box in boxes:
            # Boxes alone are checked by who measures with them; a mask would hide what is amiss.
            if not alone or box.grid == ORIGINAL:
                self._check_place(box, height, width, original)
        if alone:
            return np.array([box.on(height, width, original) for box in boxes], dtype=np.float64)
        masks = [self._mask(shapes, height, width, original) for shapes in drawn]
        votes = np.sum(masks, axis=0, dtype=np.int64)
        least = len(self.shapes) // 2 + 1 if self.majority else 1
        mask: Mask = np.asarray(votes >= least, dtype=np.bool_)
        return mask if mask.any() else None

    def _mask(
        self, shapes: Sequence[Shape], height: int, width: int, original: Grid | None
    ) -> Mask:
        mask = np.zeros((height, width), dtype=np.bool_)
        for shape in shapes:
            if isinstance(shape, Box):
                x, y, across, down = shape.on(height, width, original)
                # A pixel belongs to a box when its centre does.
                left, top, right, bottom = (
                    max(int(np.ceil(edge - 0.5)), 0) for edge in (x, y, x + across, y + down)
                )
                mask[top:bottom, left:right] = True
            else:
                own = shape.draw(height, width)
                self._check((own.shape[0], own.shape[1]), height, width, original)
                mask |= _resized(own, height, width)
        return mask

    def _check(self, grid: Grid | None, height: int, width: int, original: Grid | None) -> None:
        if grid is None or min(grid) < 2 or grid == (height, width):
            return
        film = original or (height, width)
        if abs(np.log(grid[1] * film[0] / (grid[0] * film[1]))) > _ASPECT:
            raise CohortError(
                f"{self.image} was drawn on {grid[1]} x {grid[0]} pixels, the radiograph has "
                f"{film[1]} x {film[0]}: another shape",
                path=self.path,
                remedy="give radiographs that are not cropped; if they were squashed, state their "
                "original sizes with scan --sizes",
            )

    def _check_place(self, box: Box, height: int, width: int, original: Grid | None) -> None:
        """Refuse a box that lies beside the radiograph, or between the centres of its pixels."""
        x, y, across, down = box.on(height, width, original)
        inside = _overlap(x, across, width) * _overlap(y, down, height)
        if inside >= 0.5 * across * down and _centres(x, across) and _centres(y, down):
            return
        raise CohortError(
            f"the box {across:g} x {down:g} at ({x:g}, {y:g}) of {self.image} is not counted on "
            f"its {width} x {height} pixels",
            path=self.path,
            remedy="boxes of this format are counted on the original radiograph: if yours was "
            "resized, state its original size with scan --sizes"
            if box.grid == ORIGINAL and original is None
            else "give boxes in pixels of the radiograph itself, not of a resized copy, and no "
            "fractions",
        )


@dataclass(frozen=True, slots=True)
class Drawings:
    """The lesions of all radiographs that a file names.

    Attributes:
        file: the file of the field.
        by_name: by the file's names; also of radiographs without a lesion.
        taken: how many boxes and outlines there are by finding.
        left_out: how many of other findings, likewise.
    """

    file: FieldFile
    by_name: Mapping[str, Drawing]
    taken: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, file: FieldFile, choice: Choice) -> Drawings:
        """Choose the lesions of a file.

        Raises:
            CohortError: it holds no box or outline, or it is not clear which findings count.
        """
        if all(mark.shape is None for mark in file.marks) and not file.may_be_empty:
            raise CohortError(
                f"is {file.format}, which holds no boxes or outlines",
                path=file.path,
                remedy="give the file that holds them"
                + (f", {file.sibling}" if file.sibling else ""),
            )
        rule = narrowed(choice.of(file), file)
        marks: dict[str, list[Mark]] = {}
        for mark in rule.heard(file.marks):
            marks.setdefault(mark.image, []).append(mark)
        drawn = [mark for own in marks.values() for mark in own if mark.shape is not None]
        return cls(
            file,
            {image: _drawing(file.path, image, own, rule) for image, own in marks.items()},
            dict(Counter(mark.finding for mark in drawn if rule.wants(mark))),
            dict(Counter(mark.finding for mark in drawn if not rule.wants(mark))),
        )

    def match(
        self, images: Sequence[str], alias: Callable[[str], str] | None = None
    ) -> dict[str, Drawing]:
        """Find the drawing of each radiograph of a cohort.

        Args:
            images: their paths in the cohort.
            alias: another name of a radiograph (its SOP Instance UID), "" where it has none.

        Raises:
            CohortError: none of them is named, or a name may mean two of them.
        """
        found = matched(images, self.by_name, self.file.path, alias)
        if not found:
            first, other = next(iter(self.by_name), "nothing"), next(iter(images), "nothing")
            raise CohortError(
                f"is {self.file.format} and names none of these radiographs: it has {first}, the "
                f"cohort has {other}",
                path=self.file.path,
                remedy="give annotations of these radiographs; names may lack folder and suffix, "
                "but not differ",
            )
        return {image: self.by_name[name] for image, name in found.items()}

    def summary(self) -> str:
        """Say what was recognised and what counts."""
        lesions = ", ".join(f"{count:,} {name}".strip() for name, count in self.taken.items())
        text = (
            f"{self.file.format}: {len(self.by_name):,} radiographs; lesions: {lesions or 'none'}"
        )
        if self.left_out:
            others = ", ".join(f"{count:,} {name}" for name, count in self.left_out.items())
            text += f"; left out: {others}"
        return text


def _drawing(path: Path, image: str, marks: Sequence[Mark], rule: Rule) -> Drawing:
    shapes: dict[str, list[Shape]] = {mark.reader: [] for mark in marks}
    for mark in marks:
        if mark.shape is not None and rule.wants(mark):
            shapes[mark.reader].append(mark.shape)
    by_reader = {reader: tuple(own) for reader, own in shapes.items()}
    return Drawing(path, image, by_reader, rule.readers == MAJORITY)


def _overlap(start: float, length: float, side: int) -> float:
    """How much of an interval lies between 0 and `side`."""
    return max(min(start + length, side) - max(start, 0.0), 0.0)


def _centres(start: float, length: float) -> bool:
    """Whether an interval holds the centre of a pixel."""
    return bool(np.ceil(start - 0.5) < np.ceil(start + length - 0.5))


def _resized(mask: Mask, height: int, width: int) -> Mask:
    """The mask on another grid, each pixel as the nearest one."""
    if mask.shape == (height, width):
        return mask
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return np.asarray(mask[np.ix_(rows, columns)], dtype=np.bool_)
