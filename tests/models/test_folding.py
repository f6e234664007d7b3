"""A folded classifier answers as the one it was made from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.folding import folded
from pneumoscope.models.registry import BACKBONES, HALF

SIZE = 64
SMALLER: dict[str, dict[str, Any]] = {
    "densenet121": {"block_config": (3, 3, 3, 3)},
    "resnet18": {"channels": (16, 32, 48, 64)},
    "resnet50": {"channels": (16, 32, 48, 64), "layers": (2, 1, 1, 1)},
    "vit_b_16": {"depth": 3, "embed_dim": 48, "num_heads": 3},
}


def trained_like(backbone: str, head: str) -> Classifier:
    """Random weights, normalisations that do something; float64, where rounding is no excuse."""
    torch.manual_seed(2)
    options = SMALLER.get(backbone, {})
    classifier = Classifier(Architecture(backbone, head, SIZE, HALF, HALF, options)).eval()
    for module in classifier.modules():
        if isinstance(module, _BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return classifier.double()


def films() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (2, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator)


CASES = [(backbone, "linear") for backbone in BACKBONES]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head"), [*CASES, ("mobilenet_v2", "regional")])
def test_answers_are_the_same(backbone: str, head: str) -> None:
    classifier = trained_like(backbone, head)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    quick = folded(classifier)
    with torch.no_grad():
        torch.testing.assert_close(quick.features(films()), classifier.features(films()))
        torch.testing.assert_close(quick(films()), classifier(films()))
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, before[name])


def norms(classifier: Classifier) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in classifier.modules())


@pytest.mark.parametrize(
    ("backbone", "left"),
    # DenseNet normalises concatenated maps, which no single convolution makes.
    [("resnet18", 0), ("mobilenet_v3", 0), ("efficientnet_lite0", 0), ("densenet121", 16)],
)
def test_normalisations_behind_convolutions_are_gone(backbone: str, left: int) -> None:
    classifier = trained_like(backbone, "linear")
    assert norms(classifier) > left
    assert norms(folded(classifier)) == left


def test_what_does_not_change_is_shared() -> None:
    classifier = trained_like("mobilenet_v3", "mlp")
    own = {id(parameter) for parameter in classifier.parameters()}
    head = folded(classifier).head
    assert all(id(parameter) in own for parameter in head.parameters())
    transformer = trained_like("vit_b_16", "linear")
    assert folded(transformer) is transformer


def test_outputs_written_into_are_left_alone() -> None:
    """An activation in between that overwrites the convolution's output."""
    classifier = trained_like("resnet18", "linear")
    network = classifier.backbone.network
    network.get_submodule("conv1").register_forward_hook(lambda _layer, _inputs, out: out.relu_())
    quick = folded(classifier)
    assert isinstance(quick.backbone.network.get_submodule("bn1"), nn.BatchNorm2d)
    with torch.no_grad():
        torch.testing.assert_close(quick(films()), classifier(films()))


def test_training_mode_is_refused() -> None:
    classifier = trained_like("resnet18", "linear").train()
    with pytest.raises(ValueError, match="eval mode"):
        folded(classifier)


def test_a_copy_made_in_inference_mode_can_be_differentiated() -> None:
    classifier = trained_like("resnet18", "linear")
    with torch.inference_mode():
        quick = folded(classifier)
    features = quick.features(films())
    assert quick.classify(features).requires_grad
