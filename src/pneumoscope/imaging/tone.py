"""From stored DICOM values to gray: modality transform, window, polarity, padding.

Every step maps one stored value to one gray value, so the whole chain is computed once for each
value between the film's minimum and maximum (at most 65,536) and then looked up for each pixel.

Own code where pydicom has `apply_modality_lut` and `apply_voi_lut`: their table index wraps around
for 8-bit tables of more than 256 entries and for signed pixels of full range, and a window after a
negative rescale slope comes out upside down. Where pydicom is right, the tests compare with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PERCENTILES = (0.5, 99.5)
_MOST_CLIPPED = 0.95
_CHUNK = 2**22


def to_gray(stored: NDArray[np.integer], dataset: Any) -> NDArray[np.float32]:
    """Gray film from stored values, bright = dense.

    Steps (DICOM PS3.3 C.11.1, C.11.2, C.7.6.3.1.2): modality LUT or rescale; VOI LUT, else window
    (LINEAR, LINEAR_EXACT, SIGMOID; the first of several); MONOCHROME1 inverted; padding black.

    A film without a usable window is shown over its full stored range when it has 8 bits and no
    modality transform (it was rendered before, and this is how viewers and exporters show it),
    otherwise between its 0.5th and 99.5th percentile without padding. A window that leaves more
    than 95 % of the film fully black or white belongs to other data and counts as absent.

    Args:
        stored: integers (height, width) as decoded, 8 to 16 bits.
        dataset: the pydicom dataset they came from.

    Returns:
        float32 (height, width) in [0, 1].
    """
    low, high = int(stored.min()), int(stored.max())
    levels = np.arange(low, high + 1)
    index = stored.astype(np.int32) - low if stored.dtype.kind == "i" else stored - stored.min()
    counts = _count(index, levels.size)
    levels = _sign_extended(levels, dataset)

    padded = _padding(levels, dataset)
    if not counts[~padded].any():
        padded[:] = False
    counts[padded] = 0

    values, is_identity = _modality(levels, dataset)
    gray = _declared_window(values, dataset)
    if gray is None or _is_blown_out(gray, counts):
        bits = int(dataset.BitsStored)
        if bits <= 8 and is_identity and low >= 0:
            gray = _stretch(values, 0, max(2**bits - 1, high))
        else:
            gray = _stretch(values, *_percentiles(values, counts))
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
    gray[padded] = 0
    return gray.astype(np.float32)[index]


def _count(index: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    """How many pixels have each level; in chunks, because bincount widens its input to int64."""
    flat = index.ravel()
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, flat.size, _CHUNK):
        counts += np.bincount(flat[start : start + _CHUNK], minlength=size)
    return counts


def _sign_extended(levels: NDArray[np.int64], dataset: Any) -> NDArray[np.int64]:
    """Two's complement values whose decoder left the sign bit in the middle of the word."""
    bits = int(dataset.BitsStored)
    if dataset.PixelRepresentation != 1 or levels[0] < 0 or levels[-1] < 2 ** (bits - 1):
        return levels
    return np.where(levels >= 2 ** (bits - 1), levels - 2**bits, levels)


def _padding(levels: NDArray[np.int64], dataset: Any) -> NDArray[np.bool_]:
    """Levels that mark pixels outside the exposed field (PS3.3 C.7.5.1.1.2)."""
    value = first_number(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(levels.size, dtype=bool)
    limit = first_number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((value, value if limit is None else limit))
    return (levels >= low) & (levels <= high)


def _modality(levels: NDArray[np.int64], dataset: Any) -> tuple[Floats, bool]:
    """Values after the modality transform, and whether it changed nothing."""
    sequence = dataset.get("ModalityLUTSequence")
    if sequence:
        table, first, _ = _table(sequence[0], dataset)
        return _look_up(levels.astype(np.float64), table, first), False
    slope = first_number(dataset, "RescaleSlope")
    intercept = first_number(dataset, "RescaleIntercept") or 0.0
    slope = 1.0 if slope is None or slope == 0 else slope
    return levels.astype(np.float64) * slope + intercept, (slope, intercept) == (1.0, 0.0)


def _declared_window(values: Floats, dataset: Any) -> Floats | None:
    """Gray in [0, 1] by the file's own VOI LUT or window; None when it has none that is valid."""
    sequence = dataset.get("VOILUTSequence")
    if sequence and "LUTData" in sequence[0] and "LUTDescriptor" in sequence[0]:
        table, first, full_scale = _table(sequence[0], dataset)
        return _look_up(np.rint(values), table, first) / full_scale
    centre = first_number(dataset, "WindowCenter")
    width = first_number(dataset, "WindowWidth")
    if centre is None or width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return window(values, centre, width, function)


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
    """Linear from `low` = 0 to `high` = 1; a film without contrast becomes black."""
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1)


def _table(item: Any, dataset: Any) -> tuple[Floats, int, float]:
    """A DICOM lookup table: its entries, the value that maps to the first, its full scale."""
    count, first, depth = (int(number) for number in item.LUTDescriptor)
    count = (count & 0xFFFF) or 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        order = ">" if dataset.original_encoding[1] is False else "<"
        wide = len(data) >= 2 * count
        entries = np.frombuffer(data, dtype=f"{order}u2" if wide else "u1")[:count]
    else:
        entries = np.atleast_1d(np.asarray(data, dtype=np.int64))[:count] & 0xFFFF
    if entries.size == 0 or not 0 < depth <= 16:
        raise ValueError("lookup table without entries")
    table = entries.astype(np.float64)
    # Some writers declare fewer bits than they use; the table's own maximum is then full scale.
    return table, first, max(2.0**depth - 1, float(table.max()))


def _look_up(values: Floats, table: Floats, first: int) -> Floats:
    """Entries for values; those before the first or after the last get the first or the last."""
    return table[np.clip(values - first, 0, table.size - 1).astype(np.intp)]


def first_number(dataset: Any, keyword: str) -> float | None:
    """First value of a numeric element; None when absent, empty or not a finite number."""
    value = dataset.get(keyword)
    if value is not None and not isinstance(value, str | bytes) and hasattr(value, "__getitem__"):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
