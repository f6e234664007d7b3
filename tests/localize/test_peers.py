"""Each method is what its paper says: against pytorch-grad-cam, closed forms and plain loops."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pneumoscope.errors import SettingsError
from pneumoscope.localize import METHODS
from pneumoscope.localize.eigencam import eigencam
from pneumoscope.localize.gradcam_plus_plus import gradcam_plus_plus
from pneumoscope.localize.layercam import _restarted, layercam
from pneumoscope.localize.scorecam import scorecam
from pneumoscope.models.classifier import Classifier
from tests.localize.networks import SIZE, films, small

LAST_LAYER = {
    "resnet18": "layer4.1",
    "densenet121": "features.denseblock4",
    "efficientnet_lite0": "bn2",
    "vit_b_16": "blocks.2.norm1",
}
PEERS = {
    "gradcam": "GradCAM",
    "gradcam_plus_plus": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "scorecam": "ScoreCAM",
}
Maps = NDArray[np.float32]


class _Whole(nn.Module):
    """Normalised images to logits through the whole network, as a peer would run it."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.head(self.classifier.backbone.network(images))  # type: ignore[no-any-return]


def drop_class_token(tokens: Tensor) -> Tensor:
    cells = SIZE // 16
    return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, cells, cells)


def peer_maps(
    peer: str, classifier: Classifier, pixels: Tensor, target: int, layers: list[str]
) -> list[Maps]:
    """A peer's raw maps (B, h, w), one for each layer, before it enlarges and merges them."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network = classifier.backbone.network
    targets = [ClassifierOutputTarget(target)] * len(pixels)
    raw: list[Maps] = []
    reshape = drop_class_token if classifier.record.family == "tokens" else None
    base: Any = getattr(pytorch_grad_cam, peer)

    class Keeping(base):  # type: ignore[misc]
        def get_cam_image(self, *arguments: object) -> Maps:
            raw.append(super().get_cam_image(*arguments))
            return raw[-1]

    modules = [network.get_submodule(layer) for layer in layers]
    model = _Whole(copy.deepcopy(classifier)) if peer == "ScoreCAM" else _Whole(classifier)
    if peer == "ScoreCAM":
        modules = [model.classifier.backbone.network.get_submodule(layer) for layer in layers]
    with Keeping(model, modules, reshape_transform=reshape) as cam:
        cam(input_tensor=classifier.normalise(pixels).contiguous(), targets=targets)
    classifier.zero_grad(set_to_none=True)
    return raw


def agree(ours: Tensor, theirs: Maps) -> int:
    """Compare maps of a batch, and count the ones that hold evidence."""
    compared = 0
    for mine, peer in zip(ours.numpy(), np.maximum(theirs, 0), strict=True):
        if peer.max() <= 0:
            assert mine.max() <= 0
            continue
        assert np.corrcoef(mine.ravel(), peer.ravel())[0, 1] >= 0.999
        compared += 1
    return compared


@pytest.mark.parametrize("backbone", LAST_LAYER)
@pytest.mark.parametrize("method", ["gradcam", "gradcam_plus_plus", "hirescam", "layercam"])
def test_agrees_with_pytorch_grad_cam(method: str, backbone: str) -> None:
    classifier, pixels = small(backbone), films(3)
    compared = 0
    for target in (0, 1):
        (theirs,) = peer_maps(PEERS[method], classifier, pixels, target, [LAST_LAYER[backbone]])
        if method == "layercam":
            ours = layercam(classifier, pixels, target, stages=1).maps
        else:
            ours = METHODS[method].function(classifier, pixels, target).maps
        compared += agree(ours, theirs)
    assert compared >= 2


@pytest.mark.parametrize("backbone", ["resnet18", "vit_b_16"])
def test_scorecam_with_all_channels_agrees_with_pytorch_grad_cam(backbone: str) -> None:
    classifier, pixels = small(backbone), films(1)
    (theirs,) = peer_maps("ScoreCAM", classifier, pixels, 1, [LAST_LAYER[backbone]])
    ours = scorecam(classifier, pixels, 1, max_channels=10_000).maps
    assert agree(ours, theirs) == 1


@pytest.mark.parametrize("backbone", LAST_LAYER)
def test_eigencam_is_the_peers_component_turned_towards_the_target(backbone: str) -> None:
    classifier, pixels = small(backbone), films(3)
    (theirs,) = peer_maps("EigenCAM", classifier, pixels, 1, [LAST_LAYER[backbone]])
    compared = 0
    for target in (0, 1):
        ours = eigencam(classifier, pixels, target).maps
        for mine, peer in zip(ours.numpy(), theirs, strict=True):
            turned = [
                np.corrcoef(mine.ravel(), np.maximum(sign * peer, 0).ravel())[0, 1]
                for sign in (1, -1)
            ]
            assert max(turned) >= 0.999
            compared += 1
    assert compared == 6


def test_eigencam_turns_with_the_score() -> None:
    classifier = copy.deepcopy(small("resnet18", "linear"))
    pixels = films(2)
    before = eigencam(classifier, pixels).maps
    with torch.no_grad():
        # The cells where the component is strong are the ones whose score is high.
        scores = (classifier.features(pixels) * classifier.head[-1].weight[1][:, None, None]).sum(1)  # type: ignore[index]
        classifier.head[-1].weight.neg_()  # type: ignore[index]
    after = eigencam(classifier, pixels).maps
    for index in range(2):
        first, last = before[index].ravel(), after[index].ravel()
        assert float((first * last).max()) == 0.0 and float(first.max()) > 0 < float(last.max())
        assert torch.dot(first - last, scores[index].ravel() - scores[index].mean()) > 0


def test_gradcam_plus_plus_by_its_closed_form() -> None:
    # Behind average pooling and one layer, d y / d A_k is w_k / cells in every cell of channel k.
    classifier, pixels = copy.deepcopy(small("resnet18", "linear")), films(2)
    layer = classifier.head[-1]  # type: ignore[index]
    with torch.no_grad():
        layer.weight.mul_(1e-3)  # Where peers' constants rule.
        features = classifier.features(pixels).double().numpy()
    slope = layer.weight[1].detach().double().numpy() / features[0, 0].size
    for feature, ours in zip(features, gradcam_plus_plus(classifier, pixels).maps, strict=True):
        alpha = slope**2 / (2 * slope**2 + feature.sum(axis=(1, 2)) * slope**3)
        weights = feature[0].size * alpha * np.maximum(slope, 0)
        expected = np.maximum(np.einsum("k,khw->hw", weights, feature), 0)
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ("resnet18", ["layer2", "layer3", "layer4"]),
        ("densenet121", ["features.denseblock3", "features.denseblock4"]),
        ("efficientnet_lite0", ["blocks.4", "bn2"]),
    ],
)
def test_layercam_fuses_the_peers_stages(backbone: str, layers: list[str]) -> None:
    classifier, pixels = small(backbone), films(2)
    raw = peer_maps("LayerCAM", classifier, pixels, 1, layers)
    size = raw[0].shape[1:]
    expected = torch.zeros(2, *size)
    for each in raw:
        tensor = torch.from_numpy(np.maximum(each, 0))[:, None]
        fine = nn.functional.interpolate(tensor, size=size, mode="bilinear")[:, 0]
        expected = torch.maximum(expected, fine / fine.amax(dim=(1, 2), keepdim=True))
    ours = layercam(classifier, pixels, 1, stages=len(layers)).maps
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)


def test_layercam_keeps_stages_that_are_overwritten() -> None:
    stage = nn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        stage.weight.fill_(-2)
    with _restarted([stage]) as outputs:
        result = nn.Sequential(stage, nn.ReLU(inplace=True))(torch.ones(1, 1, 1, 1))
    assert float(result.detach()) == 0
    assert float(outputs[0].detach()) == -2
    assert outputs[0].is_leaf and result.requires_grad


def test_layercam_knows_how_many_stages_there_are() -> None:
    for backbone, stages, known in (("resnet18", 6, 5), ("resnet18", 0, 5), ("vit_b_16", 2, 1)):
        with pytest.raises(SettingsError, match=f"from 1 to {known} stages"):
            layercam(small(backbone), films(1), stages=stages)


def test_scorecam_tries_the_channels_that_vary_most() -> None:
    classifier, pixels = small("resnet18", "linear"), films(1)
    with torch.no_grad():
        evidence = classifier.features(pixels)[0].numpy()
        image = classifier.normalise(pixels)[0]
    best = np.argsort(-evidence.reshape(len(evidence), -1).std(axis=1))[:3]
    scores = []
    for channel in best:
        enlarge = nn.UpsamplingBilinear2d(size=(SIZE, SIZE))
        mask = enlarge(torch.from_numpy(evidence[channel])[None, None])[0, 0]
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        with torch.no_grad():
            scores.append(float(_Whole(classifier)((image * mask)[None])[0, 1]))
    weights = np.exp(scores) / np.exp(scores).sum()
    expected = np.maximum(np.einsum("k,khw->hw", weights, evidence[best]), 0)
    ours = scorecam(classifier, pixels, max_channels=3).maps[0].numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-6)
    with pytest.raises(ValueError, match="max_channels must be at least 1"):
        scorecam(classifier, pixels, max_channels=0)


def plain_attention(classifier: Classifier, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and each block's attention (B, heads, tokens, tokens), written out in full."""
    network: Any = classifier.backbone.network
    images = classifier.normalise(pixels)
    patches = network.patch_embed.proj(images).flatten(2).transpose(1, 2)
    tokens = torch.cat([network.cls_token.expand(len(images), -1, -1), patches], dim=1)
    tokens = tokens + network.pos_embed
    attentions = []
    for block in network.blocks:
        layer, normed = block.attn, block.norm1(tokens)
        heads = []
        for query, key, value in zip(
            *(
                part.split(layer.head_dim, dim=2)
                for part in layer.qkv(normed).split(normed.shape[2], dim=2)
            ),
            strict=True,
        ):
            weights = torch.softmax(query @ key.transpose(1, 2) / layer.head_dim**0.5, dim=2)
            heads.append((weights, value))
        stacked = torch.stack([weights for weights, _ in heads], dim=1)
        attentions.append(stacked)
        mixed = torch.cat([stacked[:, index] @ v for index, (_, v) in enumerate(heads)], dim=2)
        tokens = tokens + layer.proj(mixed)
        tokens = tokens + block.mlp(block.norm2(tokens))
    return classifier.head(network.norm(tokens)[:, 0]), attentions


def on_grid(row: NDArray[np.float64]) -> NDArray[np.float64]:
    cells = SIZE // 16
    return row[1:].reshape(cells, cells)


def test_rollout_is_the_product_of_the_blocks() -> None:
    classifier, pixels = small("vit_b_16"), films(2)
    with torch.no_grad():
        logits, attentions = plain_attention(classifier, pixels)
    found = METHODS["attention_rollout"].function(classifier, pixels)
    torch.testing.assert_close(found.logits, logits, atol=1e-4, rtol=1e-4)
    for index in range(2):
        flow = np.eye(attentions[0].shape[-1])
        for attention in attentions:
            mean = attention[index].double().numpy().mean(axis=0)
            mixed = mean + np.eye(len(mean))
            flow = (mixed / mixed.sum(axis=1, keepdims=True)) @ flow
        expected = on_grid(flow[0])
        assert expected.max() > 1.5 * expected.min()  # Otherwise there would be little to compare.
        np.testing.assert_allclose(
            found.maps[index].numpy(), expected - expected.min(), rtol=1e-3, atol=1e-6
        )


def test_gradient_attention_is_the_papers_recursion() -> None:
    classifier, pixels = small("vit_b_16"), films(2)
    for target in (0, 1):
        logits, attentions = plain_attention(classifier, pixels)
        gradients = torch.autograd.grad(logits[:, target].sum(), attentions)
        found = METHODS["gradient_attention"].function(classifier, pixels, target).maps.numpy()
        for index in range(2):
            relevance = np.eye(attentions[0].shape[-1])
            for attention, gradient in zip(attentions, gradients, strict=True):
                product = (attention * gradient)[index].detach().double().numpy()
                relevance = relevance + np.maximum(product, 0).mean(axis=0) @ relevance
            expected = on_grid(relevance[0])
            scale = expected.max()
            np.testing.assert_allclose(found[index] / scale, expected / scale, rtol=1e-2, atol=1e-4)


def test_even_attention_tells_no_place_from_another() -> None:
    classifier = copy.deepcopy(small("vit_b_16"))
    blocks = classifier.backbone.network.blocks
    with torch.no_grad():
        for block in blocks:  # type: ignore[union-attr]
            block.attn.qkv.weight.zero_()
            block.attn.qkv.bias.zero_()
    found = METHODS["attention_rollout"].function(classifier, films(1))
    assert float(found.maps.max()) < 1e-6  # What a radiograph's heatmap takes for no evidence.
