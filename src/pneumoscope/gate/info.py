"""What the gate's file says of itself: `gate.json` beside `gate.onnx`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pneumoscope.files import write_json
from pneumoscope.shipped import read_description

FORMAT = 1
KINDS = ("chest", "inverted", "rotated", "cropped", "not_chest")
"""What the model tells apart, in the order of its answers."""
_REMEDY = "reinstall pneumoscope, or write the model again with pneumoscope train-gate"


@dataclass(frozen=True, slots=True)
class GateInfo:
    """Where a gate comes from.

    Args:
        sha256: hex digest of the ONNX file.
        side: side of the model's square input in pixels.
        threshold: a picture is flagged from this score on, in (0, 1].
        licence: licence of the weights.
        training_data: what it was trained on.
        training: settings, counts of films and patients, digest of the manifest.
        figures: what was measured on val when the threshold was chosen.
        format: version of this layout.
    """

    sha256: str
    side: int
    threshold: float
    licence: str
    training_data: str
    training: dict[str, Any]
    figures: dict[str, Any]
    format: int = FORMAT

    @property
    def id(self) -> str:
        """Short identity: name and digest of the weights."""
        return f"gate@{self.sha256[:8]}"

    def write(self, model: Path) -> None:
        """Write the JSON beside the model's file."""
        write_json(model.with_suffix(".json"), asdict(self))


def read_info(model: Path) -> GateInfo:
    """Read what is said of `model` and check that the file is the one meant.

    Raises:
        WeightsError: model or JSON is missing, altered, or of a later format.
    """
    names = {field.name for field in fields(GateInfo)}
    raw = read_description(model, names, FORMAT, what="an input gate", remedy=_REMEDY)
    return GateInfo(**raw)
