"""Every method keeps the contract of the room."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from pneumoscope.errors import SettingsError
from pneumoscope.localize import METHODS, method_named, methods_for
from pneumoscope.localize.methods import MapFunction
from pneumoscope.localize.scorecam import scorecam
from pneumoscope.models.registry import BACKBONES
from tests.localize.networks import SIZE, films, old_objects_unseen, small, tensors_kept

PAIRS = [
    (method, backbone)
    for backbone in ("resnet18", "vit_b_16")
    for method in METHODS
    if BACKBONES[backbone].family in METHODS[method].families
] + [("layercam", "densenet121")]
POOLED = [pair for pair in PAIRS if METHODS[pair[0]].heads != ("regional",)]
SPECIFIC = [pair for pair in POOLED if METHODS[pair[0]].class_specific]
over_pairs = pytest.mark.parametrize(("method", "backbone"), PAIRS)


class _Broken(nn.Module):
    def forward(self, _: Tensor) -> Tensor:
        raise RuntimeError("broken head")


def function(name: str) -> MapFunction:
    """A method; Score-CAM with few channels, for it runs the network once for each."""
    few = functools.partial(scorecam, max_channels=6)
    return few if name == "scorecam" else METHODS[name].function


def head(name: str) -> str:
    """A head that the method works for."""
    return (METHODS[name].heads or ("mlp",))[-1]


def state(classifier: nn.Module) -> list[object]:
    """All that a method could leave behind on a module."""

    def each() -> Iterator[object]:
        for name, module in classifier.named_modules():
            hooks = [len(v) for k, v in vars(module).items() if k.endswith("_hooks")]
            yield name, module.training, hooks, getattr(module, "fused_attn", None)
        for name, parameter in classifier.named_parameters():
            yield name, parameter.requires_grad, parameter.grad is None, parameter._version

    return list(each())


def scaled(maps: Tensor) -> Tensor:
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-9)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_maps_of_every_backbone(backbone: str) -> None:
    classifier, pixels = small(backbone), films(2)
    with torch.no_grad():
        logits = classifier(pixels)
    for method in methods_for(classifier):
        found = function(method.name)(classifier, pixels, torch.tensor([1, 0]))
        finer = 2 if method.name == "layercam" else 1
        cells = finer * SIZE // classifier.record.stride
        assert found.maps.shape == (2, cells, cells), method.name
        assert found.maps.dtype == found.logits.dtype == torch.float32
        assert torch.isfinite(found.maps).all() and float(found.maps.min()) >= 0
        torch.testing.assert_close(found.logits, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "vit_b_16"])
def test_maps_of_a_regional_head(backbone: str) -> None:
    classifier, pixels = small(backbone, "regional"), films(2)
    with torch.no_grad():
        logits, cells = classifier(pixels), classifier.cells(pixels)
    names = set()
    for method in methods_for(classifier):
        found = function(method.name)(classifier, pixels, torch.tensor([1, 0]))
        assert found.maps.shape == cells.shape, method.name
        assert torch.isfinite(found.maps).all() and float(found.maps.min()) >= 0
        assert float(found.maps.max()) > 0
        torch.testing.assert_close(found.logits, logits, atol=1e-4, rtol=1e-4)
        names.add(method.name)
    assert {"regional", "gradcam", "scorecam"} <= names
    assert not names & {"layercam", "attention_rollout", "gradient_attention"}


@over_pairs
def test_a_batch_is_its_radiographs_one_by_one(method: str, backbone: str) -> None:
    classifier, pixels, explain = small(backbone, head(method)), films(3), function(method)
    targets = torch.tensor([0, 1, 1])
    batch = explain(classifier, pixels, targets)
    assert float(batch.maps.max()) > 0
    for index in range(3):
        single = explain(classifier, pixels[index : index + 1], int(targets[index]))
        mine, alone = scaled(batch.maps[index : index + 1]), scaled(single.maps)
        torch.testing.assert_close(mine, alone, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(batch.logits[index], single.logits[0], atol=1e-4, rtol=1e-4)


@over_pairs
def test_the_default_is_the_positive_class(method: str, backbone: str) -> None:
    classifier, pixels, explain = (
        copy.deepcopy(small(backbone, head(method))),
        films(3),
        function(method),
    )
    if head(method) == "mlp":
        weight = classifier.head[-1].weight  # type: ignore[index]
        with torch.no_grad():
            weight[0] = -weight[1]  # What speaks for one class speaks against the other.
    default = explain(classifier, pixels).maps
    torch.testing.assert_close(default, explain(classifier, pixels, 1).maps)
    same = torch.equal(default, explain(classifier, pixels, 0).maps)
    assert same is not METHODS[method].class_specific


@over_pairs
def test_works_where_gradients_are_off(method: str, backbone: str) -> None:
    classifier, pixels, explain = small(backbone, head(method)), films(1), function(method)
    expected = explain(classifier, pixels).maps
    with torch.no_grad():
        torch.testing.assert_close(explain(classifier, pixels).maps, expected)
    with torch.inference_mode():
        made_inside = pixels.clone()
        torch.testing.assert_close(explain(classifier, made_inside).maps.clone(), expected)
    with torch.autocast("cpu", torch.bfloat16):
        low = explain(classifier, pixels)
    assert low.maps.dtype == low.logits.dtype == torch.float32
    assert torch.isfinite(low.maps).all()
    frozen = copy.deepcopy(classifier).requires_grad_(False)
    torch.testing.assert_close(explain(frozen, pixels).maps, expected)


@over_pairs
def test_reads_uint8(method: str, backbone: str) -> None:
    classifier, explain = small(backbone, head(method)), function(method)
    levels = (films(1) * 255).round()
    found = explain(classifier, levels.to(torch.uint8)).maps
    torch.testing.assert_close(found, explain(classifier, levels / 255).maps, atol=1e-4, rtol=1e-3)


@over_pairs
def test_leaves_nothing_behind(method: str, backbone: str) -> None:
    # Not the shared one: what another method left on it would hide what this one leaves.
    with old_objects_unseen():
        classifier, pixels, explain = (
            small.__wrapped__(backbone, head(method)),
            films(1),
            function(method),
        )
        before = state(classifier)
        found = explain(classifier, pixels)
        assert not found.maps.requires_grad and not found.logits.requires_grad
        del found
        tensors = tensors_kept()
        assert tensors > 0
        for _ in range(3):
            explain(classifier, pixels)
        assert tensors_kept() <= tensors
    assert state(classifier) == before


@pytest.mark.parametrize(("method", "backbone"), POOLED)
def test_leaves_nothing_behind_when_the_head_fails(method: str, backbone: str) -> None:
    classifier = small.__wrapped__(backbone)
    classifier.head = _Broken().eval()
    before = state(classifier)
    with pytest.raises(RuntimeError, match="broken head"):
        function(method)(classifier, films(1))
    assert state(classifier) == before
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


@over_pairs
def test_leaves_nothing_behind_when_the_film_is_unfit(method: str, backbone: str) -> None:
    classifier = small.__wrapped__(backbone, head(method))
    before = state(classifier)
    with pytest.raises(RuntimeError, match="expanded size"):
        function(method)(classifier, films(1).expand(-1, 2, -1, -1))
    assert state(classifier) == before
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(("method", "backbone"), SPECIFIC)
def test_a_class_without_evidence_has_a_zero_map(method: str, backbone: str) -> None:
    classifier = copy.deepcopy(small(backbone))
    last = classifier.head[-1]  # type: ignore[index]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.3, -0.7]))
    found = function(method)(classifier, films(2))
    assert float(found.maps.abs().max()) == 0.0


@over_pairs
def test_training_mode_is_refused(method: str, backbone: str) -> None:
    classifier = copy.deepcopy(small(backbone, head(method))).train()
    with pytest.raises(ValueError, match=f"{method} needs the classifier in eval mode"):
        function(method)(classifier, films(1))


def test_names() -> None:
    for name, method in METHODS.items():
        assert method_named(name) is method and method.name == name
    with pytest.raises(SettingsError, match=r"'lime'. Choose one of gradcam, gradcam_plus_plus"):
        method_named("lime")


def test_methods_for_a_classifier() -> None:
    shared = {"gradcam", "gradcam_plus_plus", "hirescam", "scorecam", "eigencam"}
    for backbone, more in (
        ("resnet18", {"layercam"}),
        ("densenet121", {"layercam"}),
        ("vit_b_16", {"attention_rollout", "gradient_attention"}),
    ):
        names = {method.name for method in methods_for(small(backbone))}
        assert names >= shared | more
        assert not names & ({"layercam", "attention_rollout", "gradient_attention"} - more)


def test_a_method_may_ask_for_a_head() -> None:
    asking = dataclasses.replace(METHODS["gradcam"], heads=("linear",))
    assert asking.works_for(small("resnet18", "linear"))
    assert not asking.works_for(small("resnet18", "mlp"))


@pytest.mark.parametrize("method", ["attention_rollout", "gradient_attention"])
def test_attention_needs_a_transformer(method: str) -> None:
    with pytest.raises(SettingsError, match="resnet18 has none"):
        function(method)(small("resnet18"), films(1))
