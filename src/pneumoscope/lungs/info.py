"""What the segmenter's file says of itself: `lungs.json` beside `lungs.onnx`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pneumoscope.errors import WeightsError
from pneumoscope.files import sha256_file, write_json

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
    path = sidecar(model)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError("cannot be read", path=path, remedy=_REMEDY) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise WeightsError("is of an unknown format", path=path, remedy="upgrade pneumoscope")
    if set(raw) != {field.name for field in fields(LungsInfo)}:
        raise WeightsError("does not describe a lung segmenter", path=path, remedy=_REMEDY)
    info = LungsInfo(**raw)
    try:
        digest = sha256_file(model)
    except OSError as error:
        raise WeightsError("cannot be read", path=model, remedy=_REMEDY) from error
    if digest != info.sha256:
        raise WeightsError(
            "was altered since it was written (its checksum differs)", path=model, remedy=_REMEDY
        )
    return info
