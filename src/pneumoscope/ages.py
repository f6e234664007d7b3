"""Ages as DICOM and tables of the field write them; standard library only."""

from __future__ import annotations

_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def age_in_years(text: str | None) -> float | None:
    """DICOM's age string, such as "012Y", "006M", "003W" or "010D"; None if it tells no age."""
    text = text or ""
    per_year = _PER_YEAR.get(text[-1:])
    if per_year is None or not text[:-1].isdecimal():
        return None
    return int(text[:-1]) / per_year
