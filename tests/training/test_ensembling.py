"""Ensembles of runs: they answer with the mean, and are bundles like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pneumoscope.bundles import ENSEMBLE, MemberInfo, read_bundle, write_bundle
from pneumoscope.errors import BundleError, RunError
from pneumoscope.export import export_onnx
from pneumoscope.inference import load_engine
from pneumoscope.localize import METHODS, methods_for
from pneumoscope.localize.randomise import cascade, randomised
from pneumoscope.models.classifier import positive_logit
from pneumoscope.models.ensemble import Ensemble
from pneumoscope.models.loading import load_classifier
from pneumoscope.training.averaging import average_runs
from pneumoscope.training.ensembling import ensemble_runs
from tests.export.bundles import described
from tests.models.families import films, small
from tests.training.test_averaging import altered

TEMPERATURES, BIASES = (2.0, 0.5), (0.3, -0.1)


def pair(first: str = "convnext", second: str = "vit", head: str = "linear") -> Ensemble:
    return Ensemble([small(first, head), small(second, head)], TEMPERATURES, BIASES).eval()


def written(folder: Path, ensemble: Ensemble, heatmap: str) -> Path:
    """The ensemble as a bundle."""
    folder.mkdir()
    state = {name: value.clone().contiguous() for name, value in ensemble.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    members = [
        MemberInfo(
            model_id=f"member{index}",
            architecture=described(each.architecture, heatmap)["architecture"],
            temperature=TEMPERATURES[index],
            bias=BIASES[index],
        )
        for index, each in enumerate(ensemble.members)
    ]
    fields = {**described(ensemble.architecture, heatmap), "members": members}
    write_bundle(folder, fields, ["model.safetensors"])
    return folder


def test_logits_are_the_mean_of_calibrated_ones_and_maps_the_mean() -> None:
    ensemble, pixels = pair(), films("vit", 3)
    with torch.no_grad():
        one, other = (positive_logit(member(pixels)).double() for member in ensemble.members)
        expected = ((one / 2 + 0.3) + (other / 0.5 - 0.1)) / 2
        torch.testing.assert_close(positive_logit(ensemble(pixels)).double(), expected)
    method = METHODS["gradcam"]
    found = method.explain(ensemble, pixels, torch.tensor([0, 1, 1]))
    torch.testing.assert_close(positive_logit(found.logits).double(), expected)
    # The grids are 2 x 2 and 4 x 4.
    coarse, fine = (
        method.function(each, pixels, torch.tensor([0, 1, 1])).maps for each in ensemble.members
    )
    assert coarse.shape[1:] == (2, 2) and fine.shape[1:] == found.maps.shape[1:] == (4, 4)
    same = Ensemble([small("vit", "linear")] * 2, (1, 1), (0, 0)).eval()
    peak = fine.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(
        method.explain(same, pixels, torch.tensor([0, 1, 1])).maps, fine / peak.clamp_min(1e-12)
    )


def test_probabilities_of_cells_are_averaged_as_they_are() -> None:
    ensemble, pixels = pair("convnext", "efficientnet", "regional"), films("vit", 2)
    method = METHODS["regional"]
    maps = [method.function(each, pixels).maps for each in ensemble.members]
    torch.testing.assert_close(method.explain(ensemble, pixels).maps, sum(maps) / 2)


def test_methods_are_those_that_all_members_have() -> None:
    names = {method.name for method in methods_for(pair())}
    assert {"gradcam", "scorecam"} <= names
    assert not {"layercam", "attention_rollout", "regional"} & names


def test_members_are_drawn_anew_one_by_one() -> None:
    ensemble, pixels = pair(), films("vit", 2)
    before = {name: value.clone() for name, value in ensemble.state_dict().items()}
    steps = list(cascade(ensemble, seed=3))
    assert [name for name, _ in steps] == ["member 1", "member 2"]
    with torch.no_grad():
        torch.testing.assert_close(steps[-1][1](pixels), randomised(ensemble, 3)(pixels))
        assert not torch.allclose(steps[0][1](pixels), ensemble(pixels))
    assert all(torch.equal(value, before[n]) for n, value in ensemble.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "heatmap"),
    [
        (("resnet", "vit", "linear"), "gradcam+mirror"),
        (("resnet", "vit", "regional"), "regional"),
    ],
)
def test_a_bundle_is_loaded_and_exported(
    members: tuple[str, str, str], heatmap: str, tmp_path: Path
) -> None:
    ensemble = pair(*members)
    folder = written(tmp_path / "bundle", ensemble, heatmap)
    with torch.no_grad():
        again = load_classifier(*read_bundle(folder))
        torch.testing.assert_close(again(films("vit", 2)), ensemble(films("vit", 2)))
    found = export_onnx(folder, tmp_path / "model.onnx")
    assert found.agreement.good and found.info.members[1].model_id == "member1"


def test_an_ensemble_has_members_and_nothing_else_has(tmp_path: Path) -> None:
    folder = written(tmp_path / "bundle", pair(), "gradcam")
    text = (folder / "bundle.json").read_text("utf-8")
    for changed in (
        text.replace('"ensemble"', '"resnet18"'),
        text.replace('"backbone": "test_vit"', '"backbone": "ensemble"'),
    ):
        (folder / "bundle.json").write_text(changed, "utf-8")
        with pytest.raises((BundleError, Exception), match=r"ensemble"):
            load_classifier(*read_bundle(folder))


@pytest.mark.slow
def test_runs_become_a_run(run_folder: Path, tmp_path: Path) -> None:
    other = altered(run_folder, tmp_path / "other", add=0.01)
    result = ensemble_runs([run_folder, other], tmp_path / "both")
    infos = [read_bundle(run)[1] for run in (run_folder, other)]
    assert result.bundle.architecture.backbone == ENSEMBLE
    assert [each.model_id for each in result.bundle.members] == [i.model_id for i in infos]
    size = infos[0].architecture.size
    pixels = np.random.default_rng(0).integers(0, 255, (2, size, size), dtype=np.uint8)
    apart = [load_engine(run).run(pixels, ["gradcam"]).logits for run in (run_folder, other)]
    expected = np.mean(
        [logit / i.temperature + i.bias for logit, i in zip(apart, infos, strict=True)], axis=0
    )
    together = load_engine(tmp_path / "both").run(pixels, ["gradcam"])
    np.testing.assert_allclose(together.logits, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(RunError, match="is an ensemble already"):
        ensemble_runs([tmp_path / "both", run_folder], tmp_path / "again")


def test_runs_that_do_not_belong_together_are_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="one run is not an ensemble"):
        ensemble_runs([run_folder], tmp_path / "both")
    other = altered(run_folder, tmp_path / "other", digest="0" * 64)
    with pytest.raises(RunError, match="another manifest"):
        ensemble_runs([run_folder, other], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_folder_without_settings_is_not_a_run(run_folder: Path) -> None:
    # As the folder of one of several findings.
    folder = run_folder / "bundle"
    for together in (ensemble_runs, average_runs):
        with pytest.raises(RunError, match=r"holds no config\.yaml, so it is not a run of one"):
            together([folder, folder], run_folder / "out")
