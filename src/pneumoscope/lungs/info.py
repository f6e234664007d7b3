"""What the segmenter's file says of itself: `lungs.json` beside `lungs.onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pneumoscope.shipped import Description


@dataclass(frozen=True, slots=True, kw_only=True)
class LungsInfo(Description):
    """Where a segmenter comes from; `figures` are by set of radiographs.

    Args:
        grid: cells of its answer along each side.
    """

    name: ClassVar[str] = "lungs"
    what: ClassVar[str] = "a lung segmenter"
    written_by: ClassVar[str] = "pneumoscope train-lungs"

    grid: int
