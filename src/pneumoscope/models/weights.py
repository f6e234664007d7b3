"""Pretrained weights: found offline where possible, checked, and never unpickled.

`auto` takes the backbone's own source (a registry package, else timm's hub), `none` starts from
random weights, anything else is a file, a folder of files, or a bundle or run of ours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import torch

from pneumoscope.bundles import DEFAULT, find_bundle, read_bundle
from pneumoscope.bundles.architecture import Pooling
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.errors import BundleError, WeightsError
from pneumoscope.extras import how_to_install
from pneumoscope.files import sha256_file
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.derived import AS_STATED, check_explained
from pneumoscope.models.loading import load_classifier
from pneumoscope.models.origins import hub_file, start_of
from pneumoscope.models.record import BackboneRecord, WeightSource
from pneumoscope.models.state import State, is_gray, load_backbone, read_state_dict

HUB_FILE = "model.safetensors"
"""The weights' file in each repository of timm on the hub."""


@dataclass(frozen=True, slots=True)
class WeightRecord:
    """Which weights a run started from; written into the run and the bundle."""

    choice: str
    name: str
    licence: str
    sha256: str | None

    def to_dict(self) -> dict[str, str | None]:
        """As plain JSON."""
        return asdict(self)


NO_WEIGHTS = WeightRecord("none", "random (from scratch)", "not applicable", None)


def pretrained_classifier(
    backbone: str, head: str, size: int, weights: str, pooling: Pooling = "weighted"
) -> tuple[Classifier, WeightRecord]:
    """Build a classifier whose backbone starts from the weights asked for.

    Args:
        backbone: a name as of `origins.start_of`.
        head: `linear`, `mlp` or `regional`; starts from random weights, except with a bundle.
        size: side of the square input in pixels.
        weights: `auto`; `none`; a file; a folder of files (see `file_name`); or the folder of a
            bundle or run, whose head is taken, too.
        pooling: of the head `regional`; a bundle's may have been another.

    Raises:
        WeightsError: the file is missing, altered, or of another architecture.
        SettingsError: the backbone is unknown, or cannot be explained.
        BundleError: the folder holds no bundle.
    """
    record, automatic = start_of(backbone)
    if weights == "none":
        return _build(record, head, size, automatic, pooling), NO_WEIGHTS
    source: WeightSource | None = automatic
    if weights == "auto":
        path = _automatic_file(record, automatic)
    else:
        place = Path(weights).expanduser()
        if place == DEFAULT or is_ours(place):
            return _of_bundle(place, record, head, size, pooling)
        path = file_in(place, automatic)
        source = replace(automatic, sha256=None) if path.name == file_name(automatic) else None
    digest = sha256_file(path)
    if source is not None and source.sha256 not in (None, digest):
        raise WeightsError(
            f"its checksum is {digest}, expected {source.sha256}",
            path=path,
            remedy=f"reinstall {source.package or source.name}",
        )
    state = read_state_dict(path)
    if source is None:
        source = _source_of(record, automatic, digest, path, state)
    classifier = _build(record, head, size, source, pooling)
    load_backbone(classifier.backbone.network, state, path, in_order=source.in_order)
    return classifier, WeightRecord(weights, source.name, source.licence, digest)


def file_name(source: WeightSource) -> str:
    """The name of a hub's file in a folder that is given as `--weights FOLDER`."""
    return f"{source.name.rpartition('/')[2]}.safetensors"


def _build(
    record: BackboneRecord, head: str, size: int, source: WeightSource, pooling: Pooling
) -> Classifier:
    architecture = Architecture(
        record.name, head, size, source.mean, source.std, dict(source.options), pooling
    )
    if record.derived:
        with torch.device("meta"):
            shapes = Classifier(architecture).eval()
        check_explained(shapes, record, size)
    return Classifier(architecture)


def is_ours(place: Path) -> bool:
    """Whether a folder is a bundle or a run, not a folder of weights' files."""
    if not place.is_dir():
        return False
    try:
        find_bundle(place, weights=True)
    except BundleError:
        return any((place / name).exists() for name in ("config.yaml", "bundle", "checkpoints"))
    return True


def _of_bundle(
    path: Path, record: BackboneRecord, head: str, size: int, pooling: Pooling
) -> tuple[Classifier, WeightRecord]:
    """All weights of a bundle, head included."""
    folder, info = read_bundle(find_bundle(path, weights=True))
    if (info.architecture.backbone, info.architecture.head) != (record.name, head):
        raise WeightsError(
            f"is a bundle of {info.architecture.backbone} with the head "
            f"'{info.architecture.head}', not of {record.name} with '{head}'",
            path=folder,
            remedy="choose its backbone and head, or other weights",
        )
    shape = info.architecture.model_copy(update={"size": size, "pooling": pooling})
    asked = info.model_copy(update={"architecture": shape})
    licence = info.training.weights.get("licence") or AS_STATED
    digest = info.files[WEIGHTS_FILE]
    started = WeightRecord(str(path), f"bundle {info.model_id}", licence, digest)
    return load_classifier(folder, asked).train(), started


def _automatic_file(record: BackboneRecord, source: WeightSource) -> Path:
    if source.file is not None:
        return source.file
    if not source.available:
        raise WeightsError(
            f"there are no known weights of {record.name}",
            remedy="give a file, or train from scratch with --weights none",
        )
    if source.package is not None:
        return package_file(source.package)
    try:
        return hub_file(source.name, HUB_FILE)
    except WeightsError as error:
        raise WeightsError(
            f"the weights of {record.name} are not on this machine and the hub cannot be reached",
            remedy=f"where there is a network, fetch {HUB_FILE} of '{source.name}' from the "
            "Hugging Face hub (pneumoscope weights fetch does), copy it here and give its path as "
            "--weights FILE; or train from scratch with --weights none",
        ) from error


def file_in(place: Path, source: WeightSource) -> Path:
    """The file meant by a path: itself, or that of a source in a folder of weights' files.

    Raises:
        WeightsError: it is not there.
    """
    if place.is_file():
        return place
    if not place.is_dir():
        raise WeightsError(
            "no such weights file", path=place, remedy="give a file, a folder, 'auto' or 'none'"
        )
    if source.package is not None:
        return package_file(source.package)
    repository = source.name.rpartition("/")[2]
    for file in (place / file_name(source), place / repository / HUB_FILE):
        if file.is_file():
            return file
    raise WeightsError(
        f"holds no {file_name(source)}",
        path=place,
        remedy=f"fetch {HUB_FILE} of '{source.name}' from the Hugging Face hub where there is a "
        "network (pneumoscope weights fetch does), and copy it here under that name",
    )


# TorchXRayVision, `datasets.normalize`: gray values from -1024 to 1024.
_XRAY_MEAN, _XRAY_STD = (0.5,) * 3, (1 / 2048,) * 3


def _source_of(
    record: BackboneRecord, automatic: WeightSource, digest: str, path: Path, state: State
) -> WeightSource:
    """The source a file is known as, else the automatic one's conventions under its name."""
    if (known := record.known(digest)) is not None:
        return known
    gray = is_gray(state)
    return WeightSource(
        name=path.name,
        licence=AS_STATED,
        mean=_XRAY_MEAN if gray else automatic.mean,
        std=_XRAY_STD if gray else automatic.std,
        options={} if automatic.package else automatic.options,
    )


def package_file(package: str) -> Path:
    """The weights' file of an installed package.

    Raises:
        WeightsError: the package is not installed, or holds no weights.
    """
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise WeightsError(
            f"the package {package} that carries the weights is not installed",
            remedy=f"choose --weights none, or {how_to_install('train')}",
        ) from None
    for entry in files:
        if entry.suffix in {".pth", ".pt", ".safetensors"}:
            return Path(str(entry.locate()))
    raise WeightsError(f"the package {package} holds no weights", remedy=f"reinstall {package}")
