"""Grad-CAM through the head alone is Grad-CAM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pneumoscope.imaging import Letterbox
from pneumoscope.localize import gradcam
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import BACKBONES, HALF
from tests.localize.networks import old_objects_unseen, tensors_kept

SIZE = 96
# A transformer's position table is as large as its input, so the size is a multiple of 32 for all.


def build(name: str) -> Classifier:
    torch.manual_seed(1)
    return Classifier(Architecture(name, "mlp", SIZE, HALF, HALF)).eval()


def films(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 1, 6, 6, generator=generator)
    return nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)


def reference_layer(classifier: Classifier) -> nn.Module:
    """The layer that somebody would name to pytorch-grad-cam, by the paper's table."""
    names = {
        "resnet18": "layer4.1",
        "resnet50": "layer4.2",
        "densenet121": "features.denseblock4",
        "vit_b_16": "blocks.11.norm1",
        "mobilenet_v3": "blocks.6",
    }
    return classifier.backbone.network.get_submodule(names.get(classifier.record.name, "bn2"))


class _Whole(nn.Module):
    """Normalised images to logits through the whole network, as a peer would run it."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.head(self.classifier.backbone.network(images))  # type: ignore[no-any-return]


def peer_maps(classifier: Classifier, pixels: Tensor, target: int) -> NDArray[np.float32]:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cells = SIZE // 16

    def drop_class_token(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, cells, cells)

    is_vit = classifier.record.family == "tokens"
    with GradCAM(
        model=_Whole(classifier),
        target_layers=[reference_layer(classifier)],
        reshape_transform=drop_class_token if is_vit else None,
    ) as cam:
        return cam(  # type: ignore[no-any-return]
            input_tensor=classifier.normalise(pixels).contiguous(),
            targets=[ClassifierOutputTarget(target)] * len(pixels),
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_agrees_with_pytorch_grad_cam(name: str) -> None:
    classifier, pixels = build(name), films(3)
    letterbox = Letterbox.fit(SIZE, SIZE, SIZE)
    compared = 0
    for target in (0, 1):
        ours = gradcam(classifier, pixels, target)
        theirs = peer_maps(classifier, pixels, target)
        for mine, peer in zip(ours.maps.numpy(), theirs, strict=True):
            film = letterbox.to_film(mine)
            if np.ptp(film) < 1e-7 * max(float(film.max()), 1e-12) or np.ptp(peer) == 0:
                continue  # No evidence for this class: there is nothing to correlate.
            assert np.corrcoef(film.ravel(), peer.ravel())[0, 1] >= 0.999
            compared += 1
    assert compared >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_a_batch_is_its_radiographs_one_by_one(name: str) -> None:
    classifier, pixels = build(name), films(4)
    targets = torch.tensor([0, 1, 1, 0])
    batch = gradcam(classifier, pixels, targets)
    for index in range(4):
        single = gradcam(classifier, pixels[index : index + 1], int(targets[index]))
        scale = float(batch.maps[index].max()) + 1e-9
        torch.testing.assert_close(
            batch.maps[index] / scale, single.maps[0] / scale, atol=1e-4, rtol=1e-3
        )
        torch.testing.assert_close(batch.logits[index], single.logits[0], atol=1e-4, rtol=1e-4)


def test_works_where_gradients_are_off() -> None:
    classifier, pixels = build("resnet18"), films(1)
    expected = gradcam(classifier, pixels).maps
    with torch.no_grad():
        torch.testing.assert_close(gradcam(classifier, pixels).maps, expected)
    with torch.inference_mode():
        torch.testing.assert_close(gradcam(classifier, pixels).maps.clone(), expected)
    with torch.autocast("cpu", torch.bfloat16):
        low = gradcam(classifier, pixels).maps
    assert low.dtype == torch.float32 and torch.isfinite(low).all()


def test_leaves_nothing_behind() -> None:
    with old_objects_unseen():
        classifier, pixels = build("resnet18"), films(2)
        gradcam(classifier, pixels)
        before = tensors_kept()
        for _ in range(20):
            gradcam(classifier, pixels)
        assert 0 < tensors_kept() <= before
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in classifier.modules())
    assert not classifier.training


def test_a_class_without_evidence_has_a_zero_map() -> None:
    classifier, pixels = build("resnet18"), films(1)
    with torch.no_grad():
        for parameter in classifier.head.parameters():
            parameter.zero_()
    assert float(gradcam(classifier, pixels).maps.abs().max()) == 0.0


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval mode"):
        gradcam(build("resnet18").train(), films(1))
