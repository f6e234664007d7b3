"""What a file of the field says of a radiograph: findings, by whom, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.formats.words import finding_key
from pneumoscope.errors import CohortError

Mask = NDArray[np.bool_]
Grid = tuple[int, int]
"""(height, width) that coordinates are counted on; (1, 1) for fractions of the radiograph."""
ORIGINAL: Grid = (0, 0)
"""The grid of a radiograph before somebody resized it, where the file does not tell its size."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box between pixel edges.

    Attributes:
        x, y, width, height: from the top-left corner of the radiograph, in units of `grid`.
        grid: what the file says of the radiograph's size; None where it says nothing.
    """

    x: float
    y: float
    width: float
    height: float
    grid: Grid | None = None

    def on(
        self, height: int, width: int, original: Grid | None = None
    ) -> tuple[float, float, float, float]:
        """x, y, width, height in pixels of a radiograph.

        Args:
            height: of the radiograph, pixels.
            width: of the radiograph, pixels.
            original: (height, width) it had before it was resized; None if it is as it was.
        """
        grid = original if self.grid == ORIGINAL else self.grid
        down, across = (1.0, 1.0) if grid is None else (height / grid[0], width / grid[1])
        return self.x * across, self.y * down, self.width * across, self.height * down


@dataclass(frozen=True, slots=True)
class Outline:
    """An area, drawn when it is needed.

    Attributes:
        draw: gives the mask, from the radiograph's (height, width) in pixels; on the grid of the
            file itself, which may be another.
    """

    draw: Callable[[int, int], Mask]


Shape = Box | Outline


@dataclass(frozen=True, slots=True)
class Mark:
    """One statement about one radiograph.

    Attributes:
        image: the radiograph as the file names it; folder and suffix may be missing.
        finding: name of what is stated, "" where the file has no names.
        present: whether it is there; None for uncertain.
        reader: who says so, "" if unknown.
        shape: where; None if the statement is of the whole radiograph.
    """

    image: str
    finding: str = ""
    present: bool | None = True
    reader: str = ""
    shape: Shape | None = None


@dataclass(frozen=True)
class FieldFile:
    """A file of the field, read.

    Attributes:
        path: the file or folder.
        format: what it was recognised as, as the subject of a sentence.
        marks: what it says; also of radiographs without a lesion, where it names them.
        positive: findings that count as positive unless somebody chooses; () for all.
        negative: findings that count as negative unless somebody chooses; () where the absence
            of the positive ones is stated.
        facts: further columns of the radiographs it names, such as `patient`.
        by_uid: the radiographs are named by their SOP Instance UID.
        left_out: how many radiographs it names that are of no use, by reason.
        sibling: the file of the same set that holds boxes, where this one does not.
        may_be_empty: radiographs without a lesion are all it may hold.
        labels: the label of each image, of a table that states one for each; None for others.
        truths: its findings are named after a column, whose cells are truth values.
    """

    path: Path
    format: str
    marks: list[Mark]
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    by_uid: bool = False
    left_out: dict[str, int] = field(default_factory=dict)
    sibling: str = ""
    may_be_empty: bool = False
    labels: dict[str, str] | None = None
    truths: bool = False

    def by_image(self) -> dict[str, list[Mark]]:
        """The marks of each image that has any."""
        found: dict[str, list[Mark]] = {}
        for mark in self.marks:
            found.setdefault(mark.image, []).append(mark)
        return found

    def findings(self) -> dict[str, str]:
        """The findings that its marks name, by their keys; see `finding_key`."""
        return {finding_key(mark.finding): mark.finding for mark in self.marks if mark.finding}

    def lacks(self, name: str, option: str) -> CohortError:
        """Make the error that a finding, chosen by an option, is not in the file."""
        listed = ", ".join(sorted(self.findings().values())[:20]) or "none"
        return CohortError(
            f"is {self.format}, which has no finding {name!r}",
            path=self.path,
            remedy=f"choose with {option} among its findings: {listed}",
        )
