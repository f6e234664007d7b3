"""What a bundle says of itself, and how it is read and written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from pneumoscope.bundles.architecture import ENSEMBLE, ArchitectureInfo, MemberInfo
from pneumoscope.bundles.heatmap_spec import HeatmapSpec
from pneumoscope.bundles.onnx_file import read_sealed, seal, unseal
from pneumoscope.bundles.seen import SeenInfo
from pneumoscope.bundles.site import SiteInfo
from pneumoscope.bundles.weakness import WeaknessInfo
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.files import sha256_file, write_bytes, write_json

INFO_FILE = "bundle.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "MODEL_CARD.md"
ONNX_FILE = "model.onnx"
FINDINGS = "findings"
# The list of what was seen takes eight bytes for each radiograph.
_MAX_INFO_BYTES = 32 << 20
MAX_AUC_DROP = 0.003
MIN_CORRELATION = 0.98
_Fraction = Annotated[float, Field(ge=0, le=1)]
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class TrainingInfo(_Part):
    """Where the model comes from."""

    data_digest: str
    splits: dict[str, dict[str, int]]
    weights: dict[str, str | None]
    settings: dict[str, Any]
    selected_epoch: int
    versions: dict[str, str]


class Quality(_Part):
    """How answers in one precision compare with torch's in float32, on the val split.

    Attributes:
        radiographs: how many were compared.
        roc_auc: in this precision; None where val holds one class only.
        roc_auc_drop: float32's less this one's.
        heatmap_correlation: Pearson's over the cells of a map, the mean over the radiographs whose
            float32 map shows evidence; None where none does.
    """

    radiographs: Annotated[int, Field(gt=0)]
    roc_auc: _Fraction | None
    roc_auc_drop: float | None
    heatmap_correlation: float | None

    @property
    def good(self) -> bool:
        """Whether it may be used unasked: the quality gate."""
        drop, correlation = self.roc_auc_drop, self.heatmap_correlation
        kept = drop is None or drop <= MAX_AUC_DROP
        return kept and correlation is not None and correlation >= MIN_CORRELATION


class ReviewInfo(_Part):
    """Probabilities that are uncertain, fitted on val (see `evaluate.fit_review_band`).

    Attributes:
        coverage: of radiographs of either label, at least this share is expected to be called by
            its label or to be uncertain.
        low, high: calibrated probabilities from here to there are uncertain, both included.
    """

    coverage: Annotated[float, Field(gt=0, lt=1)]
    low: _Fraction
    high: _Fraction


class ExportInfo(_Part):
    """How an ONNX file was made from its bundle.

    Attributes:
        precision: how its weights are stored: `float32`; `float16`, computed in float32; or `int8`,
            computed in integers.
        data_digest: of the manifest whose val split measured `quality`, and whose train split
            calibrated `int8`; None if nothing was measured.
        quality: by the precision it is computed in (`float32`, `bfloat16`, `int8`), where measured.
    """

    precision: Literal["float32", "float16", "int8"]
    data_digest: str | None = None
    quality: dict[Literal["float32", "bfloat16", "int8"], Quality] = {}


class BundleInfo(_Part):
    """The content of `bundle.json`.

    Attributes:
        format: version of this layout.
        version: version of Pneumoscope that wrote it.
        labels: (negative, positive).
        threshold: decision threshold on the calibrated probability, fitted on val or on a site's
            sample.
        temperature, bias: a probability is sigmoid(logit / temperature + bias); fitted likewise.
        calibration: figures on val before and after.
        heatmap: the heatmap it is explained with, as `HeatmapSpec` reads it. With `mirror` the
            logit, too, is the mean over the radiograph and its mirror image.
        region_threshold: heat from which a pixel belongs to a region, chosen on tuning halves.
        files: digest of every other file of the bundle.
        review: which probabilities are uncertain; None in bundles of earlier versions.
        export: of a bundle in one ONNX file, how the file was made; None in a folder.
        seen: which radiographs and patients it was made with; None in bundles of earlier versions.
        weaknesses: subgroups in which it was measured to be weak; findings quote them.
        site: the site's sample that threshold, calibration and review band were fitted on; None if
            they were fitted on val.
        members: the networks of an ensemble, whose architecture's backbone is `ensemble`.
    """

    format: Literal[1] = 1
    version: str
    architecture: ArchitectureInfo
    labels: tuple[str, str]
    threshold: _Fraction
    temperature: Annotated[float, Field(gt=0)]
    bias: float = 0.0
    calibration: dict[str, float | None]
    training: TrainingInfo
    heatmap: str = "gradcam"
    region_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    files: dict[_FileName, str]
    review: ReviewInfo | None = None
    export: ExportInfo | None = None
    seen: SeenInfo | None = None
    weaknesses: tuple[WeaknessInfo, ...] = ()
    site: SiteInfo | None = None
    members: tuple[MemberInfo, ...] = ()

    @field_validator("members")
    @classmethod
    def _members_are_an_ensemble(
        cls, value: tuple[MemberInfo, ...], others: ValidationInfo
    ) -> tuple[MemberInfo, ...]:
        own = others.data.get("architecture")
        if own is not None and (own.backbone == ENSEMBLE) != bool(value):
            raise ValueError("an ensemble needs members; another bundle has none")
        return value

    @field_validator("heatmap")
    @classmethod
    def _heatmap_is_known(cls, value: str) -> str:
        try:
            return str(HeatmapSpec.parse(value))
        except SettingsError as error:
            raise ValueError(error.problem) from error

    @property
    def model_id(self) -> str:
        """Short identity written into every finding.

        Backbone and digest of the weights, then the mark of the site's calibration if there is one.
        """
        site = "" if self.site is None else f"+{self.site.mark}"
        return f"{self.architecture.backbone}@{self.files[WEIGHTS_FILE][:8]}{site}"

    @property
    def fitted_on(self) -> str:
        """What threshold, calibration and review band were fitted on, in words."""
        if self.site is None:
            return "val"
        return f"the site's sample '{self.site.sample}' ({self.site.radiographs} radiographs)"


@dataclass(frozen=True, slots=True)
class OnnxBundle:
    """A bundle exported into one ONNX file.

    Attributes:
        path: where it was read.
        model: the file's bytes, checked; no other bytes are to be run.
        info: of the bundle it was exported from; `files` are that bundle's.
    """

    path: Path
    model: bytes
    info: BundleInfo

    @property
    def precision(self) -> Literal["float32", "int8"]:
        """What it is computed in unless another precision is asked for."""
        stored = "float32" if self.info.export is None else self.info.export.precision
        return "int8" if stored == "int8" else "float32"

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the file up to its seal."""
        return self.model[-64:].decode("ascii")


DEFAULT = Path("default")
"""Names the bundle that is part of the package, wherever a bundle is expected."""

DEFAULT_FOLDER = Path(__file__).parent / "default"
"""Where it is: a bundle's folder with its exported file and what was measured of it."""


def find_bundle(path: Path, *, weights: bool = False) -> Path:
    """The bundle meant by `default`, a bundle, a run or a file of `pneumoscope export`.

    Args:
        path: what was given.
        weights: of `default`, the folder with the weights that torch runs, not the exported file.

    Returns:
        The bundle's folder; or an ONNX file, if `path` is one or its folder holds `model.onnx` and
        no other bundle.

    Raises:
        BundleError: there is not a bundle there.
    """
    if path == DEFAULT:
        return DEFAULT_FOLDER if weights else DEFAULT_FOLDER / ONNX_FILE
    if path.is_file() and path.suffix.lower() == ".onnx":
        return path
    folders = (path, path / "bundle")
    for folder in folders:
        if (folder / INFO_FILE).is_file():
            return folder
    for folder in folders:
        if (folder / ONNX_FILE).is_file():
            return folder / ONNX_FILE
    if not path.exists():
        raise BundleError("no such bundle or run", path=path, remedy="check the path")
    if path.is_file():
        raise BundleError(
            "is not a bundle",
            path=path,
            remedy="give a bundle's folder, a run, or a file of pneumoscope export (.onnx)",
        )
    if several := finding_folders(path):
        raise BundleError(
            f"holds a bundle for each of {len(several)} findings",
            path=path,
            remedy=f"give one of them: {', '.join(map(str, several))}",
        )
    raise BundleError(
        f"holds no {INFO_FILE}",
        path=path,
        remedy="give a bundle, or a run whose training has finished "
        "(pneumoscope train --out RUN --resume finishes one)",
    )


def finding_folder(run: Path, finding: str) -> Path:
    """The folder, in a run of several findings, of one of them; what it holds is that of a run."""
    return run / FINDINGS / re.sub(r"[^\w.-]+", "_", finding)


def finding_folders(run: Path) -> list[Path]:
    """The folders of a run's findings that have a bundle; none in a run of one finding."""
    if run == DEFAULT:  # The package's own, whatever folder has that name.
        return []
    found = (run / FINDINGS).glob(f"*/bundle/{INFO_FILE}")
    return sorted(path.parent.parent for path in found)


def read_bundle(path: Path, *, weights: bool = False) -> tuple[Path, BundleInfo]:
    """Find, read and verify a bundle; arguments as of `find_bundle`.

    Returns:
        The bundle's folder, or its ONNX file, and its content.

    Raises:
        BundleError: a file is missing or altered, or the format is unknown.
    """
    found = find_bundle(Path(path), weights=weights)
    if found.is_file():
        return found, read_onnx(found).info
    info_path = found / INFO_FILE
    if info_path.stat().st_size > _MAX_INFO_BYTES:
        raise BundleError("too large to be a bundle's description", path=info_path)
    try:
        text = info_path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleError("not valid JSON", path=info_path, remedy=_AGAIN) from error
    info = _parse(text, info_path)
    for name, digest in info.files.items():
        _check_file(found / name, digest)
    return found, info


def read_onnx(path: Path) -> OnnxBundle:
    """Read and verify a file of `pneumoscope export`; needs neither torch nor onnxruntime.

    Raises:
        BundleError: as `onnx_file.read_sealed`, or the description's format is unknown.
    """
    model, text = read_sealed(Path(path))
    return OnnxBundle(Path(path), model, _parse(text, Path(path)))


_AGAIN = "export the bundle again from its run"


def _parse(text: str, path: Path) -> BundleInfo:
    """Check what a bundle says of itself."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError("not valid JSON", path=path, remedy=_AGAIN) from error
    if isinstance(raw, dict) and raw.get("format") != 1:
        raise BundleError(
            f"bundle format {raw.get('format')!r} is unknown to this version",
            path=path,
            remedy="upgrade pneumoscope",
        )
    try:
        info = BundleInfo.model_validate(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BundleError(
            f"'{where}': {error.errors()[0]['msg']}", path=path, remedy=_AGAIN
        ) from error
    if WEIGHTS_FILE not in info.files:
        raise BundleError(f"names no {WEIGHTS_FILE}", path=path, remedy=_AGAIN)
    return info


def _check_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise BundleError("missing from the bundle", path=path, remedy=_AGAIN)
    if sha256_file(path) != digest:
        raise BundleError(
            "was altered since the bundle was written (its checksum differs)",
            path=path,
            remedy=_AGAIN,
        )


def write_onnx(path: Path, model: bytes, info: BundleInfo) -> None:
    """Write a serialised ONNX model as a bundle of one file.

    Args:
        path: the file; replaced if it exists.
        model: without metadata of its own.
        info: of the bundle whose network it is, unchanged, so that findings name the same model.

    Raises:
        OutputError: the file cannot be written.
    """
    write_bytes(path, seal(model, info.model_dump_json()))


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


def amend_bundle(
    path: Path, *, seen: SeenInfo | None = None, weaknesses: Sequence[WeaknessInfo] | None = None
) -> list[Path]:
    """Write what became known of a model into its bundle, and into the exported file beside it.

    Args:
        path: a bundle, a run, or a file of `pneumoscope export`.
        seen: of the manifest that the model was trained on; None to leave it as it is.
        weaknesses: where it is weak, instead of those in the bundle; None to leave them.

    Returns:
        The files that were rewritten; all else in them is as it was.

    Raises:
        BundleError: the bundle is missing or altered.
        OutputError: a file cannot be written.
    """
    found, info = read_bundle(path, weights=True)
    changes: dict[str, Any] = {} if seen is None else {"seen": seen}
    if weaknesses is not None:
        changes["weaknesses"] = tuple(weaknesses)
    described = info.model_copy(update=changes)
    if found.is_file():
        write_onnx(found, unseal(read_onnx(found).model), described)
        return [found]
    write_json(found / INFO_FILE, described.model_dump(mode="json"))
    exported = found / ONNX_FILE
    if not exported.is_file() or read_onnx(exported).info.model_id != info.model_id:
        return [found / INFO_FILE]
    return [found / INFO_FILE, *amend_bundle(exported, seen=seen, weaknesses=weaknesses)]
