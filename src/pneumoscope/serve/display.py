"""What the page shows beside a radiograph: scale of values, spacing, sides, study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.imaging.display import Display

_OF_STUDY = ("age", "sex", "date", "study", "series")


class ShownScale(BaseModel):
    """What the levels of a picture stand for."""

    low: float = Field(description="Value of level 0")
    high: float = Field(description="Value of level 65535")
    curve: list[tuple[float, float]] = Field(
        description="(value, gray) of the file's own display; gray 0 to 1, bright = dense"
    )
    inverted: bool = Field(description="Whether the lowest value is white")
    padding: tuple[float, float] | None = Field(
        description="Lowest and highest value outside the exposed field"
    )


class ShownFilm(BaseModel):
    """What the file says that a reader needs; null where it does not say."""

    scale: ShownScale
    spacing: tuple[float, float] | None = Field(
        description="Millimetres per pixel as (row, column)"
    )
    spacing_at: Literal["patient", "detector"] | None = Field(
        description="Where the spacing holds: at the detector, magnification is not corrected"
    )
    directions: tuple[str, str] | None = Field(
        description="Where rows and columns run to in the patient, such as L and F"
    )
    view: str | None
    age: float | None = Field(description="In years")
    sex: str | None
    date: str | None = Field(description="Of the study, YYYY-MM-DD")
    study: str | None = Field(description="Its description")
    series: str | None = Field(description="Its description, else its number")


def display_text(display: Display, *, study: bool) -> str:
    """JSON of a `ShownFilm`.

    Args:
        display: of the radiograph.
        study: whether age, sex, date, study and series are told.
    """
    scale = display.scale
    told = {name: getattr(display, name) if study else None for name in _OF_STUDY}
    return ShownFilm(
        scale=ShownScale(
            low=scale.low,
            high=scale.high,
            curve=list(scale.curve),
            inverted=scale.inverted,
            padding=scale.padding,
        ),
        spacing=display.spacing,
        spacing_at=display.spacing_at,
        directions=display.directions,
        view=display.view,
        **told,
    ).model_dump_json()
