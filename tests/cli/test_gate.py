"""`train-gate` and `check-gate`, from a manifest and a table of other pictures to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.assessment.gate import odd, slices
from pneumoscope.cli.check_gate import check_gate
from pneumoscope.cli.train_gate import train_gate
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import SettingsError
from pneumoscope.gate import InputGate
from pneumoscope.training.gate import pictures
from pneumoscope.training.gate.negatives import synthetic
from pneumoscope.training.gate.others import read_others
from pneumoscope.training.gate.pictures import phantoms

KINDS = ("lateral", "ct", "teeth")


@pytest.fixture(autouse=True)
def few_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four phantoms instead of 250, which take most of the time."""
    monkeypatch.setattr(pictures, "phantoms", lambda _, side, seed: phantoms(4, side, seed))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 drawings, called lateral, ct and teeth in turn."""
    folder = tmp_path_factory.mktemp("others")
    rng = np.random.default_rng(0)
    for index in range(60):
        Image.fromarray(synthetic(rng, 80).astype(np.uint8)).save(folder / f"{index}.png")
    lines = [f"{index}.png,{KINDS[index % 3]}" for index in range(60)]
    (folder / "list.csv").write_text("\n".join(["image,kind", *lines]))
    return folder / "list.csv"


@pytest.mark.slow
def test_a_gate_is_trained_with_other_pictures_and_checked_on_their_test_part(
    manifest_file: Path, table: Path, tmp_path: Path
) -> None:
    train_gate(manifest_file, tmp_path / "gate", table, None, 1, 3, "drawings")
    model = tmp_path / "gate" / "gate.onnx"
    info = InputGate.load(model).info
    splits = read_others(table).splits
    unseen = {k: v["n"] for k, v in info.figures.items() if k.startswith("unseen") and "," not in k}
    assert sum(unseen.values()) == int((splits != "train").sum())
    assert info.training["others"] == dict.fromkeys(sorted(KINDS), 20)
    assert info.training_data == "drawings"
    val = Manifest.read(manifest_file).subset("val")
    assert info.figures["val films"]["n"] == len(val.table)

    check_gate(manifest_file, None, [str(table)], model, tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    found = {name: entry["n"] for name, entry in figures["detection"].items() if "part" in name}
    names = read_others(table).subset(splits == "test").names
    assert found == {f"{kind}, test part": names.count(kind) for kind in set(names)}
    assert {"films", "films, AP", "films, PA", "all, mirrored"} <= set(figures["false_alarms"])


@pytest.mark.slow
def test_a_gate_of_folds_has_figures_of_each_picture(
    manifest_file: Path, table: Path, tmp_path: Path
) -> None:
    train_gate(manifest_file, tmp_path / "gate", table, 2, 1, 3, None)
    model = tmp_path / "gate" / "gate.onnx"
    info = InputGate.load(model).info
    found = {kind: info.figures[f"unseen {kind}"] for kind in KINDS}
    assert {kind: entry["n"] for kind, entry in found.items()} == dict.fromkeys(KINDS, 20)
    missed = sum(round(entry["n"] * (1 - entry["flagged"])) for entry in found.values())
    assert len(info.figures["unseen, not flagged"]) == missed
    assert info.training["networks"] == 2
    with pytest.raises(SettingsError, match="trained on all parts of these pictures"):
        check_gate(manifest_file, None, [str(table)], model, None)


def test_folds_need_other_pictures(manifest_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--folds needs other pictures"):
        train_gate(manifest_file, tmp_path / "gate", None, 3)
    assert not (tmp_path / "gate").exists()


def test_odd_films_keep_their_content() -> None:
    film = np.linspace(0.2, 0.8, 60 * 48, dtype=np.float32).reshape(60, 48)
    found = odd(film)
    assert np.array_equal(found["mirrored"][:, ::-1], film)
    bars = found["black bars at the sides"]
    assert bars.shape == (60, 64)
    assert np.array_equal(bars[:, 8:-8], film)
    assert (bars[:, :8] == 0).all()
    assert found["width times .75"].shape == (60, 36)
    assert found["height times .75"].shape == (45, 48)


def test_slices_are_rows_of_cohort_and_view(manifest_file: Path) -> None:
    part = Manifest.read(manifest_file).subset("test")
    found = slices(part)
    assert len(found["films"]) == len(part.table)
    assert sum(len(rows) for name, rows in found.items() if name != "films") == len(part.table)
