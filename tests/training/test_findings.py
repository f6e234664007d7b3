"""Several findings on one backbone: a head, a loss, a bundle for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from pneumoscope.bundles import finding_folder, finding_folders, read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.folds import cross_validate
from pneumoscope.comparison.plan import make_plan
from pneumoscope.errors import BundleError, CohortError, RunError, SettingsError
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from pneumoscope.training.data import Batch, PixelDataset
from pneumoscope.training.data_parallel import World
from pneumoscope.training.devices import Processes
from pneumoscope.training.module import ClassifierModule, by_finding
from pneumoscope.training.runner import RunListener, prepare_run, resume_run, start_run
from pneumoscope.training.settings import TrainingSettings, make_settings, read_settings

PIXELS = torch.randint(0, 256, (6, 1, 64, 64), dtype=torch.uint8)
TARGETS = torch.tensor([[0, 1], [1, 0], [0, -1], [1, 1], [0, -1], [1, 0]])


def settings(*findings: str, **chosen: Any) -> TrainingSettings:
    small: dict[str, Any] = {
        "backbone": "resnet18",
        "weights": "none",
        "size": 64,
        "epochs": 1,
        "batch_size": 8,
    }
    return make_settings(findings=findings, **{**small, **chosen})


def module(head: str = "linear", findings: int = 2) -> ClassifierModule:
    torch.manual_seed(0)
    classifier = Classifier(Architecture("resnet18", head, 64, HALF, HALF))
    names = "AB"[:findings]
    chosen = settings(*names, head=head, augmentation="none", lung_guidance=0.0)
    made = ClassifierModule(classifier, chosen, None).eval()
    made.log = lambda *_, **__: None  # type: ignore[method-assign]
    return made


def loss(trained: ClassifierModule, targets: torch.Tensor) -> torch.Tensor:
    return trained.training_step(Batch(PIXELS, targets), 0)


def test_unknown_findings_weigh_nothing() -> None:
    columns = list(by_finding(TARGETS, None))
    assert [one.tolist() for one, _ in columns] == [[0, 1, 0, 1, 0, 1], [1, 0, 0, 1, 0, 0]]
    assert columns[1][1] is not None and columns[1][1].tolist() == [1, 1, 0, 1, 0, 1]
    weighed = list(by_finding(TARGETS, torch.full((6,), 0.5)))[1][1]
    assert weighed is not None and weighed.tolist() == [0.5, 0.5, 0, 0.5, 0, 0.5]
    ((alone, none),) = by_finding(TARGETS[:, 0], None)
    assert none is None and alone.tolist() == TARGETS[:, 0].tolist()


@pytest.mark.parametrize("head", ["linear", "regional"])
def test_the_loss_is_the_mean_over_findings(head: str) -> None:
    several = module(head)
    first, second = several.classifiers
    assert first.backbone is second.backbone and first.head is not second.head
    both = loss(several, TARGETS)
    alone = []
    for number, classifier in enumerate(several.classifiers):
        one = several.settings.model_copy(update={"findings": ()})
        single = ClassifierModule(classifier, one, None).eval()
        single.log = lambda *_, **__: None  # type: ignore[method-assign]
        known = TARGETS[:, number] >= 0
        kept = Batch(PIXELS[known], TARGETS[known, number])
        alone.append(float(single.training_step(kept, 0).detach()) * int(known.sum()) / len(known))
    assert float(both.detach()) == pytest.approx(float(np.mean(alone)), rel=1e-5)


def test_each_head_learns_from_its_own_finding() -> None:
    trained = module()
    loss(trained, TARGETS * torch.tensor([1, 0]) - torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    first, second = (one.head[1].weight.grad for one in trained.classifiers)  # type: ignore[index]
    assert first.abs().sum() > 0 and second.abs().sum() == 0
    optimizer = trained.configure_optimizers
    trained.settings = trained.settings.model_copy(update={"schedule": "constant"})
    groups = optimizer().param_groups
    parameters = [id(one) for group in groups for one in group["params"]]
    assert len(parameters) == len(set(parameters))
    assert set(parameters) == {id(one) for one in trained.parameters()}


def test_log_odds_and_figures_of_each() -> None:
    trained = module("regional")
    with torch.inference_mode():
        odds = trained.log_odds(PIXELS)
        for number, classifier in enumerate(trained.classifiers):
            logits = classifier(PIXELS)
            torch.testing.assert_close(odds[:, number], logits[:, 1] - logits[:, 0])
        figures: dict[str, float] = {}
        trained.log_dict = lambda found, **_: figures.update(found)  # type: ignore[method-assign]
        trained.validation_step(Batch(PIXELS[:4], TARGETS[:4]), 0)
        trained.validation_step(Batch(PIXELS[4:], TARGETS[4:]), 1)
        trained.on_validation_epoch_end()
        mirrored = (odds + trained.log_odds(PIXELS.flip(-1))) / 2
    right = (mirrored > 0).long() == TARGETS
    known = TARGETS >= 0
    shares = [float(right[known[:, n], n].float().mean()) for n in (0, 1)]
    assert figures["val_accuracy"] == pytest.approx(np.mean(shares))


@pytest.fixture(scope="module")
def cohort(manifest_file: Path) -> Manifest:
    """The phantoms with their label as a column, its opposite half known, and one of no use."""
    manifest = Manifest.read(manifest_file)
    targets = manifest.targets()
    manifest.table["Lung/Opacity"] = [str(one) for one in targets]
    manifest.table["Clear"] = [
        "" if number % 3 == 0 else str(1 - one) for number, one in enumerate(targets)
    ]
    manifest.table["Always"] = "1"
    return manifest


@pytest.mark.slow
def test_a_run_has_a_bundle_for_each(cohort: Manifest, tmp_path: Path) -> None:
    out, findings = tmp_path / "run", ("Lung/Opacity", "Clear")
    result = start_run(cohort, settings(*findings, class_weights=True), out)
    assert result.findings == tuple(finding_folder(out, name) for name in findings)
    assert sorted(result.findings) == finding_folders(out)
    assert read_settings(out / "config.yaml").findings == findings
    infos = [read_bundle(folder)[1] for folder in result.findings]
    assert [info.labels for info in infos] == [
        ("no Lung/Opacity", "Lung/Opacity"),
        ("no Clear", "Clear"),
    ]
    assert result.bundle == infos[0] and infos[0].model_id != infos[1].model_id
    for folder, info in zip(result.findings, infos, strict=True):
        seen = Manifest.read(folder / "manifest.csv")
        assert seen.labels == info.labels and seen.digest() == info.training.data_digest
        assert info.training.splits["val"]["patients"] > 0
        # The backbone has seen the radiographs of which this finding is not known, too.
        assert info.seen is not None
        assert info.seen.splits_of_radiographs(cohort.digests()) == cohort.table["split"].tolist()
    clear = infos[1].training.splits["train"]
    known = cohort.subset("train").states(["Clear"])[:, 0]
    assert clear["Clear"] == (known == 1).sum() and clear["no Clear"] == (known == 0).sum()
    # One backbone, two heads.
    first, second = (load_file(one / "bundle/model.safetensors") for one in result.findings)
    differing = {name for name in first if not np.array_equal(first[name], second[name])}
    assert differing and all(name.startswith("head.") for name in differing)
    with pytest.raises(BundleError, match=r"a bundle for each of 2 findings.*findings/Clear"):
        read_bundle(out)
    again = resume_run(out)
    assert again.findings == result.findings and again.bundle == result.bundle
    # A killed run without its last bundle is finished from its checkpoint.
    (result.findings[1] / "bundle/bundle.json").unlink()
    assert resume_run(out).findings == result.findings
    assert read_bundle(result.findings[1])[1] == infos[1]


def test_what_a_step_learns_from(cohort: Manifest) -> None:
    train = cohort.subset("train")
    for findings in (("Clear",), ("Lung/Opacity", "Clear")):
        ready = prepare_run(cohort, settings(*findings), RunListener(), World(Processes()))
        dataset = ready.batches.dataset
        assert isinstance(dataset, PixelDataset)
        states = train.states(findings)
        known = states[states[:, 0] >= 0, 0] if len(findings) == 1 else states
        assert np.array_equal(dataset.targets.numpy(), known)
        assert len(ready.module.classifiers) == len(findings)


@pytest.mark.slow
def test_one_finding_is_an_ordinary_run(cohort: Manifest, tmp_path: Path) -> None:
    result = start_run(cohort, settings("Clear"), tmp_path / "run")
    assert result.findings == () and result.bundle.labels == ("no Clear", "Clear")
    assert read_bundle(tmp_path / "run")[1] == result.bundle
    assert finding_folders(tmp_path / "run") == []


def test_findings_that_cannot_be_learnt(cohort: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(RunError, match=r"'train' holds one class only \(Always\)"):
        start_run(cohort, settings("Clear", "Always"), out)
    with pytest.raises(CohortError, match="no column of a finding 'Absent'"):
        start_run(cohort, settings("Clear", "Absent"), out)
    with pytest.raises(SettingsError, match="cross-validation is of one finding"):
        cross_validate(cohort, settings("Clear", "Always"), out, 3)
    with pytest.raises(SettingsError, match="'findings' is not a setting of the whole"):
        make_plan(out, ["resnet18"], [1], overrides={"findings": ["Clear"]})
    assert not out.exists()


@pytest.mark.parametrize(
    ("chosen", "problem"),
    [
        ({"findings": ["a/b", "a_b"]}, "names two findings alike"),
        ({"findings": ["a", "b"], "balanced_sampler": True}, "several with balanced_sampler"),
        ({"findings": ["a", "b"], "even_sets": 0.5}, "several with even_sets"),
        ({"findings": ["a", "b"], "teacher": "default"}, "train each finding by itself"),
    ],
)
def test_settings_that_do_not_go_together(chosen: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        make_settings(**chosen)  # type: ignore[arg-type]


def test_the_packages_bundle_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("default", "other"):
        bundle = tmp_path / run / "findings" / "a" / "bundle"
        bundle.mkdir(parents=True)
        (bundle / "bundle.json").touch()
    assert finding_folders(Path("default")) == []
    assert finding_folders(Path("other")) == [Path("other/findings/a")]
