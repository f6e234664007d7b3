"""What a reader of a radiograph needs beside the gray: stored values, sides, spacing, study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import ImageError
from pneumoscope.imaging.dicom import directions_of, opened
from pneumoscope.imaging.elements import MalformedElement, code, number, numbers
from pneumoscope.imaging.layout import GRAY
from pneumoscope.imaging.limits import DEFAULT_LIMITS, Limits
from pneumoscope.imaging.radiograph import Radiograph
from pneumoscope.imaging.stored import read_values
from pneumoscope.imaging.tone import Tone, tone_of

_FULL = 65535
_DEPTHS = (8, 10, 12, 14)
_POINTS = 257
_STEP = 7
_TEXTS = ("StudyDescription", "SeriesDescription")
_KEYWORDS = ("SpecificCharacterSet", "PatientSex", "StudyDate", "SeriesNumber", *_TEXTS)
_LONGEST = 64

SpacingAt = Literal["patient", "detector"]


@dataclass(frozen=True, slots=True)
class Scale:
    """What the levels of a 16-bit picture stand for.

    Args:
        low, high: values of level 0 and of level 65535.
        curve: (value, gray) in rising order of values: how the file itself is shown, gray 0 to 1,
            bright = dense. Straight lines join the points.
        inverted: whether the lowest value is white.
        padding: lowest and highest value that mark pixels outside the exposed field.
    """

    low: float
    high: float
    curve: tuple[tuple[float, float], ...]
    inverted: bool = False
    padding: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Display:
    """A radiograph for a person who reads it.

    Args:
        scale: of `levels`, or of the radiograph's gray where there are no levels.
        levels: uint16 (height, width), values after the modality transform; None where the
            radiograph's gray in [0, 1] holds all that the file has.
        spacing: millimetres per pixel as (row, column), if the file says so.
        spacing_at: "patient" if calibrated, "detector" if magnification is not corrected.
        directions: where rows and columns run to in the patient, such as ("L", "F").
        view, age, sex, date, study, series: as the file has them; `repr` leaves them out.
    """

    scale: Scale
    levels: NDArray[np.uint16] | None = None
    spacing: tuple[float, float] | None = None
    spacing_at: SpacingAt | None = None
    directions: tuple[str, str] | None = None
    view: str | None = None
    age: float | None = field(default=None, repr=False)
    sex: str | None = field(default=None, repr=False)
    date: str | None = field(default=None, repr=False)
    study: str | None = field(default=None, repr=False)
    series: str | None = field(default=None, repr=False)


def display_of(film: Radiograph, *, is_dicom: bool, limits: Limits = DEFAULT_LIMITS) -> Display:
    """What is shown beside a radiograph that was read; a DICOM file is decoded once more.

    Args:
        film: as `read_radiograph` gives it; its file is still there.
        is_dicom: whether the file is DICOM.
        limits: as they were when it was read.
    """
    plain = Display(
        Scale(0, depth := _full_scale(film.pixels), ((0, 0), (depth, 1))),
        spacing=film.spacing,
        view=film.view,
        age=film.age,
    )
    if not is_dicom:
        return plain
    try:
        return _of_dicom(film, plain, limits)
    except ImageError:
        return plain


def _of_dicom(film: Radiograph, plain: Display, limits: Limits) -> Display:
    with opened(film.source, limits, also=_KEYWORDS) as (stream, dataset, _, layout):
        scale, levels = plain.scale, None
        if layout.photometric in GRAY:
            values, _ = read_values(stream, dataset, layout, film.source)
            tone, _ = tone_of(values, layout, dataset)
            scale, levels = _scaled(tone)
        study, series = (_text(dataset, name) for name in _TEXTS)
        named = number(dataset, "SeriesNumber")
        return Display(
            scale,
            levels,
            spacing=film.spacing,
            spacing_at=None if film.spacing is None else _where(dataset),
            directions=_main(directions_of(dataset)) if film.orientation.stated else None,
            view=film.view,
            age=film.age,
            sex=code(dataset, "PatientSex"),
            date=_date(code(dataset, "StudyDate")),
            study=study,
            series=series or (None if named is None else f"series {named:.0f}"),
        )


def _full_scale(pixels: NDArray[np.float32]) -> float:
    """The highest value of the file's depth, as far as its pixels tell."""
    some = pixels[::_STEP, ::_STEP].astype(np.float64)
    for bits in _DEPTHS:
        values = some * (2**bits - 1)
        if np.abs(values - np.rint(values)).max() < 1e-3:
            return float(2**bits - 1)
    return float(_FULL)


def _scaled(tone: Tone) -> tuple[Scale, NDArray[np.uint16]]:
    """Levels that are the values themselves where these are integers of at most 16 bits."""
    low, high = float(tone.values.min()), float(tone.values.max())
    whole = bool((tone.values == np.rint(tone.values)).all())
    span = float(_FULL) if whole and high - low <= _FULL else max(high - low, 1e-6)
    levels = np.rint((tone.values - low) * (_FULL / span)).astype(np.uint16)
    marked = tone.values[tone.padded]
    padding = (float(marked.min()), float(marked.max())) if marked.size else None
    scale = Scale(low, low + span, _curve(tone), tone.inverted, padding)
    return scale, levels[tone.index]


def _curve(tone: Tone) -> tuple[tuple[float, float], ...]:
    """The gray of each value as a polyline through at most `_POINTS` + 2 points."""
    order = np.argsort(tone.values, kind="stable")
    order = order[~tone.padded[order]]
    values, gray = tone.values[order], tone.gray[order]
    changes = np.flatnonzero(np.diff(gray))
    first, last = (0, 0) if not changes.size else (int(changes[0]), int(changes[-1]) + 1)
    places = np.rint(np.linspace(first, last, min(_POINTS, last - first + 1))).astype(int)
    places = np.unique([0, *places.tolist(), values.size - 1])
    pairs = zip(values[places].tolist(), gray[places].tolist(), strict=True)
    return tuple((value, round(level, 6)) for value, level in pairs)


def _where(dataset: Any) -> SpacingAt:
    """What the spacing is measured at: as `read_spacing` chooses it."""
    patient, detector = (_pair(dataset, name) for name in ("PixelSpacing", "ImagerPixelSpacing"))
    return "detector" if not any(patient) or patient == detector else "patient"


def _pair(dataset: Any, keyword: str) -> tuple[float, ...]:
    try:
        return tuple(numbers(dataset, keyword))
    except MalformedElement:
        return ()


def _main(directions: Sequence[str] | None) -> tuple[str, str] | None:
    if directions is None:
        return None
    row, column = (value.strip().upper()[:1] for value in directions)
    return row, column


def _date(text: str | None) -> str | None:
    """DICOM's YYYYMMDD, also as older files write it, in ISO's form."""
    digits = (text or "").replace(".", "")
    if len(digits) != 8 or not digits.isdecimal():
        return None
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"


def _text(dataset: Any, keyword: str) -> str | None:
    """Free text in its own character set, short and without control characters."""
    value = " ".join(str(dataset.get(keyword) or "").split())
    return "".join(letter for letter in value if letter.isprintable())[:_LONGEST] or None
