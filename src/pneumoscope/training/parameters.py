"""Which parameters learn how fast, and which are pulled towards zero."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from pneumoscope.models.backbones import layer_order
from pneumoscope.models.classifier import Classifier
from pneumoscope.training.settings import TrainingSettings


def parameter_groups(
    classifier: Classifier, settings: TrainingSettings, heads: Iterable[nn.Module] = ()
) -> list[dict[str, Any]]:
    """The parameters that are trained, as groups for torch's optimizers.

    With `layer_decay` below 1 a layer's rate is that of the layer above times this (BEiT, arXiv
    2106.08254, appendix); timm says which parameters are of one layer. Heads have the full rate.

    Args:
        classifier: backbone and head.
        settings: of the run.
        heads: those of further findings on the same backbone.

    Raises:
        SettingsError: timm knows no order of this backbone's layers.
    """
    # Decay pulls weights of layers towards zero; of normalisation and bias it only distorts.
    # Adam's decay is the paper's and covers everything.
    spare = settings.optimizer == "adamw"
    below = {} if settings.layer_decay == 1 else _layers_above(classifier, settings.backbone)
    groups: dict[tuple[bool, int], list[nn.Parameter]] = {}
    further = [("", parameter) for head in heads for parameter in head.parameters()]
    for name, parameter in (*classifier.named_parameters(), *further):
        if parameter.requires_grad:
            undecayed = spare and parameter.ndim <= 1
            groups.setdefault((undecayed, below.get(name, 0)), []).append(parameter)
    return [
        {
            "params": groups[undecayed, depth],
            "weight_decay": 0.0 if undecayed else settings.weight_decay,
            "lr": settings.learning_rate * settings.layer_decay**depth,
        }
        for undecayed, depth in sorted(groups)
    ]


def _layers_above(classifier: Classifier, backbone: str) -> dict[str, int]:
    """How many layers, the head among them, are above each parameter of the backbone, by name."""
    network = classifier.backbone.network
    layers = layer_order(network, backbone)
    last = max(layers.values())
    prefix = next(name for name, module in classifier.named_modules() if module is network)
    return {f"{prefix}.{name}": last + 1 - layer for name, layer in layers.items()}
