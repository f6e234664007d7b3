"""The atlas of the density factor, from a cohort to a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.cli.train_atlas import train_atlas
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.density import read_atlases
from pneumoscope.errors import OutputError, RunError


@pytest.fixture
def joined(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Phantoms as two cohorts, all in train, the larger one of adults."""
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(tmp_path / "cache"))
    manifest = Manifest.read(phantoms / "cohort.csv")
    table = manifest.table.assign(split="train")
    normal = np.flatnonzero(manifest.targets() == 0)
    cohort = np.full(len(table), "grown", dtype=object)
    cohort[normal[-4:]] = "young"
    path = tmp_path / "joined.csv"
    replace(manifest, table=table.assign(cohort=cohort)).write(path)
    return path


def test_an_atlas_is_of_normal_radiographs(joined: Path, tmp_path: Path) -> None:
    out = tmp_path / "atlas.npz"
    train_atlas(joined, None, 0, out, False)
    atlases = read_atlases(out)
    assert list(atlases) == ["adult"]
    # Between the lungs lies what is denser.
    mean = atlases["adult"].mean
    assert mean[20:44, 30:34].mean() > mean[20:44, 10:20].mean() + 0.5
    with pytest.raises(OutputError, match="already exists"):
        train_atlas(joined, None, 0, out, False)


def test_too_few_normal_radiographs_make_no_atlas(joined: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the atlas 'child' cannot be made.*at least 20"):
        train_atlas(joined, ["young"], 0, tmp_path / "atlas.npz", False)
