"""What a bundle says of itself, and how it is read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pneumoscope.bundles.heatmap_spec import HeatmapSpec
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.files import sha256_file, write_json

INFO_FILE = "bundle.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "MODEL_CARD.md"
_MAX_INFO_BYTES = 4 << 20
_Fraction = Annotated[float, Field(ge=0, le=1)]
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class ArchitectureInfo(_Part):
    """Everything needed to build the network again (see `models.Architecture`).

    Pixels enter as a film letterboxed into `size` x `size`, bright = dense, quantised to uint8,
    divided by 255, repeated to three channels, then normalised with `mean` and `std`.
    """

    backbone: str
    head: str
    size: Annotated[int, Field(gt=0, le=4096)]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    options: dict[str, str | int | float | bool] = {}


class TrainingInfo(_Part):
    """Where the model comes from."""

    data_digest: str
    splits: dict[str, dict[str, int]]
    weights: dict[str, str | None]
    settings: dict[str, Any]
    selected_epoch: int
    versions: dict[str, str]


class BundleInfo(_Part):
    """The content of `bundle.json`.

    Attributes:
        format: version of this layout.
        version: version of Pneumoscope that wrote it.
        labels: (negative, positive).
        threshold: decision threshold on the calibrated probability, fitted on val.
        temperature: the logit is divided by it before the sigmoid; fitted on val.
        calibration: figures on val before and after.
        heatmap: the heatmap it is explained with, as `HeatmapSpec` reads it. With `mirror` the
            logit, too, is the mean over the film and its mirror image.
        files: digest of every other file of the bundle.
    """

    format: Literal[1] = 1
    version: str
    architecture: ArchitectureInfo
    labels: tuple[str, str]
    threshold: _Fraction
    temperature: Annotated[float, Field(gt=0)]
    calibration: dict[str, float | None]
    training: TrainingInfo
    heatmap: str = "gradcam"
    files: dict[_FileName, str]

    @field_validator("heatmap")
    @classmethod
    def _heatmap_is_known(cls, value: str) -> str:
        try:
            return str(HeatmapSpec.parse(value))
        except SettingsError as error:
            raise ValueError(error.problem) from error

    @property
    def model_id(self) -> str:
        """Short identity written into every finding: backbone and digest of the weights."""
        return f"{self.architecture.backbone}@{self.files[WEIGHTS_FILE][:8]}"


def find_bundle(path: Path) -> Path:
    """The bundle folder meant by a bundle or a run.

    Raises:
        BundleError: there is no bundle there.
    """
    for folder in (path, path / "bundle"):
        if (folder / INFO_FILE).is_file():
            return folder
    if not path.exists():
        raise BundleError("no such bundle or run", path=path, remedy="check the path")
    raise BundleError(
        f"holds no {INFO_FILE}",
        path=path,
        remedy="give a bundle, or a run whose training has finished "
        "(pneumoscope train --out RUN --resume finishes one)",
    )


def read_bundle(path: Path) -> tuple[Path, BundleInfo]:
    """Find, read and verify a bundle.

    Returns:
        The bundle's folder and its content.

    Raises:
        BundleError: a file is missing or altered, or the format is unknown.
    """
    folder = find_bundle(Path(path))
    info_path = folder / INFO_FILE
    if info_path.stat().st_size > _MAX_INFO_BYTES:
        raise BundleError("too large to be a bundle's description", path=info_path)
    try:
        raw = json.loads(info_path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError("not valid JSON", path=info_path, remedy=_AGAIN) from error
    if isinstance(raw, dict) and raw.get("format") != 1:
        raise BundleError(
            f"bundle format {raw.get('format')!r} is unknown to this version",
            path=info_path,
            remedy="upgrade pneumoscope",
        )
    try:
        info = BundleInfo.model_validate(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BundleError(
            f"'{where}': {error.errors()[0]['msg']}", path=info_path, remedy=_AGAIN
        ) from error
    _check_files(folder, info)
    return folder, info


_AGAIN = "export the bundle again from its run"


def _check_files(folder: Path, info: BundleInfo) -> None:
    if WEIGHTS_FILE not in info.files:
        raise BundleError(f"names no {WEIGHTS_FILE}", path=folder / INFO_FILE, remedy=_AGAIN)
    for name, digest in info.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError("missing from the bundle", path=path, remedy=_AGAIN)
        if sha256_file(path) != digest:
            raise BundleError(
                "was altered since the bundle was written (its checksum differs)",
                path=path,
                remedy=_AGAIN,
            )


def write_bundle(folder: Path, fields: Mapping[str, Any], names: list[str]) -> BundleInfo:
    """Write `bundle.json` beside the files `names`, which stand in `folder` already.

    Args:
        folder: the bundle's folder.
        fields: `BundleInfo`'s fields but `files`.
        names: the bundle's other files; their digests are recorded.
    """
    files = {name: sha256_file(folder / name) for name in names}
    info = BundleInfo.model_validate({**fields, "files": files})
    write_json(folder / INFO_FILE, info.model_dump(mode="json"))
    return info
