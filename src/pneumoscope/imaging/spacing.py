"""How large a DICOM radiograph's pixels are, and whether they are square."""

from __future__ import annotations

from typing import Any

from pneumoscope.imaging.elements import MalformedElement, numbers

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_SQUARE = 0.01
_LARGEST_ASPECT = 4.0

Spacing = tuple[float, float]


def read_spacing(dataset: Any) -> tuple[Spacing | None, float, tuple[str, ...]]:
    """Spacing, aspect and notes of a radiograph.

    Returns:
        Millimetres per pixel as (row, column), in the patient if calibrated, else at the detector,
        else on the radiograph that was scanned, or None; the height of a pixel over its width, by
        the spacing, else by PixelAspectRatio, else 1; sentences for `Radiograph.notes` on what was
        malformed and passed over. Zero counts as absent.
    """
    notes: list[str] = []
    spacing = next((pair for name in _SPACINGS if (pair := _pair(dataset, name, notes))), None)
    ratio = spacing or _pair(dataset, "PixelAspectRatio", notes)
    aspect = checked_aspect(ratio[0] / ratio[1]) if ratio else 1.0
    if aspect is None:
        notes.append("The pixel spacing of the file is not plausible and was ignored.")
        return None, 1.0, tuple(notes)
    return spacing, aspect, tuple(notes)


def checked_aspect(aspect: float) -> float | None:
    """An aspect; exactly 1 within rounding, None where no detector or scanner has such pixels."""
    if abs(aspect - 1) <= _SQUARE:
        return 1.0
    return aspect if 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT else None


def _pair(dataset: Any, keyword: str, notes: list[str]) -> Spacing | None:
    try:
        found = numbers(dataset, keyword)
        if len(found) not in (0, 2) or any(number < 0 for number in found):
            raise MalformedElement(keyword)
    except MalformedElement:
        notes.append(f"{keyword} is malformed and was ignored.")
        return None
    return (found[0], found[1]) if all(found) and found else None
