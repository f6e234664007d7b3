"""The plan: which runs there are, and how one on disk is recognised."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.plan import (
    MARKER,
    PlannedRun,
    bundle_digest,
    check_folder,
    clear_remains,
    make_plan,
    occupied,
    run_digest,
    standing,
)
from pneumoscope.errors import BundleError, OutputError, RunError, SettingsError
from pneumoscope.files import write_json
from pneumoscope.models.registry import BACKBONES
from pneumoscope.training.settings import TrainingSettings, make_settings, write_settings

# As the fixture `run_folder` was trained.
TRAINED: dict[str, Any] = {"weights": "none", "size": 64, "epochs": 1, "batch_size": 8, "seed": 1}


@pytest.fixture
def trained(run_folder: Path, tmp_path: Path) -> PlannedRun:
    """A copy of a finished run, and the settings it was planned with."""
    folder = tmp_path / "runs" / "resnet18-seed1"
    shutil.copytree(run_folder, folder)
    return PlannedRun(make_settings(backbone="resnet18", **TRAINED), folder)


@pytest.fixture
def digest(manifest_file: Path) -> str:
    """Of the data the finished run was trained on."""
    return Manifest.read(manifest_file).digest()


def with_settings(run: PlannedRun, **changes: object) -> PlannedRun:
    return replace(run, settings=run.settings.model_copy(update=changes))


def test_a_plan_goes_seed_by_seed(tmp_path: Path) -> None:
    runs = make_plan(
        tmp_path,
        ["resnet18", "vit_b_16"],
        [1, 2],
        preset="paper",
        weights={"": "none", "vit_b_16": "vit.safetensors"},
        overrides={"epochs": 3},
    )
    names = ["resnet18-seed1", "vit_b_16-seed1", "resnet18-seed2", "vit_b_16-seed2"]
    assert [run.name for run in runs] == names
    assert [run.settings.weights for run in runs[:2]] == ["none", "vit.safetensors"]
    assert {run.settings.epochs for run in runs} == {3}
    assert {run.settings.head for run in runs} == {"mlp"}
    assert runs[0].folder == tmp_path / "runs" / "resnet18-seed1"


def test_a_backbone_may_have_seeds_of_its_own(tmp_path: Path) -> None:
    runs = make_plan(tmp_path, ["resnet18", "vit_b_16"], {"": [1, 2, 3], "vit_b_16": [7]})
    names = ["resnet18-seed1", "vit_b_16-seed7", "resnet18-seed2", "resnet18-seed3"]
    assert [run.name for run in runs] == names


def test_without_names_every_backbone_is_compared(tmp_path: Path) -> None:
    assert [run.backbone for run in make_plan(tmp_path, [], [42])] == list(BACKBONES)


@pytest.mark.parametrize(
    ("backbones", "seeds", "options", "words"),
    [
        (["lenet"], [1], {}, "lenet"),
        (["resnet18", "resnet18"], [1], {}, "named twice"),
        (["resnet18"], [1, 1], {}, "seed 1 is named twice"),
        (["resnet18"], [], {}, "seeds"),
        (["resnet18", "vit_b_16"], {"vit_b_16": [1]}, {}, "resnet18 has no seeds"),
        (["resnet18"], {"": [1], "vit_b_16": [1]}, {}, "not compared"),
        (["resnet18"], [-1], {}, "seeds"),
        (["resnet18"], [1], {"overrides": {"seed": 3}}, "--seeds"),
        (["resnet18"], [1], {"overrides": {"lr": 3}}, "lr"),
        (["resnet18"], [1], {"preset": "best"}, "best"),
        (["resnet18"], [1], {"weights": {"vit_b_16": "none"}}, "not compared"),
        (["resnet18", "vit_b_16"], [1], {"weights": {"": "a.pth"}}, "BACKBONE=FILE"),
    ],
)
def test_a_plan_that_cannot_be(
    backbones: list[str], seeds: list[int], options: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        make_plan(tmp_path, backbones, seeds, **options)  # type: ignore[arg-type]


def test_a_run_digest_is_of_every_setting_and_of_the_data() -> None:
    base = TrainingSettings()
    same = TrainingSettings.model_validate(base.model_dump())
    assert run_digest(base, "data") == run_digest(same, "data")
    others = [base.model_copy(update={"seed": 43}), base.model_copy(update={"mirror": False})]
    digests = {run_digest(one, "data") for one in (base, *others)} | {run_digest(base, "other")}
    assert len(digests) == 4


def test_a_finished_run_is_recognised_by_what_it_holds(trained: PlannedRun, digest: str) -> None:
    found = standing(trained, digest)
    assert (found.stage, found.epochs) == ("trained", 1)


def test_without_its_bundle_a_run_is_unfinished(trained: PlannedRun, digest: str) -> None:
    shutil.rmtree(trained.folder / "bundle")
    found = standing(trained, digest)
    assert (found.stage, found.epochs) == ("unfinished", 1)


def test_a_run_with_other_settings_is_refused(trained: PlannedRun, digest: str) -> None:
    with pytest.raises(RunError, match=r"epochs 1 \(asked for: 5\)"):
        standing(with_settings(trained, epochs=5), digest)
    with pytest.raises(RunError, match="other data"):
        standing(trained, "0" * 64)


def test_a_run_from_scratch_stands_for_missing_weights_if_allowed(
    trained: PlannedRun, digest: str
) -> None:
    wanted = with_settings(trained, weights="auto")
    with pytest.raises(RunError, match="weights none"):
        standing(wanted, digest)
    found = standing(wanted, digest, or_from_scratch=True)
    assert found.stage == "trained" and found.run.settings.weights == "none"


def test_a_damaged_bundle_is_refused(trained: PlannedRun, digest: str) -> None:
    with (trained.folder / "bundle" / "model.safetensors").open("ab") as stream:
        stream.write(b"0")
    with pytest.raises(BundleError, match="made again from the checkpoints"):
        standing(trained, digest)


def test_what_a_kill_leaves_before_the_first_step_is_begun_again(
    tmp_path: Path, digest: str
) -> None:
    run = make_plan(tmp_path, ["resnet18"], [1])[0]
    assert standing(run, digest).stage == "new"
    run.folder.mkdir(parents=True)
    write_settings(run.folder / "config.yaml", run.settings)
    (run.folder / ".manifest-abc.csv").write_text("half")
    assert standing(run, digest).stage == "new"
    clear_remains(run.folder)
    assert not list(run.folder.iterdir())
    (run.folder / "thesis.docx").write_text("mine")
    with pytest.raises(RunError, match=r"thesis\.docx"):
        standing(run, digest)


def test_only_a_comparison_or_nothing_is_written_into(trained: PlannedRun, tmp_path: Path) -> None:
    check_folder(tmp_path / "absent")
    # Runs made by `pneumoscope train` in the layout of a comparison.
    check_folder(trained.folder.parent.parent)
    other = tmp_path / "other"
    other.mkdir()
    check_folder(other)
    (other / "runs").mkdir()
    with pytest.raises(OutputError, match="not a comparison folder"):
        check_folder(other)
    write_json(other / MARKER, {})
    check_folder(other)
    with pytest.raises(OutputError):
        check_folder(other / MARKER)


def test_two_comparisons_cannot_share_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    other = occupied(tmp_path, "data")
    with occupied(tmp_path, "data"), pytest.raises(OutputError, match="another comparison"):
        other.__enter__()
    with occupied(tmp_path, "data"):
        assert (tmp_path / MARKER).is_file()


def test_a_bundle_digest_changes_with_the_weights(trained: PlannedRun) -> None:
    before = bundle_digest(trained.folder)
    path = trained.folder / "bundle" / "bundle.json"
    path.write_text(path.read_text().replace("0", "1", 1))
    assert bundle_digest(trained.folder) != before
