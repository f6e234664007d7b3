"""Networks named by where they are: `hf-hub:OWNER/NAME` and `local-dir:PATH`.

Both hold a `config.json` beside the weights: that of timm, or that of transformers for a DINOv2
vision transformer such as RAD-DINO.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pneumoscope.errors import WeightsError
from pneumoscope.models.derived import AS_STATED, checked_options, weights_of
from pneumoscope.models.record import BackboneRecord, WeightSource
from pneumoscope.models.registry import backbone_record

_CONFIG = "config.json"
_FILES = ("model.safetensors", "pytorch_model.bin")
_MAX_BYTES = 1 << 20
_HUB, _FOLDER = "hf-hub", "local-dir"
# Hidden size of transformers' DINOv2 networks to timm's name of the same network.
_DINOV2 = {
    384: "vit_small_patch14_dinov2",
    768: "vit_base_patch14_dinov2",
    1024: "vit_large_patch14_dinov2",
}
# transformers' name of each argument that shapes the network, and timm's.
_ARGUMENTS = {
    "hidden_size": "embed_dim",
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "patch_size": "patch_size",
    "mlp_ratio": "mlp_ratio",
}
Getter = Callable[[str], Path | None]


def start_of(backbone: str) -> tuple[BackboneRecord, WeightSource]:
    """The architecture that a backbone's name stands for, and the weights of `--weights auto`.

    Args:
        backbone: registered, an architecture of timm, `hf-hub:OWNER/NAME`, or `local-dir:PATH`.

    Raises:
        SettingsError: the name is unknown, or the network cannot be explained.
        WeightsError: there is no such folder, or the hub cannot be reached.
    """
    kind, _, place = backbone.partition(":")
    if kind == _FOLDER:
        return _described(Path(place).expanduser(), f"{_FOLDER}:{Path(place).name}")
    if kind == _HUB:
        return _read(_hub_getter(place), backbone)
    record = backbone_record(backbone)
    return record, record.automatic


def hub_file(repository: str, name: str) -> Path:
    """A file of the Hugging Face hub, from its cache or over the network.

    Args:
        repository: `OWNER/NAME`, or `OWNER/NAME@REVISION`.
        name: of the file.

    Raises:
        WeightsError: it is neither cached nor can be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    # Its retries are many lines of news about one fact, which the error below tells.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    owner, _, revision = repository.partition("@")
    try:
        return Path(hf_hub_download(owner, name, revision=revision or None))
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        raise WeightsError(
            f"{name} of '{repository}' is not on this machine and the hub cannot be reached",
            remedy="where there is a network, fetch the repository from the Hugging Face hub, copy "
            "it here and name it local-dir:PATH",
        ) from error


def cached_hub_file(repository: str, name: str) -> Path | None:
    """A file of the hub that was downloaded before; None where it was not."""
    from huggingface_hub import try_to_load_from_cache

    owner, _, revision = repository.partition("@")
    found = try_to_load_from_cache(owner, name, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def _hub_getter(repository: str) -> Getter:
    def get(name: str) -> Path | None:
        try:
            return hub_file(repository, name)
        except WeightsError:
            # A repository has one of several files; only its description must be there.
            if name == _CONFIG:
                raise
            return None

    return get


def _described(folder: Path, name: str) -> tuple[BackboneRecord, WeightSource]:
    if not (folder / _CONFIG).is_file():
        raise WeightsError(
            f"holds no {_CONFIG}",
            path=folder,
            remedy="give a folder that timm or transformers saved a network in",
        )
    return _read(lambda file: folder / file if (folder / file).is_file() else None, name)


def _read(get: Getter, name: str) -> tuple[BackboneRecord, WeightSource]:
    path = get(_CONFIG)
    assert path is not None  # Both getters raise where there is none.
    described = _json(path)
    if "architecture" in described:
        record, source = _of_timm(described, path)
    elif described.get("model_type") == "dinov2":
        other = get("preprocessor_config.json")
        record, source = _of_dinov2(described, {} if other is None else _json(other), path)
    else:
        raise WeightsError(
            "describes neither a network of timm nor a DINOv2 network of transformers",
            path=path,
            remedy="choose another network",
        )
    file = next((found for each in _FILES if (found := get(each)) is not None), None)
    return record, replace(source, name=name, available=file is not None, file=file)


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size <= _MAX_BYTES:
            content = json.loads(path.read_text("utf-8"))
            if isinstance(content, dict):
                return content
    except (ValueError, RecursionError):
        pass
    raise WeightsError("is not a description in JSON", path=path, remedy="fetch it again")


def _of_timm(described: Mapping[str, Any], path: Path) -> tuple[BackboneRecord, WeightSource]:
    try:
        architecture = str(described["architecture"])
        options = dict(described.get("model_args") or {})
        options.pop("num_classes", None)
        source = weights_of(described.get("pretrained_cfg", described))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"has no usable '{error}' of its network", path=path, remedy="save the network again"
        ) from error
    options = checked_options(architecture, options)
    return backbone_record(architecture, options), replace(source, options=options)


def _of_dinov2(
    described: Mapping[str, Any], pictures: Mapping[str, Any], path: Path
) -> tuple[BackboneRecord, WeightSource]:
    """As the config's of `transformers.Dinov2Config`, whose defaults are those of ViT-B/14."""
    if described.get("use_swiglu_ffn"):
        raise WeightsError(
            "describes a DINOv2 network with a gated MLP, whose weights have other names",
            path=path,
            remedy="use the same network of timm, for example vit_giant_patch14_dinov2",
        )
    try:
        width = int(described.get("hidden_size", 768))
        options = {ours: described[name] for name, ours in _ARGUMENTS.items() if name in described}
        plain = {
            "mean": pictures.get("image_mean", (0.485, 0.456, 0.406)),
            "std": pictures.get("image_std", (0.229, 0.224, 0.225)),
        }
        source = replace(weights_of(plain), licence=AS_STATED, options=options)
    except (TypeError, ValueError) as error:
        raise WeightsError("holds values of another kind", path=path) from error
    name = _DINOV2.get(width, _DINOV2[768])
    return backbone_record(name, options), source
