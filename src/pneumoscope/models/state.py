"""State dicts of other programs: read without unpickling code, their names put into timm's."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from pneumoscope.errors import WeightsError

State = Mapping[str, Tensor]
_PREFIXES = (
    "module.", "_orig_mod.", "model.", "backbone.network.", "backbone.", "network.",
    "state_dict.", "net.", "base_model.", "feature_extractor.",
)  # fmt: skip
# Classifiers of ImageNet networks, replaced by our head.
_HEADS = ("fc.", "classifier.", "head.fc.", "head.weight", "head.bias", "head_dist.", "heads.")
_FORMATS = (
    "give a .safetensors file or a torch state dict of plain tensors; where the file is trusted, "
    "torch.save(network.state_dict(), PATH) makes one of a pickled network"
)
_DICTIONARIES = ("state_dict", "model_state_dict", "model", "model_state", "net", "teacher")


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
    while isinstance(loaded, Mapping):
        inner = next((loaded[n] for n in _DICTIONARIES if isinstance(loaded.get(n), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError("holds no state dict", path=path, remedy=_FORMATS)
    return dict(loaded)


def load_backbone(network: nn.Module, state: State, path: Path, *, in_order: bool = False) -> None:
    """Load a backbone's tensors; arguments and errors as of `fitting_state`."""
    fitting = fitting_state(network, state, path, in_order=in_order)
    network.load_state_dict(fitting, strict=False)


def fitting_state(
    network: nn.Module, state: State, path: Path, *, in_order: bool = False
) -> dict[str, Tensor]:
    """A file's tensors under the network's names, without the file's own classifier.

    Args:
        network: of timm, also on the device `meta`; layers that it lacks are left out of the file.
        state: with timm's names; those of torchvision, TorchXRayVision or transformers' DINOv2; or
            what timm itself converts.
        path: of the file, for errors.
        in_order: the tensors match the network's by position rather than by name.

    Raises:
        WeightsError: a tensor is missing or has another shape.
    """
    target = network.state_dict()
    tries = [_by_order] if in_order else [_by_name, _by_timm, _by_timm_of_known, _by_order_of_peer]
    problem = ""
    for fitting in tries:
        found = _gray_to_rgb(target, fitting(network, state))
        missing = [k for k in target if k not in found and not k.endswith("num_batches_tracked")]
        wrong = [k for k, v in found.items() if v.shape != target[k].shape]
        if not missing and not wrong:
            return {k: v.to(target[k].dtype) for k, v in found.items()}
        problem = problem or (
            f"does not fit the architecture: {len(missing)} tensors missing and {len(wrong)} "
            f"of another shape, the first '{(missing or wrong)[0]}'"
        )
    raise WeightsError(problem, path=path, remedy="check that the file belongs to this backbone")


def is_gray(state: State) -> bool:
    """Whether a network was made for images of one channel."""
    first = next((tensor for tensor in state.values() if tensor.ndim == 4), None)
    return first is not None and first.shape[1] == 1


def _by_name(network: nn.Module, state: State) -> dict[str, Tensor]:
    target, found = network.state_dict(), {}
    for key, value in _translated(state).items():
        name = _stripped(key, lambda name: name in target)
        if name in found:  # Two networks in one file.
            return {}
        if name in target and not name.startswith(_HEADS):
            found[name] = value
    return found


def _stripped(name: str, known: Callable[[str], bool]) -> str:
    while not known(name):
        prefix = next((each for each in _PREFIXES if name.startswith(each)), None)
        if prefix is None:
            break
        name = name.removeprefix(prefix)
    return name


def _by_timm(network: nn.Module, state: State) -> dict[str, Tensor]:
    """What timm makes of a file: other names, and position tables of another input size."""
    return _filtered(network, {_stripped(k, lambda _: False): v for k, v in state.items()})


def _by_timm_of_known(network: nn.Module, state: State) -> dict[str, Tensor]:
    """As `_by_timm`, of the tensors that the network has; its last layers may be pruned."""
    return _filtered(network, _by_name(network, state))


def _filtered(network: nn.Module, state: State) -> dict[str, Tensor]:
    convert: Any = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return {}
    try:
        with torch.no_grad():
            return _by_name(network, convert(dict(state), network))
    # It takes the names of its own files for granted.
    except Exception:
        return {}


def _by_order(network: nn.Module, state: State) -> dict[str, Tensor]:
    def counted(tensors: Mapping[str, Any]) -> list[str]:
        return [key for key in tensors if not key.endswith("num_batches_tracked")]

    # The file's classifier comes last, so pairing stops before it.
    target = counted(network.state_dict())
    return {key: state[other] for key, other in zip(target, counted(state), strict=False)}


def _by_order_of_peer(network: nn.Module, state: State) -> dict[str, Tensor]:
    """torchvision's EfficientNet and MobileNet-V2 have timm's tensors in timm's order."""
    plain = {_stripped(k, lambda name: name.startswith("features.")): v for k, v in state.items()}
    if not isinstance(network, EfficientNet) or "features.0.0.weight" not in plain:
        return {}
    return _by_order(network, plain)


def _gray_to_rgb(target: State, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """A first convolution for one channel as one for three equal channels: each has a third."""
    for name, value in found.items():
        wanted = target[name].shape
        if value.ndim == 4 and value.shape[1] == 1 and wanted[1] == 3:
            found[name] = value.expand(-1, 3, -1, -1) / 3
    return found


def _translated(state: State) -> State:
    if any(key.endswith("embeddings.patch_embeddings.projection.weight") for key in state):
        return _from_transformers(state)
    if any(key.endswith("self_attention.in_proj_weight") for key in state):
        return {_renamed(key, _TORCHVISION_VIT): value for key, value in state.items()}
    return state


# transformers' Dinov2Model and timm's VisionTransformer.
_DINOV2 = (
    (r"^(.*\.)?embeddings\.", ""),
    (r"^(.*\.)?encoder\.layer\.", "blocks."),
    (r"^(.*\.)?layernorm\.", "norm."),
    (r"position_embeddings", "pos_embed"),
    (r"patch_embeddings\.projection", "patch_embed.proj"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
)
# torchvision's VisionTransformer.
_TORCHVISION_VIT = (
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^class_token", "cls_token"),
    (r"^encoder\.pos_embedding", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_", "blocks."),
    (r"^encoder\.ln\.", "norm."),
    (r"\.ln_(\d)\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(?:linear_1|0)\.", ".mlp.fc1."),
    (r"\.mlp\.(?:linear_2|3)\.", ".mlp.fc2."),
)


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def _from_transformers(state: State) -> dict[str, Tensor]:
    """Queries, keys and values, which transformers keeps apart, in one tensor as timm has them."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _renamed(key, _DINOV2)
        match = re.fullmatch(r"(blocks\.\d+)\.attention\.attention\.(query|key|value)\.(\w+)", name)
        if match is None:
            found[name] = value
        elif match[2] == "query":
            others = (key.replace(".query.", f".{part}.") for part in ("key", "value"))
            parts = [value, *(state[other] for other in others if other in state)]
            found[f"{match[1]}.attn.qkv.{match[3]}"] = torch.cat(parts)
    return found
