"""The small models that come with the package: an ONNX file with a JSON file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pneumoscope.errors import WeightsError
from pneumoscope.files import sha256_file


def read_description(
    model: Path, names: set[str], version: int, *, what: str, remedy: str
) -> dict[str, Any]:
    """What the JSON beside a model says of it, after the model's digest has been checked.

    Args:
        model: the ONNX file.
        names: of the fields that there must be, `sha256` and `format` among them.
        version: of the layout, the field `format`.
        what: the model is, for messages.
        remedy: where a file is missing or damaged.

    Raises:
        WeightsError: model or JSON is missing, altered, of another kind or of a later format.
    """
    path = model.with_suffix(".json")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError("cannot be read", path=path, remedy=remedy) from error
    if not isinstance(raw, dict) or raw.get("format") != version:
        raise WeightsError("is of an unknown format", path=path, remedy="upgrade pneumoscope")
    if set(raw) != names:
        raise WeightsError(f"does not describe {what}", path=path, remedy=remedy)
    try:
        digest = sha256_file(model)
    except OSError as error:
        raise WeightsError("cannot be read", path=model, remedy=remedy) from error
    if digest != raw["sha256"]:
        raise WeightsError(
            "was altered since it was written (its checksum differs)", path=model, remedy=remedy
        )
    return raw


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
