"""Lookup tables of DICOM: modality, VOI and palette."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.imaging.elements import MalformedElement, content, words
from pneumoscope.imaging.layout import Layout, either_sign

PALETTE_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True, slots=True)
class Table:
    """A lookup table.

    Args:
        entries: float64 (n,).
        first: the value that maps to the first entry.
        full_scale: the largest value that its depth allows.
    """

    entries: NDArray[np.float64]
    first: int
    full_scale: float

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Entries for values; those before the first or after the last get the first or last."""
        places = np.clip(np.rint(values) - self.first, 0, self.entries.size - 1)
        found: NDArray[np.float64] = self.entries[places.astype(np.intp)]
        return found


def read_table(
    item: Any,
    lowest: float,
    highest: float,
    *,
    descriptor: str = "LUTDescriptor",
    data: str = "LUTData",
) -> Table:
    """The table of a LUT item (PS3.3 C.11.1.1), or of one colour of a palette (C.7.6.3.1.5).

    The descriptor is three 16-bit words, whether the writer calls them US or SS. The first value
    that is mapped is one that the pixels can have: from `lowest` to `highest`.

    Raises:
        MalformedElement: there is no such table, or fewer entries than its descriptor says.
    """
    described = words(item, descriptor)
    if len(described) != 3:
        raise MalformedElement(descriptor)
    count, first, depth = described[0] or 2**16, described[1], described[2]
    stored, order = content(item, data)
    if len(stored) >= 2 * count:
        entries = np.frombuffer(stored, f"{order}u2", count)
    else:  # two entries in a word
        entries = np.frombuffer(stored[: len(stored) // 2 * 2], f"{order}u2").astype("<u2")
        entries = entries.view("u1")[:count]
    if entries.size < count:
        raise MalformedElement(data)
    values = entries.astype(np.float64)
    # Some writers declare fewer bits than they use; the table's own maximum is then full scale.
    # A depth outside 8 to 16 is taken as the nearest, as dcmtk does.
    full_scale = max(2.0 ** min(max(depth, 8), 16) - 1, float(values.max()))
    return Table(values, either_sign(first, round(lowest), round(highest)), full_scale)


def palette_colours(dataset: Any, layout: Layout) -> NDArray[np.uint16]:
    """The colours of a palette picture's values, from the lowest to the highest: (n, 3), 16 bits.

    Raises:
        MalformedElement: the palette is missing or damaged.
    """
    values = np.arange(layout.lowest, layout.highest + 1, dtype=np.float64)
    colours = np.empty((values.size, 3), np.uint16)
    for place, colour in enumerate(PALETTE_COLOURS):
        name = f"{colour}PaletteColorLookupTable"
        table = read_table(
            dataset,
            layout.lowest,
            layout.highest,
            descriptor=f"{name}Descriptor",
            data=f"{name}Data",
        )
        colours[:, place] = np.rint(table(values) / table.full_scale * 65535)
    return colours
