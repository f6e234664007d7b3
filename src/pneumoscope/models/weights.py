"""Pretrained weights: found offline where possible, checked, and never unpickled.

`auto` takes the backbone's own source (a registry package, else timm's hub), `none` starts from
random weights, anything else is a file: safetensors, or a torch state dict loaded with
`weights_only`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pneumoscope.bundles import DEFAULT, find_bundle, read_bundle
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.errors import WeightsError
from pneumoscope.extras import how_to_install
from pneumoscope.files import sha256_file
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.loading import load_classifier
from pneumoscope.models.registry import BackboneRecord, WeightSource, backbone_record

_PREFIXES = ("module.", "model.", "backbone.network.", "backbone.", "network.", "state_dict.")
# Classifiers of ImageNet networks, replaced by our head.
_HEADS = ("fc.", "classifier.", "head.", "head_dist.")


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
    backbone: str, head: str, size: int, weights: str
) -> tuple[Classifier, WeightRecord]:
    """Build a classifier whose backbone starts from the weights asked for.

    Args:
        backbone: a registered name.
        head: `linear`, `mlp` or `regional`; starts from random weights, except with a bundle.
        size: side of the square input in pixels.
        weights: `auto`, `none`, a file, or the folder of a bundle or run, whose head is taken, too.

    Raises:
        WeightsError: the file is missing, altered, or of another architecture.
        BundleError: the folder holds no bundle.
    """
    record = backbone_record(backbone)
    if Path(weights) == DEFAULT or Path(weights).is_dir():
        return _of_bundle(Path(weights), record, head, size)
    if weights == "none":
        return _build(record, head, size, record.automatic), NO_WEIGHTS
    path, source = _find_file(record, weights)
    digest = sha256_file(path)
    if source is None:
        source = _source_of(record, digest, path)
    elif source.sha256 not in (None, digest):
        raise WeightsError(
            f"its checksum is {digest}, expected {source.sha256}",
            path=path,
            remedy=f"reinstall {source.package or source.name}",
        )
    classifier = _build(record, head, size, source)
    state = read_state_dict(path)
    load_backbone(classifier.backbone.network, state, path, in_order=source.in_order)
    return classifier, WeightRecord(weights, source.name, source.licence, digest)


def _build(record: BackboneRecord, head: str, size: int, source: WeightSource) -> Classifier:
    return Classifier(
        Architecture(record.name, head, size, source.mean, source.std, dict(source.options))
    )


def _of_bundle(
    path: Path, record: BackboneRecord, head: str, size: int
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
    resized = info.model_copy(
        update={"architecture": info.architecture.model_copy(update={"size": size})}
    )
    licence = info.training.weights.get("licence") or "as stated by its provider"
    digest = info.files[WEIGHTS_FILE]
    started = WeightRecord(str(path), f"bundle {info.model_id}", licence, digest)
    return load_classifier(folder, resized).train(), started


def _find_file(record: BackboneRecord, weights: str) -> tuple[Path, WeightSource | None]:
    if weights != "auto":
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsError(
                "no such weights file", path=path, remedy="give a file, 'auto' or 'none'"
            )
        return path, None
    source = record.automatic
    if source.package is not None:
        return _package_file(source.package), source
    return _hub_file(record, source), source


def _source_of(record: BackboneRecord, digest: str, path: Path) -> WeightSource:
    """The source a file is known as, else the automatic one's conventions under its name."""
    for source in record.sources:
        if source.sha256 == digest:
            return source
    known = record.automatic
    return WeightSource(
        name=path.name, licence="as stated by its provider", mean=known.mean, std=known.std
    )


def _package_file(package: str) -> Path:
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


def _hub_file(record: BackboneRecord, source: WeightSource) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    # Its retries are many lines of news about one fact, which the error below tells.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return Path(hf_hub_download(source.name, "model.safetensors"))
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        raise WeightsError(
            f"the weights of {record.name} are not on this machine and the hub cannot be reached",
            remedy=f"where there is a network, fetch model.safetensors of '{source.name}' from "
            "the Hugging Face hub, copy it here and give its path as --weights FILE; "
            "or train from scratch with --weights none",
        ) from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read safetensors or a torch state dict; nothing but tensors is ever loaded.

    Raises:
        WeightsError: the file is neither, or is damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsError("not readable as weights", path=path, remedy=_FORMATS) from error
    except Exception as error:
        # torch raises pickle.UnpicklingError, and others, for anything that is not plain tensors.
        raise WeightsError("refused: not plain tensors", path=path, remedy=_FORMATS) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError("holds no state dict", path=path, remedy=_FORMATS)
    return dict(loaded)


_FORMATS = "give a .safetensors file or a torch state dict of plain tensors"


def load_backbone(
    network: nn.Module, state: Mapping[str, Tensor], path: Path, *, in_order: bool = False
) -> None:
    """Load a backbone's tensors, leaving out the file's own classifier.

    Raises:
        WeightsError: a tensor is missing or has another shape.
    """
    target = network.state_dict()
    found = _by_order(target, state) if in_order else _by_name(target, state)
    missing = [k for k in target if k not in found and not k.endswith("num_batches_tracked")]
    wrong = [k for k, v in found.items() if v.shape != target[k].shape]
    if missing or wrong:
        first = (missing or wrong)[0]
        raise WeightsError(
            f"does not fit the architecture: {len(missing)} tensors missing and {len(wrong)} "
            f"of another shape, the first '{first}'",
            path=path,
            remedy="check that the file belongs to this backbone",
        )
    network.load_state_dict({k: v.to(target[k].dtype) for k, v in found.items()}, strict=False)


def _by_name(target: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for key, value in state.items():
        name = key
        while name not in target and (prefix := _prefix(name)) is not None:
            name = name.removeprefix(prefix)
        if name in target and not name.startswith(_HEADS):
            found[name] = value
    return found


def _prefix(name: str) -> str | None:
    return next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)


def _by_order(target: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    def counted(tensors: Mapping[str, Any]) -> list[str]:
        return [key for key in tensors if not key.endswith("num_batches_tracked")]

    # The file's classifier comes last, so pairing stops before it.
    return {key: state[other] for key, other in zip(counted(target), counted(state), strict=False)}
