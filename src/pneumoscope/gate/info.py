"""What the gate's file says of itself: `gate.json` beside `gate.onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pneumoscope.shipped import Description

KINDS = ("frontal", "inverted", "rotated", "cropped", "lateral", "ct", "not_chest")
"""What the model tells apart, in the order of its answers; `frontal` is upright and passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInfo(Description):
    """Where a gate comes from; `figures` are those of val when the threshold was chosen.

    Args:
        threshold: a picture is flagged from this score on, in (0, 1].
    """

    name: ClassVar[str] = "gate"
    what: ClassVar[str] = "an input gate"
    written_by: ClassVar[str] = "pneumoscope train-gate"

    threshold: float
