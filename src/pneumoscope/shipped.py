"""The small models that come with the package: an ONNX file with a JSON file beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from pneumoscope.errors import WeightsError
from pneumoscope.files import sha256_file, write_json

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Where a small model comes from: what the JSON beside its file says.

    Args:
        sha256: hex digest of the ONNX file.
        side: side of the model's square input in pixels.
        licence: licence of the weights.
        training_data: what it was trained on, with its licence and attribution.
        training: settings, counts of radiographs and patients, digest of the manifest.
        figures: what was measured.
        format: version of this layout.
    """

    name: ClassVar[str]
    """What the model is called in its identity."""
    what: ClassVar[str]
    """What it is, for messages."""
    written_by: ClassVar[str]
    """The command that writes one."""

    sha256: str
    side: int
    licence: str
    training_data: str
    training: dict[str, Any]
    figures: dict[str, Any]
    format: int = _FORMAT

    @property
    def id(self) -> str:
        """Short identity, written where the model was used: name and digest of the weights."""
        return f"{self.name}@{self.sha256[:8]}"

    def write(self, model: Path) -> None:
        """Write the JSON beside the model's file."""
        write_json(model.with_suffix(".json"), asdict(self))

    @classmethod
    def read(cls, model: Path) -> Self:
        """Read what is said of `model` and check that the file is the one meant.

        Raises:
            WeightsError: model or JSON is missing, altered, of another kind or of a later format.
        """
        remedy = f"reinstall pneumoscope, or write the model again with {cls.written_by}"
        path = model.with_suffix(".json")
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise WeightsError("cannot be read", path=path, remedy=remedy) from error
        if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
            raise WeightsError("is of an unknown format", path=path, remedy="upgrade pneumoscope")
        if set(raw) != {field.name for field in fields(cls)}:
            raise WeightsError(f"does not describe {cls.what}", path=path, remedy=remedy)
        try:
            digest = sha256_file(model)
        except OSError as error:
            raise WeightsError("cannot be read", path=model, remedy=remedy) from error
        if digest != raw["sha256"]:
            raise WeightsError(
                "was altered since it was written (its checksum differs)", path=model, remedy=remedy
            )
        return cls(**raw)


def open_session(model: Path, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU for a model that has been checked.

    Raises:
        WeightsError: onnxruntime cannot load it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    # onnxruntime's errors derive from RuntimeError or from Exception, by version.
    except Exception as error:
        raise WeightsError(
            f"onnxruntime cannot load it ({error})",
            path=model,
            remedy="reinstall pneumoscope and onnxruntime",
        ) from error
