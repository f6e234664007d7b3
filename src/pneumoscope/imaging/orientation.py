"""How a radiograph's stored pixels lie in the patient, by its tags; how it is made upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Pixel = TypeVar("_Pixel", bound=np.generic)
_ACROSS, _DOWN = "RL", "HF"


@dataclass(frozen=True, slots=True)
class Orientation:
    """The steps from stored pixels to the usual hanging: head up, the patient's right on the left.

    Args:
        transposed: rows and columns change places first (the patient lies on the picture).
        upside_down: then the order of the rows is reversed.
        mirrored: then the order of the columns is reversed.
        stated: whether the file says so; without its word the usual hanging is assumed.
    """

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False
    stated: bool = False

    @classmethod
    def of(cls, directions: Sequence[str] | None) -> Orientation:
        """From DICOM's PatientOrientation, such as `("L", "F")`.

        Args:
            directions: where the rows and where the columns run to in the patient. Of a value such
                as "LF" the first letter, the main direction, counts.

        Returns:
            The usual hanging, not stated, if the directions are missing or not those of a frontal
            radiograph.
        """
        main = [str(value).strip().upper()[:1] for value in directions or ()]
        if len(main) != 2 or not all(main):
            return cls()
        row, column = main
        if row in _ACROSS and column in _DOWN:
            return cls(False, column == "H", row == "R", stated=True)
        if row in _DOWN and column in _ACROSS:
            return cls(True, row == "H", column == "R", stated=True)
        return cls()

    @property
    def usual(self) -> bool:
        """Whether the stored pixels are the upright picture."""
        return not (self.transposed or self.upside_down or self.mirrored)

    @property
    def note(self) -> str | None:
        """A sentence for `Radiograph.notes`; None for the usual hanging."""
        if self.usual:
            return None
        if self.transposed or self.upside_down:
            return (
                "PatientOrientation says that the radiograph is stored turned. It was read upright."
            )
        return (
            "PatientOrientation says that the radiograph is stored mirrored: the patient's left is "
            "on its left."
        )

    def upright(self, stored: NDArray[_Pixel]) -> NDArray[_Pixel]:
        """A picture (rows, columns) on the stored grid, hung the usual way."""
        if self.usual:
            return stored
        picture = stored.T if self.transposed else stored
        return np.ascontiguousarray(self._reversed(picture))

    def stored(self, upright: NDArray[_Pixel]) -> NDArray[_Pixel]:
        """A picture (rows, columns) hung the usual way, on the stored grid; undoes `upright`."""
        if self.usual:
            return upright
        picture = self._reversed(upright)
        return np.ascontiguousarray(picture.T if self.transposed else picture)

    def stored_box(
        self, box: tuple[int, int, int, int], shape: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """A box of the upright picture on the stored grid.

        Args:
            box: `x, y, width, height` in pixels, between pixel edges.
            shape: rows and columns of the upright picture.
        """
        x, y, width, height = box
        if self.mirrored:
            x = shape[1] - x - width
        if self.upside_down:
            y = shape[0] - y - height
        return (y, x, height, width) if self.transposed else (x, y, width, height)

    def _reversed(self, picture: NDArray[_Pixel]) -> NDArray[_Pixel]:
        rows = slice(None, None, -1 if self.upside_down else 1)
        columns = slice(None, None, -1 if self.mirrored else 1)
        return picture[rows, columns]


USUAL = Orientation()
"""The usual hanging, where no tag tells."""


def is_lateral(directions: Sequence[str] | None) -> bool:
    """Whether a row runs to the front or the back of the patient, as on a lateral radiograph."""
    return (
        directions is not None
        and len(directions) > 0
        and str(directions[0]).strip().upper()[:1] in ("A", "P")
    )
