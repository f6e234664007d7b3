"""Networks that nobody registered: cut, explained, trained and exported from timm's metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pneumoscope.errors import SettingsError
from pneumoscope.export import export_onnx
from pneumoscope.imaging import Letterbox
from pneumoscope.localize import gradcam
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.heads import RegionalHead
from pneumoscope.models.record import HALF, IMAGENET_MEAN
from pneumoscope.models.registry import backbone_record
from pneumoscope.models.weights import pretrained_classifier
from pneumoscope.training.data import Batch
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.settings import make_settings
from tests.export.bundles import write_small
from tests.models.families import EXAMPLES, architecture, films, small


class _Whole(nn.Module):
    """Normalised images to logits through the whole network, as a peer would run it."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.head(self.classifier.backbone.network(images))  # type: ignore[no-any-return]


@pytest.mark.parametrize("family", EXAMPLES)
def test_gradcam_agrees_with_pytorch_grad_cam(family: str) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    classifier, example, pixels = small(family, "linear"), EXAMPLES[family], films(family, 3)
    cells = example.size // classifier.record.stride

    def to_map(seen: Tensor) -> Tensor:
        if example.prefix == -1:
            return seen.permute(0, 3, 1, 2)
        patches = seen[:, example.prefix :].transpose(1, 2)
        return patches.reshape(len(seen), -1, cells, cells)

    with GradCAM(
        model=_Whole(classifier),
        target_layers=[classifier.backbone.network.get_submodule(example.layer)],
        reshape_transform=None if example.prefix is None else to_map,
    ) as cam:
        compared = 0
        for target in (0, 1):
            ours = gradcam(classifier, pixels, target).maps.numpy()
            assert ours.shape == (3, cells, cells)
            theirs = cam(
                input_tensor=classifier.normalise(pixels).contiguous(),
                targets=[ClassifierOutputTarget(target)] * 3,
            )
            letterbox = Letterbox.fit(example.size, example.size, example.size)
            for mine, peer in zip(ours, theirs, strict=True):
                film = letterbox.to_film(mine)
                if np.ptp(film) > 1e-6 * max(float(film.max()), 1e-12) and np.ptp(peer) > 0:
                    assert np.corrcoef(film.ravel(), peer.ravel())[0, 1] >= 0.999
                    compared += 1
        assert compared >= 2


@pytest.mark.parametrize("family", EXAMPLES)
def test_a_step_is_trained_with_the_regional_head(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = EXAMPLES[family]
    if not example.finest:
        with pytest.raises(SettingsError, match=r"finest map has 32.*head=linear"):
            Classifier(architecture(family, "regional"))
        return
    torch.manual_seed(1)
    classifier = Classifier(architecture(family, "regional"))
    cells = example.size // example.finest
    assert classifier.eval().cells(films(family, 2)).shape == (2, cells, cells)
    settings = make_settings(size=example.size, backbone=example.name, freeze_early=False)
    module = ClassifierModule(classifier, settings, None).train()
    monkeypatch.setattr(module, "log", lambda *_, **__: None)  # There is no trainer to log to.
    pixels = (films(family, 4) * 255).to(torch.uint8)
    guides = torch.full((4, 1, 32, 32), 200, dtype=torch.uint8)
    loss = module.training_step(Batch(pixels, torch.tensor([0, 1, 1, 0]), guides, None), 0)
    loss.backward()  # type: ignore[no-untyped-call]
    slopes = [p.grad for p in classifier.parameters()]
    assert torch.isfinite(loss) and all(g is not None and g.isfinite().all() for g in slopes)
    head = classifier.head
    assert isinstance(head, RegionalHead) and head.cell.weight.grad is not None
    assert float(head.cell.weight.grad.abs().max()) > 0


# Of each kind of cut the quickest; of the regional head one of each kind of stages.
EXPORTS = [
    ("swin", "linear"),
    ("vit", "linear"),
    ("averaged", "linear"),
    ("convnext", "linear"),
    ("dinov2", "regional"),
    ("swin", "regional"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "head"),
    [
        pytest.param(*each, marks=() if n == 0 else pytest.mark.slow)
        for n, each in enumerate(EXPORTS)
    ],
)
def test_the_exported_file_answers_as_torch(family: str, head: str, tmp_path: Path) -> None:
    heatmap = "regional+mirror" if head == "regional" else "gradcam+mirror"
    write_small(tmp_path / "bundle", small(family, head), heatmap)
    found = export_onnx(tmp_path / "bundle", tmp_path / "model.onnx").agreement
    assert found.probability <= 1e-4 and found.correlation >= 0.9999 and found.heatmap <= 0.01


def test_a_record_says_what_timm_says() -> None:
    record = backbone_record("vit_small_patch14_dinov2")
    assert (record.family, record.stride, record.sized) == ("tokens", 14, True)
    source = record.automatic
    assert source.name == "timm/vit_small_patch14_dinov2.lvd142m"
    assert source.licence == "apache-2.0" and source.mean == IMAGENET_MEAN
    # A tag names other weights, with another normalisation.
    tagged = backbone_record("vit_base_patch16_224.augreg_in1k").automatic
    assert tagged.name == "timm/vit_base_patch16_224.augreg_in1k" and tagged.mean == HALF


def test_attention_is_read_where_a_class_token_is_classified() -> None:
    from pneumoscope.localize import methods_for

    names = {family: {m.name for m in methods_for(small(family, "linear"))} for family in EXAMPLES}
    reads = {family for family, methods in names.items() if "attention_rollout" in methods}
    assert reads == {"vit", "deit", "dinov2", "hybrid"}
    assert all({"gradcam", "hirescam", "eigencam"} <= methods for methods in names.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cait_xxs24_224", "Cait classifies by a class token"),
        ("crossvit_tiny_240", "does not pool one feature map"),
        ("resnet18.no_such_tag", "timm cannot build.*no_such_tag"),
        ("inception_v3", r"6 x 6 cells do not cover 256 pixels evenly"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_the_reason(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        pretrained_classifier(name, "linear", 256, "none")


def test_sizes_that_do_not_fit_name_one_that_does() -> None:
    with pytest.raises(SettingsError, match=r"multiple of 14.*--set size=252"):
        pretrained_classifier("vit_small_patch14_dinov2", "linear", 256, "none")


@pytest.mark.parametrize("option", ["checkpoint_path", "pretrained", "cache_dir"])
def test_a_bundles_options_lead_to_no_file(option: str) -> None:
    for name in ("resnet18", "test_resnet"):
        with pytest.raises(SettingsError, match=f"'{option}' is not an option"):
            Classifier(Architecture(name, "linear", 64, HALF, HALF, {option: "x"}))


@pytest.mark.parametrize("name", ["hf-hub:owner/name", "local-dir:."])
def test_a_bundle_names_an_architecture_and_no_place(name: str) -> None:
    with pytest.raises(SettingsError, match="not the name of an architecture"):
        Classifier(Architecture(name, "linear", 64, HALF, HALF))


def test_a_folder_of_timm_is_a_backbone(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    network: Any = timm.create_model("test_vit", num_classes=5, depth=2, img_size=96)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    described = {
        "architecture": "test_vit",
        "model_args": {"depth": 2, "img_size": 96},
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "license": "mit"},
    }
    (tmp_path / "config.json").write_text(json.dumps(described), "utf-8")
    name = f"local-dir:{tmp_path}"
    classifier, record = pretrained_classifier(name, "linear", 96, "auto")
    own = classifier.architecture
    assert (own.backbone, own.options["depth"], own.mean) == ("test_vit", 2, (0.1, 0.2, 0.3))
    assert record.licence == "mit" and record.name == f"local-dir:{tmp_path.name}"
    images, loaded = torch.rand(2, 3, 96, 96), classifier.eval().backbone.network
    with torch.inference_mode():
        expected = network.eval().forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(loaded(images), expected)
    # Another size: timm resamples the table of positions.
    larger, _ = pretrained_classifier(name, "regional", 128, "auto")
    assert larger.eval()(torch.zeros(1, 1, 128, 128)).shape == (1, 2)
