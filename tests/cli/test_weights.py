"""`pneumoscope weights`, and what `compare --dry-run` says is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

import pneumoscope.models  # noqa: F401 - first: it lets torchvision be imported
from pneumoscope.cli.compare import compare
from pneumoscope.cli.weights import check, fetch, list_weights
from pneumoscope.errors import SettingsError


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache of ours, and no hub."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(hub: Path) -> None:
    """resnet18's file, as the hub's client leaves it in its cache."""
    import timm
    from safetensors.torch import save_file

    folder = hub / "models--timm--resnet18.tv_in1k"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(timm.create_model("resnet18").state_dict(), snapshot / "model.safetensors")


def test_the_folder_of_fetch_is_what_check_and_the_plan_look_for(
    offline: Path, manifest_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached(offline)
    folder = tmp_path / "weights"
    with pytest.raises(typer.Exit) as ended:
        fetch(["resnet50", "resnet18", "efficientnet_lite0"], to=folder)
    said = capsys.readouterr()
    assert ended.value.exit_code == 1 and "failed resnet50: " in said.err
    assert [file.name for file in folder.iterdir()] == ["resnet18.tv_in1k.safetensors"]
    check(folder, ["resnet18", "efficientnet_lite0"])
    said = capsys.readouterr()
    assert said.out.count("SHA-256") == 2 and not said.err
    compare(
        manifest_file, out=tmp_path / "out", backbones="resnet18,resnet50", weights=[str(folder)],
        show_plan=True,
    )  # fmt: skip
    said = capsys.readouterr()
    assert "Missing: resnet50.tv_in1k.safetensors, the weights of resnet50" in said.out
    assert "Missing: resnet18" not in said.out
    assert "pneumoscope weights fetch resnet50 --to weights" in said.out


def test_the_list_says_what_is_here(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cached(offline)
    list_weights(["resnet18", "vit_b_16", "efficientnet_lite0"])
    said = capsys.readouterr().out.splitlines()
    names = ("resnet18", "vit_b_16", "efficientnet_lite0")
    lines = {name: next(line for line in said if f" {name} " in line) for name in names}
    assert " yes " in lines["resnet18"] and " yes " in lines["efficientnet_lite0"]
    assert " missing " in lines["vit_b_16"]
    assert "vit_base_patch16_224.augreg_in1k.safetensors" in lines["vit_b_16"]


def test_files_that_do_not_fit_fail(
    offline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached(offline)
    fetch(["resnet18"], to=tmp_path)
    file = tmp_path / "resnet18.tv_in1k.safetensors"
    with pytest.raises(typer.Exit):
        check(file, ["resnet50"])
    assert "does not fit the architecture" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="Name the backbone"):
        check(file)
    with pytest.raises(SettingsError, match="--all"):
        fetch(None, to=tmp_path)
    with pytest.raises(SettingsError, match="unknown backbone"):
        list_weights(["alexnet"])
    with pytest.raises(SettingsError, match="no such file or folder"):
        check(tmp_path / "elsewhere")
