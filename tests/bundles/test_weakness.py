"""Known weaknesses: which radiographs they concern, and how they come into a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import pneumoscope
from pneumoscope.bundles import DEFAULT_FOLDER, WeaknessInfo, read_bundle, read_onnx
from pneumoscope.cli.card import card
from pneumoscope.errors import SettingsError
from tests.imaging.films import gray8, write_dicom

FILE = """
- measured: on PA films sensitivity was .58
  n: 26
  views: [PA]
- measured: no children below 3 years were measured
  n: 1
  below_age: 3
"""


@pytest.mark.parametrize(
    ("rule", "view", "age", "concerned"),
    [
        ({"views": ["PA"]}, "PA", None, True),
        ({"views": ["PA"]}, "AP", None, False),
        ({"views": ["PA"]}, None, None, False),
        ({"below_age": 18}, None, 17.9, True),
        ({"below_age": 18}, "PA", 18, False),
        ({"below_age": 18}, "PA", None, False),
        ({"from_age": 1, "below_age": 5}, None, 0.5, False),
        ({"from_age": 1, "below_age": 5}, None, 1, True),
        ({"views": ["AP"], "from_age": 65}, "AP", 70, True),
        ({"views": ["AP"], "from_age": 65}, "PA", 70, False),
    ],
)
def test_which_radiographs_a_weakness_concerns(
    rule: dict[str, Any], view: str | None, age: float | None, concerned: bool
) -> None:
    assert WeaknessInfo(measured="weak", n=9, **rule).concerns(view, age) is concerned


@pytest.mark.parametrize("rule", [{}, {"views": []}, {"views": ["PA"], "n": 0}, {"below_age": -1}])
def test_a_weakness_of_everything_or_of_nothing_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WeaknessInfo.model_validate({"measured": "weak", "n": 9} | rule)


def test_the_command_writes_them_and_findings_quote_them(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(DEFAULT_FOLDER, bundle)
    (tmp_path / "weak.yaml").write_text(FILE)
    card(bundle, weaknesses=tmp_path / "weak.yaml")
    folder, info = read_bundle(bundle, weights=True)
    exported = read_onnx(folder / "model.onnx").info
    assert info.weaknesses == exported.weaknesses
    assert [each.n for each in info.weaknesses] == [26, 1]

    reader = pneumoscope.load(folder / "model.onnx", gate=False)
    tags: dict[str, Any] = {"ViewPosition": "PA", "PatientAge": "002Y"}
    film = write_dicom(tmp_path / "pa.dcm", gray8(96, 96), **tags)
    other = write_dicom(tmp_path / "ap.dcm", gray8(96, 96), ViewPosition="AP")
    first, second = (item.finding for item in reader.find([film, other]))
    assert first.weaknesses == (
        "on PA films sensitivity was .58 (n = 26)",
        "no children below 3 years were measured (n = 1)",
    )
    assert "Known weakness: on PA films sensitivity was .58 (n = 26)." in str(first.summary)
    assert second.weaknesses == ()
    assert reader.find(np.full((96, 96), 0.5)).finding.weaknesses == ()


@pytest.mark.parametrize("text", ["measured: x", "- measured: x\n  n: 3", "- [", "- 3"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "weak.yaml").write_text(text)
    with pytest.raises(SettingsError, match="not a list of weaknesses"):
        card(DEFAULT_FOLDER, weaknesses=tmp_path / "weak.yaml")
