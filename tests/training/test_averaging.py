"""Averaging runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pneumoscope.assessment.own_model import model_facts
from pneumoscope.bundles import read_bundle
from pneumoscope.errors import OutputError, RunError
from pneumoscope.files import sha256_file
from pneumoscope.training.averaging import average_runs


def altered(
    run: Path, to: Path, *, add: float = 0.0, digest: str | None = None, seed: int | None = None
) -> Path:
    """A copy of a run whose weights are larger by `add`, or of another manifest or seed."""
    shutil.copytree(run, to)
    weights, description = to / "bundle" / "model.safetensors", to / "bundle" / "bundle.json"
    state = load_file(weights)
    save_file({k: v + add if v.is_floating_point() else v for k, v in state.items()}, str(weights))
    content = json.loads(description.read_text())
    content["files"]["model.safetensors"] = sha256_file(weights)
    if seed is not None:
        content["training"]["settings"]["seed"] = seed
    if digest is not None:
        content["training"]["data_digest"] = digest
        content["seen"] = None
    description.write_text(json.dumps(content))
    return to


@pytest.mark.slow
def test_the_mean_lies_between(run_folder: Path, tmp_path: Path) -> None:
    other = altered(run_folder, tmp_path / "other", add=0.5)
    result = average_runs([run_folder, other], tmp_path / "mean")
    first = load_file(run_folder / "bundle" / "model.safetensors")
    found = load_file(tmp_path / "mean" / "bundle" / "model.safetensors")
    for name, tensor in first.items():
        expected = tensor + 0.25 if tensor.is_floating_point() else tensor
        torch.testing.assert_close(found[name], expected)
    mean_of = result.bundle.training.weights["name"]
    ids = [read_bundle(run)[1].model_id for run in (run_folder, other)]
    assert mean_of is not None and all(each in mean_of for each in ids)
    assert "of the first of several runs" in dict(model_facts(result.bundle))["Training"]
    assert "best of" in dict(model_facts(read_bundle(run_folder)[1]))["Training"]
    assert 0 < result.bundle.threshold <= 1
    with pytest.raises(OutputError, match="already exists"):
        average_runs([run_folder, other], tmp_path / "mean")


def test_runs_that_do_not_belong_together_are_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="one run has no mean"):
        average_runs([run_folder], tmp_path / "mean")
    other = altered(run_folder, tmp_path / "other", digest="0" * 64)
    with pytest.raises(RunError, match="another manifest"):
        average_runs([run_folder, other], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_random_starts_of_two_seeds_have_no_mean(run_folder: Path, tmp_path: Path) -> None:
    assert read_bundle(run_folder)[1].training.weights["sha256"] is None
    other = altered(run_folder, tmp_path / "other", seed=43)
    with pytest.raises(RunError, match="other start weights"):
        average_runs([run_folder, other], tmp_path / "mean")
