"""How strongly the default augmentation changes a radiograph."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Amounts(BaseModel):
    """Limits of what is drawn for each radiograph; 0 switches a change off.

    Attributes:
        rotate: degrees, either way.
        scale: share of the size, larger or smaller.
        shift: share of the side, in each direction.
        exposure: exponent of the gamma, in powers of two.
        contrast: share, more or less.
        brightness: share of the full range, up or down.
        noise: standard deviation as a share of the full range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rotate: Annotated[float, Field(ge=0, le=180)] = 12.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.12
    shift: Annotated[float, Field(ge=0, le=1)] = 0.06
    exposure: Annotated[float, Field(ge=0, le=3)] = 0.3
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.2
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.15
    noise: Annotated[float, Field(ge=0, le=1)] = 0.03
