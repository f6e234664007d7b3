"""What `pneumoscope predict --engine ray` hands to Ray, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pneumoscope import scale
from pneumoscope.cli import app
from pneumoscope.errors import SettingsError
from pneumoscope.scale.run import Archived
from tests.export.bundles import exported_small


@pytest.mark.parametrize(("given", "threads"), [([], 1), (["--threads", "3"], 3)])
def test_workers_have_the_threads_asked_for(
    given: list[str],
    threads: int,
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed: dict[str, Any] = {}

    def predict_archive(*_: object, settings: scale.ArchiveSettings, **__: object) -> Archived:
        handed["settings"] = settings
        return Archived(kept=(), changed=(), found=0, failed=0)

    monkeypatch.setattr(scale, "predict_archive", predict_archive)
    bundle = exported_small("resnet18", "linear", "gradcam").path
    command = ["predict", str(phantoms / "images"), "--bundle", str(bundle), "--engine", "ray"]
    ended = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out"), *given])
    # The stand-in makes no finding, so no file was judged.
    assert ended.exit_code == 3, ended.output
    assert handed["settings"].threads == threads


def test_ray_writes_no_dicom_objects(phantoms: Path) -> None:
    command = ["predict", str(phantoms / "images"), "--engine", "ray", "--format", "dicom"]
    ended = CliRunner().invoke(app, command)
    assert isinstance(ended.exception, SettingsError)
