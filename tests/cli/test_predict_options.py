"""Options of `predict` that belong to others."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pneumoscope.cli import app
from pneumoscope.errors import SettingsError


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("--deidentify", "key.txt", "--format dicom"),
        ("--workers", "2", "--engine ray"),
        ("--ray-address", "auto", "--engine ray"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, option: str, value: str, needed: str
) -> None:
    out = tmp_path / "out"
    arguments = ["predict", str(tmp_path), option, value, "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, SettingsError)
    assert f"{option} does nothing without {needed}" in str(result.exception)
    assert not out.exists()
