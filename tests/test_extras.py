"""Without an extra, every command that needs it ends in one line, before it works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pneumoscope.bundles.backbones import BACKBONES, check_backbone
from pneumoscope.errors import SettingsError
from pneumoscope.extras import LIBRARIES, how_to_install
from pneumoscope.models import registry

_CODE = """
import sys

absent = set(sys.argv.pop(1).split(","))


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, Absent())
from pneumoscope.cli import main

main()
"""


def without(extra: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command where the libraries of an extra cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", _CODE, ",".join(LIBRARIES[extra]), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "300"},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "command"),
    [
        *(
            ("train", command)
            for command in (
                ("audit",), ("train", "c.csv"), ("train", "--out", "run", "--resume"),
                ("compare", "c.csv"), ("train-gate", "c.csv"), ("demo",), ("export", "default"),
                ("train-lungs", "films", "--masks", "masks"), ("predict", "f", "--engine", "torch"),
            )
        ),
        *(
            ("evaluate", command)
            for command in (
                ("scan", "."), ("join", "c.csv", "c.csv"), ("phantom",),
                ("evaluate", "c.csv"), ("calibrate", "default", "c.csv"), ("card", "default",
                "--weaknesses", "c.csv"), ("check-lungs", "c.csv"), ("check-gate", "c.csv"),
            )
        ),
        ("serve", ("serve",)),
        ("hospital", ("dicom-node",)),
        ("hospital", ("dicom-fetch", "https://pacs/dicom-web/studies/1.2")),
        ("hospital", ("predict", "f", "--format", "dicom")),
        ("scale", ("predict", "f", "--engine", "ray")),
        ("openvino", ("predict", "f", "--engine", "openvino")),
    ],
)  # fmt: skip
def test_a_missing_extra_is_named_in_one_line(
    tmp_path: Path, extra: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "f").write_bytes(b"no film")
    (tmp_path / "c.csv").write_text("image,label\nf,NORMAL\n")
    done = without(extra, *command, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert f"the extra '{extra}'" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "f"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("train", "c.csv", "--backbone", "alexnet"), ("'alexnet'", "resnet18")),
        (("train", "c.csv", "--set", "backbone=alexnet"), ("'alexnet'", "resnet18")),
        (("compare", "c.csv", "--backbones", "alexnet"), ("'alexnet'", "resnet18")),
        (("train", "c.csv", "--set", "epochz=3"), ("'epochz'", "'epochs'", "learning_rate")),
        (("compare", "c.csv", "--set", "epochz=3"), ("'epochz'", "learning_rate")),
        (("train", "c.csv", "--set", "size=["), ("'size=['", "YAML")),
        (("card", "default"), ("nothing was given", "--evaluation")),
    ],
)
def test_names_and_settings_are_checked_without_torch(
    tmp_path: Path, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = without("train", *command, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in words), line


def test_settings_are_shown_without_torch(tmp_path: Path) -> None:
    done = without("train", "train", "--show-config", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "learning_rate: 0.0007" in done.stdout


def test_the_names_of_backbones_are_those_of_the_registry() -> None:
    assert tuple(registry.BACKBONES) == BACKBONES
    with pytest.raises(SettingsError, match="vit_b_17"):
        check_backbone("vit_b_17")


def test_names_of_timm_are_known_without_importing_it(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pneumoscope.bundles.backbones import timm_names\n"
        "assert not {'timm', 'torch'} & set(sys.modules)\n"
        "print(*timm_names())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import timm

    # Every architecture, and names that timm itself has given up.
    assert set(timm.list_models()) <= set(done.stdout.split())
    for name in ("convnext_tiny", "resnet50.a1_in1k", "hf-hub:owner/name", "local-dir:x"):
        check_backbone(name)
    with pytest.raises(SettingsError, match=r"timm such as .*convnext_tiny.*hf-hub:OWNER/NAME"):
        check_backbone("convnext_tyni")


def test_extras_are_those_of_the_package() -> None:
    import tomllib

    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert LIBRARIES.keys() <= extras.keys()
    # `multipart` is the name of another package, too.
    assert "python_multipart" in LIBRARIES["serve"] and "multipart" not in LIBRARIES["serve"]
    assert "'.[serve]'" in how_to_install("serve")
