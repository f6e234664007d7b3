"""What is needed to build a bundle's network again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Pooling = Literal["top", "weighted"]
"""How a regional head makes one log-odds of its cells'; see `models.heads.RegionalHead`."""
ENSEMBLE = "ensemble"
"""In the place of a backbone's name: the bundle's network is made of several members."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class ArchitectureInfo(_Part):
    """Everything needed to build the network again (see `models.Architecture`).

    Pixels enter as a radiograph letterboxed into `size` x `size`, bright = dense, quantised to
    uint8, divided by 255, repeated to three channels, then normalised with `mean` and `std`.
    """

    backbone: str
    head: str
    size: Annotated[int, Field(gt=0, le=4096)]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    options: dict[str, JsonValue] = {}
    pooling: Pooling = "weighted"


class MemberInfo(_Part):
    """A network of an ensemble.

    Attributes:
        model_id: of the bundle that it was.
        architecture: of the network.
        temperature, bias: its calibrated log-odds are logit / temperature + bias; fitted on val.
    """

    model_id: str
    architecture: ArchitectureInfo
    temperature: Annotated[float, Field(gt=0)]
    bias: float = 0.0
