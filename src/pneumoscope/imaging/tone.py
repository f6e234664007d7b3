"""From stored DICOM values to gray: modality transform, window, polarity, padding.

Every step maps one stored value to one gray value, so the whole chain is computed once for each
value that a radiograph can have between its minimum and maximum, and then looked up for each pixel.

Own code where pydicom has `apply_modality_lut` and `apply_voi_lut`: their table index wraps around
for 8-bit tables of more than 256 entries and for signed pixels of full range, and a window after a
negative rescale slope comes out upside down. Where pydicom is right, the tests compare with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.imaging.elements import MalformedElement, code, items, number
from pneumoscope.imaging.layout import Layout
from pneumoscope.imaging.tables import read_table

Floats = NDArray[np.float64]

BLOWN_OUT = "The window of the file leaves the radiograph black or white and was ignored."
"""Note of a radiograph whose window was not used."""
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
"""VOI LUT functions that a window may have."""

_PERCENTILES = (0.5, 99.5)
_MOST_CLIPPED = 0.95
_CHUNK = 2**22
# Values between minimum and maximum; more of them are sorted instead of counted.
_MOST_LEVELS = 2**20


@dataclass(frozen=True, slots=True)
class Tone:
    """The chain from stored values to gray, level by level.

    Attributes:
        index: (height, width), for each pixel the place of its level in the tables.
        counts: pixels of each level; 0 for padding.
        values: of each level after the modality transform.
        gray: of each level, 0 to 1, bright = dense; 0 for padding.
        padded: whether a level marks pixels outside the exposed field.
        inverted: whether the lowest value is white.
    """

    index: NDArray[np.integer]
    counts: NDArray[np.int64]
    values: Floats
    gray: Floats
    padded: NDArray[np.bool_]
    inverted: bool


def to_gray(
    stored: NDArray[np.integer], layout: Layout, dataset: Any
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Gray radiograph from stored values, bright = dense, and what of the header was ignored.

    Args, errors and rules: as `tone_of`.

    Returns:
        float32 (height, width) in [0, 1]; sentences for `Radiograph.notes`.
    """
    tone, notes = tone_of(stored, layout, dataset)
    return tone.gray.astype(np.float32)[tone.index], notes


def tone_of(
    stored: NDArray[np.integer], layout: Layout, dataset: Any
) -> tuple[Tone, tuple[str, ...]]:
    """How stored values become gray, and what of the header was ignored.

    Steps (DICOM PS3.3 C.11.1, C.11.2, C.7.6.3.1.2): modality LUT or rescale; VOI LUT, else window
    (LINEAR, LINEAR_EXACT, SIGMOID; the first of several); MONOCHROME1 or a presentation LUT shape
    INVERSE inverted; padding black.

    A radiograph without a usable window is shown over its full stored range when it has 8 bits and
    no modality transform (it was rendered before, and this is how viewers and exporters show it),
    otherwise between its 0.5th and 99.5th percentile without padding. A window that leaves more
    than 95 % of the radiograph fully black or white belongs to other data and counts as absent.

    Args:
        stored: integers (height, width), as `Layout.values` gives them.
        layout: how they were stored.
        dataset: the pydicom dataset they came from.

    Returns:
        The tables; sentences for `Radiograph.notes`.

    Raises:
        MalformedElement: a modality transform is there and cannot be read.
    """
    notes: list[str] = []
    levels, index, counts = _levels(stored)
    padded = _padding(levels, layout, dataset, notes)
    if not counts[~padded].any():
        padded[:] = False
    counts[padded] = 0

    values, bounds, is_identity = _modality(levels, layout, dataset, notes)
    gray = _declared_window(values, bounds, dataset, notes)
    if gray is not None and _is_blown_out(gray, counts):
        gray = None
        notes.append(BLOWN_OUT)
    if gray is None:
        if layout.stored <= 8 and is_identity and not layout.signed:
            gray = _stretch(values, 0, layout.highest)
        else:
            gray = _stretch(values, *_percentiles(values, counts))
    inverted = _is_inverted(layout, dataset, notes)
    if inverted:
        gray = 1 - gray
    gray[padded] = 0
    return Tone(index, counts, values, gray, padded, inverted), tuple(notes)


def _levels(
    stored: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.integer], NDArray[np.int64]]:
    """Values in order, for each pixel the place of its value, and how many pixels have each."""
    low, high = int(stored.min()), int(stored.max())
    if high - low >= _MOST_LEVELS:
        found, places, counts = np.unique(stored, return_inverse=True, return_counts=True)
        return found.astype(np.int64), places.reshape(stored.shape), counts.astype(np.int64)
    index = stored.astype(np.int32) - low if stored.dtype.kind == "i" else stored - stored.min()
    return np.arange(low, high + 1), index, _count(index, high - low + 1)


def _count(index: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    """How many pixels have each level; in chunks, because bincount widens its input to int64."""
    flat = index.ravel()
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, flat.size, _CHUNK):
        counts += np.bincount(flat[start : start + _CHUNK], minlength=size)
    return counts


def _padding(
    levels: NDArray[np.int64], layout: Layout, dataset: Any, notes: list[str]
) -> NDArray[np.bool_]:
    """Levels that mark pixels outside the exposed field (PS3.3 C.7.5.1.1.2)."""
    try:
        value = number(dataset, "PixelPaddingValue")
        limit = number(dataset, "PixelPaddingRangeLimit")
    except MalformedElement as error:
        notes.append(_ignored(error))
        value = None
    if value is None:
        return np.zeros(levels.size, dtype=bool)
    ends = (value, value if limit is None else limit)
    low, high = sorted(layout.as_stored(round(end)) for end in ends)
    return (levels >= low) & (levels <= high)


def _modality(
    levels: NDArray[np.int64], layout: Layout, dataset: Any, notes: list[str]
) -> tuple[Floats, tuple[float, float], bool]:
    """Values after the modality transform, the range they can have, whether it changed nothing.

    A transform that cannot be read is refused: without it, the values have no meaning.
    """
    lowest, highest = float(layout.lowest), float(layout.highest)
    sequence = items(dataset, "ModalityLUTSequence")
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if sequence:
        if (slope, intercept) not in ((None, None), (1.0, 0.0)):
            notes.append("The file has a modality LUT and a rescale; the rescale was ignored.")
        table = read_table(sequence[0], lowest, highest)
        return table(levels.astype(np.float64)), (0.0, 65535.0), False
    if not slope or intercept is None:  # The standard and dcmtk take both or none.
        if (slope, intercept) != (None, None):
            notes.append("The rescale of the file is invalid or incomplete and was ignored.")
        slope, intercept = 1.0, 0.0
    low, high = sorted(end * slope + intercept for end in (lowest, highest))
    is_identity = (slope, intercept) == (1.0, 0.0)
    return levels.astype(np.float64) * slope + intercept, (low, high), is_identity


def _declared_window(
    values: Floats, bounds: tuple[float, float], dataset: Any, notes: list[str]
) -> Floats | None:
    """Gray in [0, 1] by the file's own VOI LUT or window; None when it has none that is valid."""
    try:
        sequence = items(dataset, "VOILUTSequence")
        if sequence:
            table = read_table(sequence[0], *bounds)
            return table(values) / table.full_scale
    except MalformedElement:
        notes.append("The VOI LUT of the file is malformed and was ignored.")
    try:
        centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    except MalformedElement as error:
        notes.append(_ignored(error))
        return None
    if centre is None and width is None:
        return None
    function = code(dataset, "VOILUTFunction") or "LINEAR"
    if function not in FUNCTIONS:
        notes.append("The VOI LUT function of the file is unknown and was taken as LINEAR.")
        function = "LINEAR"
    gray = None if centre is None or width is None else window(values, centre, width, function)
    if gray is None:
        notes.append("The window of the file is invalid and was ignored.")
    return gray


def _is_inverted(layout: Layout, dataset: Any, notes: list[str]) -> bool:
    """Whether the lowest value is white: by the photometric interpretation or the LUT's shape."""
    if "PresentationLUTSequence" in dataset:
        notes.append("The file holds a presentation LUT, which was ignored.")
    shape = code(dataset, "PresentationLUTShape")
    if shape not in (None, "IDENTITY", "INVERSE"):
        notes.append("The presentation LUT shape of the file is unknown and was ignored.")
    if layout.photometric != "MONOCHROME1":
        return shape == "INVERSE"
    if shape == "IDENTITY":
        notes.append(
            "MONOCHROME1 and the presentation LUT shape IDENTITY contradict each other; "
            "the radiograph was inverted, as MONOCHROME1 says."
        )
    return True


def _ignored(error: MalformedElement) -> str:
    return f"{error.keyword} is malformed and was ignored."


def window(values: Floats, centre: float, width: float, function: str) -> Floats | None:
    """DICOM window to [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3); None when it is not valid.

    Args:
        values: values after the modality transform.
        centre: window centre, in the same units.
        width: window width; at least 1 for LINEAR, above 0 for the others.
        function: "LINEAR", "LINEAR_EXACT" or "SIGMOID".
    """
    if width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - centre) / width, -700, 700)
        return 1 / (1 + np.exp(exponent))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if function == "LINEAR":
        if width == 1:
            return np.where(values > centre - 0.5, 1.0, 0.0)
        return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    return None


def _is_blown_out(gray: Floats, counts: NDArray[np.int64]) -> bool:
    clipped = counts[(gray <= 0) | (gray >= 1)].sum()
    return bool(clipped > _MOST_CLIPPED * counts.sum())


def _percentiles(values: Floats, counts: NDArray[np.int64]) -> tuple[float, float]:
    """Values below which `_PERCENTILES` of the counted pixels lie."""
    order = np.argsort(values, kind="stable")
    running = np.cumsum(counts[order])
    places = np.searchsorted(running, running[-1] * np.asarray(_PERCENTILES) / 100)
    low, high = values[order][places]
    return float(low), float(high)


def _stretch(values: Floats, low: float, high: float) -> Floats:
    """Linear from `low` = 0 to `high` = 1; a radiograph without contrast becomes black."""
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1)
