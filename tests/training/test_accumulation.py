"""Two batches of four make the step of one batch of eight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.training.runner import start_run
from pneumoscope.training.settings import make_settings


@pytest.mark.slow
def test_gradients_of_batches_are_averaged(
    manifest_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What batches are not to differ in: dropout. This network has no batch normalisation.
    monkeypatch.setattr(nn.Dropout, "forward", lambda _, values: values)
    manifest = Manifest.read(manifest_file)
    train = manifest.table.index[manifest.table["split"] == "train"]
    # Whole batches of eight, so that no epoch ends within a step.
    left_out = list(train[len(train) // 8 * 8 :])
    table = manifest.table.copy()
    table.loc[left_out, "split"] = "excluded"
    cohort = Manifest(table, manifest.root, manifest.labels)
    fixed: dict[str, Any] = {
        "backbone": "test_vit", "weights": "none", "size": 64, "epochs": 2, "head": "linear",
        "augmentation": "none", "precision": "float32", "lung_prior": False,
        "learning_rate": 1e-4, "optimizer": "adam",
    }  # fmt: skip
    found = {}
    for batch, accumulate in ((8, 1), (4, 2), (4, 1)):
        settings = make_settings(batch_size=batch, accumulate=accumulate, **fixed)
        out = tmp_path / f"{batch}x{accumulate}"
        start_run(cohort, settings, out)
        found[batch, accumulate] = load_file(out / "bundle" / "model.safetensors")

    def largest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
        return max(float((one[name] - other[name]).abs().max()) for name in one)

    same = largest(found[8, 1], found[4, 2])
    # Adam divides gradients near zero by themselves, so that rounding may turn a step around.
    assert same < 0.2 * largest(found[8, 1], found[4, 1])
