"""Cross-validation: each run is tested on a fold that it never saw."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.folds import cross_validate
from pneumoscope.errors import RunError
from pneumoscope.inference import load_engine
from pneumoscope.training.settings import make_settings


@pytest.mark.slow
def test_out_of_fold_predictions_are_those_of_runs_that_never_saw_them(
    manifest_file: Path, tmp_path: Path
) -> None:
    manifest = Manifest.read(manifest_file)
    settings = make_settings(
        backbone="test_resnet", weights="none", size=64, epochs=1, batch_size=8, head="linear",
        lung_prior=False,
    )  # fmt: skip
    said: list[tuple[int, str]] = []
    out = tmp_path / "folds"

    def again(**more: object) -> dict[str, object]:
        said.clear()
        changed = settings.model_copy(update=more)
        start = lambda number, stage: said.append((number, stage))  # noqa: E731
        return cross_validate(manifest, changed, out, 3, started=start).metrics

    metrics = again()
    assert said == [(1, "new"), (2, "new"), (3, "new")]
    rows = list(csv.DictReader((out / "predictions.csv").read_text("utf-8").splitlines()))
    pool = manifest.table[manifest.table["split"] != "test"]
    assert sorted(row["image"] for row in rows) == sorted(pool["image"])
    for row in rows:
        seen = Manifest.read(out / "runs" / f"fold{row['fold']}-seed42" / "manifest.csv").table
        assert seen.set_index("image").loc[row["image"], "split"] == "test"
    truth = [row["label"] == "PNEUMONIA" for row in rows]
    scores = np.array([float(row["probability"]) for row in rows])
    pooled = metrics["pooled"]["roc_auc"]["value"]  # type: ignore[index]
    assert pooled == pytest.approx(roc_auc_score(truth, scores), abs=0.02)
    assert json.loads((out / "metrics.json").read_text("utf-8"))["n"] == len(pool)
    one = out / "runs" / "fold2-seed42"
    assert load_engine(one).info.model_id == read_bundle(one)[1].model_id
    # Called again it keeps what is trained; other settings are refused.
    assert again()["pooled"] == metrics["pooled"]
    assert said == [(1, "trained"), (2, "trained"), (3, "trained")]
    with pytest.raises(RunError, match="other settings: epochs 1"):
        again(epochs=2)
