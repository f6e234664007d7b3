"""What the segmenter's file says of itself: `lungs.json` beside `lungs.onnx`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pneumoscope.files import write_json
from pneumoscope.shipped import read_description

FORMAT = 1
_REMEDY = "reinstall pneumoscope, or write the model again with pneumoscope train-lungs"


@dataclass(frozen=True, slots=True)
class LungsInfo:
    """Where a segmenter comes from.

    Args:
        sha256: hex digest of the ONNX file.
        side: side of the model's square input in pixels.
        grid: cells of its answer along each side.
        licence: licence of the weights.
        training_data: what it was trained on, with its licence and attribution.
        training: settings, counts of films and patients, digest of the manifest.
        figures: by set of radiographs, what was measured.
        format: version of this layout.
    """

    sha256: str
    side: int
    grid: int
    licence: str
    training_data: str
    training: dict[str, Any]
    figures: dict[str, Any]
    format: int = FORMAT

    @property
    def id(self) -> str:
        """Short identity, written where masks are used: name and digest of the weights."""
        return f"lungs@{self.sha256[:8]}"

    def write(self, model: Path) -> None:
        """Write the JSON beside the model's file."""
        write_json(sidecar(model), asdict(self))


def sidecar(model: Path) -> Path:
    """The JSON file beside a model's file."""
    return model.with_suffix(".json")


def read_info(model: Path) -> LungsInfo:
    """Read what is said of `model` and check that the file is the one meant.

    Raises:
        WeightsError: model or JSON is missing, altered, or of a later format.
    """
    names = {field.name for field in fields(LungsInfo)}
    raw = read_description(model, names, FORMAT, what="a lung segmenter", remedy=_REMEDY)
    return LungsInfo(**raw)
