"""Groups of parameters: decay, and rates that fall from layer to layer."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from pneumoscope.training.parameters import parameter_groups
from pneumoscope.training.settings import make_settings


def rates(classifier: Classifier, **chosen: object) -> dict[str, float]:
    """The learning rate of each parameter by name."""
    groups = parameter_groups(classifier, make_settings(**chosen))  # type: ignore[arg-type]
    by_id = {id(one): group["lr"] for group in groups for one in group["params"]}
    return {name: by_id[id(one)] for name, one in classifier.named_parameters()}


def test_without_layer_decay_all_learn_alike_and_norms_do_not_decay() -> None:
    classifier = Classifier(Architecture("resnet18", "linear", 64, HALF, HALF))
    decayed, spared = parameter_groups(classifier, make_settings(learning_rate=3e-4))
    assert decayed["lr"] == spared["lr"] == 3e-4
    assert decayed["weight_decay"] == 0.02 and spared["weight_decay"] == 0
    assert all(one.ndim > 1 for one in decayed["params"])
    assert all(one.ndim <= 1 for one in spared["params"])
    every = decayed["params"] + spared["params"]
    assert {id(one) for one in every} == {id(one) for one in classifier.parameters()}
    (alone,) = parameter_groups(classifier, make_settings("paper"))
    assert len(alone["params"]) == len(every) and alone["weight_decay"] == 1e-4


@pytest.mark.parametrize("backbone", ["vit_b_16", "resnet18", "convnext_tiny"])
def test_rates_fall_from_the_head_to_the_stem(backbone: str) -> None:
    with torch.device("meta"):
        classifier = Classifier(Architecture(backbone, "linear", 64, HALF, HALF))
    found = rates(classifier, learning_rate=1e-3, layer_decay=0.5)
    network = {k: v for k, v in found.items() if k.startswith("backbone.")}
    head = {v for k, v in found.items() if not k.startswith("backbone.")}
    assert head == {1e-3} and max(network.values()) < 1e-3
    exponents = {round(float(torch.log2(torch.tensor(1e-3 / v))), 4) for v in network.values()}
    assert all(one == int(one) for one in exponents)
    first = next(iter(network))  # The stem, the patch embedding or a token beside it.
    assert network[first] == min(network.values())
    if backbone == "vit_b_16":
        blocks = [found[f"backbone.network.blocks.{i}.attn.qkv.weight"] for i in range(12)]
        assert all(above == pytest.approx(2 * below) for below, above in pairwise(blocks))


def test_frozen_parameters_are_in_no_group() -> None:
    classifier = Classifier(Architecture("resnet18", "linear", 64, HALF, HALF))
    kept = next(classifier.backbone.parameters()).requires_grad_(False)
    groups = parameter_groups(classifier, make_settings(layer_decay=0.7))
    assert all(one is not kept for group in groups for one in group["params"])
