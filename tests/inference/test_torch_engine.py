"""The engine with torch runs a quicker form of the bundle's classifier, with the same answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo
from pneumoscope.errors import SettingsError
from pneumoscope.inference import RANDOMISED, torch_engine
from pneumoscope.inference.torch_engine import TorchEngine
from pneumoscope.localize import method_named
from pneumoscope.models import precision
from pneumoscope.models.classifier import Classifier, positive_logit
from tests.audit.engines import info
from tests.localize import networks


def described(classifier: Classifier) -> BundleInfo:
    """A bundle's description with the name of this classifier's backbone."""
    own = info()
    record = own.architecture.model_copy(update={"backbone": classifier.record.name})
    return own.model_copy(update={"architecture": record})


def films() -> NDArray[np.uint8]:
    """More than a CPU computes at once in one thread."""
    return (255 * networks.films(6)[:, 0]).to(torch.uint8).numpy()


@pytest.mark.parametrize("backbone", ["densenet121", "mobilenet_v2", "vit_b_16"])
def test_answers_are_the_classifiers(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    classifier = networks.small(backbone)
    engine = TorchEngine(described(classifier), classifier)
    pixels = torch.from_numpy(films())[:, None]
    names = [name for name in engine.methods if name != "scorecam"]
    found = engine.run(films(), names)
    for name in names:
        expected = method_named(name).function(classifier, pixels)
        logits = positive_logit(expected.logits).numpy()
        np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-5)
        maps = expected.maps.numpy()
        np.testing.assert_allclose(found.maps[name], maps, rtol=1e-3, atol=1e-4 * maps.max())
    assert engine.classifier is classifier


def test_a_classifier_can_be_run_without_a_heatmap_or_drawn_anew() -> None:
    classifier = networks.small("resnet18")
    engine = TorchEngine(described(classifier), classifier)
    alone, drawn = engine.run(films(), []), engine.run(films(), ["gradcam", RANDOMISED])
    np.testing.assert_allclose(alone.logits, drawn.logits, rtol=1e-5)
    assert np.abs(drawn.maps["gradcam"] - drawn.maps[RANDOMISED]).max() > 1e-3


def test_bfloat16_needs_a_machine_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = networks.small("resnet18")
    monkeypatch.setattr(torch_engine, "has_bfloat16", lambda: False)
    with pytest.raises(SettingsError, match="does not compute in bfloat16"):
        TorchEngine(described(classifier), classifier, "bfloat16")
    monkeypatch.setattr(torch_engine, "has_bfloat16", lambda: True)  # Imitated, if need be.
    reduced = TorchEngine(described(classifier), classifier, "bfloat16")
    assert str(reduced.runtime) == "torch bfloat16"
    exact = TorchEngine(described(classifier), classifier).run(films(), ["gradcam"])
    found = reduced.run(films(), ["gradcam"])
    assert 0 < np.abs(found.logits - exact.logits).max() < 0.1
    one, other = found.maps["gradcam"].ravel(), exact.maps["gradcam"].ravel()
    assert np.corrcoef(one, other)[0, 1] > 0.98


@pytest.mark.parametrize("instructions", [{"avx2": True}, {"avx512_f": True, "amx_bf16": False}])
def test_what_counts_as_bfloat16(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert not precision.has_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**instructions, "amx_bf16": True})
    assert precision.has_bfloat16()
