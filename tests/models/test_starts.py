"""Checkpoints of other programs: after loading, timm's network answers as the program's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models as peers
from safetensors.torch import save_file
from torch import Tensor, nn

from pneumoscope.errors import WeightsError
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.weights import pretrained_classifier

SIZE = 64


def lively(network: nn.Module) -> nn.Module:
    """Statistics and scales as training leaves them, so that no layer is a mere identity."""
    torch.manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def saved(state: dict[str, Tensor], path: Path) -> str:
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return str(path)


def answers(classifier: Classifier, images: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = classifier.eval().backbone.network(images)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "build", "prefix"),
    [
        ("resnet18", peers.resnet18, ""),
        ("resnet18", peers.resnet18, "model."),
        ("resnet34", peers.resnet34, "module.backbone."),
        ("densenet121", peers.densenet121, ""),
        ("efficientnet_b0", peers.efficientnet_b0, "module."),
        ("mobilenet_v2", peers.mobilenet_v2, "model."),
    ],
)
def test_torchvision(
    name: str, build: Callable[..., nn.Module], prefix: str, tmp_path: Path
) -> None:
    peer = lively(build(num_classes=3))
    state = {f"{prefix}{key}": value for key, value in peer.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "peer.pth")
    classifier, record = pretrained_classifier(name, "linear", SIZE, str(tmp_path / "peer.pth"))
    images = torch.rand(2, 3, SIZE, SIZE)
    found = answers(classifier, images)
    last: Any = peer.fc if hasattr(peer, "fc") else peer.classifier
    with torch.inference_mode():
        head = last if isinstance(last, nn.Linear) else last[-1]
        torch.testing.assert_close(head(found), peer(images), atol=1e-5, rtol=1e-4)
    assert record.name == "peer.pth"


def test_torchvisions_vision_transformer(tmp_path: Path) -> None:
    peer: Any = peers.VisionTransformer(SIZE, 16, 12, 3, 48, 192, num_classes=3).eval()
    torch.manual_seed(4)
    for parameter in peer.parameters():
        parameter.data.normal_(std=0.1)
    from pneumoscope.models.backbones import build_backbone
    from pneumoscope.models.registry import backbone_record
    from pneumoscope.models.state import load_backbone

    network = build_backbone(
        backbone_record("vit_b_16"), SIZE, {"embed_dim": 48, "num_heads": 3}
    ).network.eval()
    load_backbone(network, peer.state_dict(), tmp_path)
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(
            peer.heads.head(network(images)), peer(images), atol=1e-4, rtol=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kind", ["densenet", "resnet"])
def test_torchxrayvision(kind: str, suffix: str, tmp_path: Path) -> None:
    """One channel from -1024 to 1024, without weights from the network."""
    import torchxrayvision as xrv

    peer: Any
    if kind == "densenet":
        peer, name = xrv.models.DenseNet(num_classes=18, in_channels=1), "densenet121"
    else:
        peer, name = nn.Module(), "resnet50"
        # As `xrv.models.ResNet` builds it, which asks for the weights' name.
        peer.model = peers.resnet50(num_classes=18)
        peer.model.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    peer = lively(peer)
    file = saved(peer.state_dict(), tmp_path / f"xray{suffix}")
    classifier, _ = pretrained_classifier(name, "linear", SIZE, file)
    pixels = torch.randint(0, 256, (2, 1, SIZE, SIZE), dtype=torch.uint8)
    theirs = torch.from_numpy(xrv.datasets.normalize(pixels.numpy(), 255)).float()
    with torch.inference_mode():
        found = classifier.eval().backbone.network(classifier.normalise(pixels))
        expected = peer.features2(theirs) if kind == "densenet" else _pooled(peer.model, theirs)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=1e-4)
    # Its intensities go into the bundle.
    own = classifier.architecture
    assert own.mean == (0.5, 0.5, 0.5) and own.std == (1 / 2048,) * 3


def _pooled(network: Any, images: Tensor) -> Tensor:
    network.fc = nn.Identity()
    found: Tensor = network(images)
    return found


def test_pickled_networks_are_refused(tmp_path: Path) -> None:
    """TorchXRayVision's own files are pickled modules: the error says what to do."""
    torch.save(peers.resnet18(), tmp_path / "module.pt")
    with pytest.raises(WeightsError, match=r"module\.pt: .*plain tensors.*state_dict"):
        pretrained_classifier("resnet18", "linear", SIZE, str(tmp_path / "module.pt"))


def dinov2_of_transformers(network: nn.Module) -> dict[str, Tensor]:
    """timm's network with the names that `transformers.Dinov2Model` gives its tensors."""
    found: dict[str, Tensor] = {"embeddings.mask_token": torch.zeros(1, 48)}
    plain = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    inner = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    for name, value in network.state_dict().items():
        if name in plain:
            found[plain[name]] = value
            continue
        _, block, rest = name.split(".", 2)
        layer = f"encoder.layer.{block}"
        part, _, kind = rest.rpartition(".")
        if part == "attn.qkv":
            for which, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[f"{layer}.attention.attention.{which}.{kind}"] = piece
        elif part in ("ls1", "ls2"):
            found[f"{layer}.layer_scale{part[-1]}.lambda1"] = value
        else:
            found[f"{layer}.{inner[part]}.{kind}"] = value
    return found


def test_a_dinov2_of_transformers(tmp_path: Path) -> None:
    """As microsoft/rad-dino is stored, with its own normalisation."""
    import timm

    torch.manual_seed(4)
    options: dict[str, Any] = {"depth": 2, "embed_dim": 48, "num_heads": 3}
    network: Any = timm.create_model(
        "vit_base_patch14_dinov2", num_classes=0, img_size=70, **options
    ).eval()
    for name, parameter in network.named_parameters():
        parameter.data.normal_(1.0 if name.endswith("gamma") else 0.0, 0.1)
    saved(dinov2_of_transformers(network), tmp_path / "model.safetensors")
    described = {
        "model_type": "dinov2", "hidden_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 3, "patch_size": 14, "image_size": 70,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(described), "utf-8")
    pictures = {"image_mean": [0.53] * 3, "image_std": [0.26] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pictures), "utf-8")
    classifier, record = pretrained_classifier(f"local-dir:{tmp_path}", "linear", 70, "auto")
    images = torch.rand(2, 3, 70, 70)
    with torch.inference_mode():
        torch.testing.assert_close(answers(classifier, images), network(images))
    assert classifier.architecture.mean == (0.53,) * 3
    assert record.name == f"local-dir:{tmp_path.name}"


def test_a_folder_holds_a_file_for_each_backbone(tmp_path: Path) -> None:
    saved(peers.resnet18(num_classes=3).state_dict(), tmp_path / "resnet18.tv_in1k.safetensors")
    _, record = pretrained_classifier("resnet18", "linear", SIZE, str(tmp_path))
    assert (record.name, record.licence) == ("timm/resnet18.tv_in1k", "BSD-3-Clause")
    assert record.sha256 is not None
    with pytest.raises(WeightsError, match=r"holds no resnet50\.tv_in1k\.safetensors"):
        pretrained_classifier("resnet50", "linear", SIZE, str(tmp_path))
    # The default's weights come from its package.
    _, default = pretrained_classifier("efficientnet_lite0", "linear", SIZE, str(tmp_path))
    assert default.sha256 is not None


@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "bert"}', '{"architecture": 3}'])
def test_folders_of_something_else_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(WeightsError, match=r"config\.json"):
        pretrained_classifier(f"local-dir:{tmp_path}", "linear", SIZE, "auto")
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        pretrained_classifier(f"local-dir:{tmp_path / 'absent'}", "linear", SIZE, "auto")
