"""Self-training: what a teacher says of cells, where training starts, frozen layers."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from pneumoscope.bundles import DEFAULT_FOLDER, HeatmapSpec, find_bundle, read_bundle
from pneumoscope.bundles.info import DEFAULT
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.density import SIDE, on_grid, shipped_prior
from pneumoscope.errors import WeightsError
from pneumoscope.inference import load_engine
from pneumoscope.inference.heatmaps import run_heatmaps, smoothed
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.loading import load_classifier
from pneumoscope.models.registry import HALF
from pneumoscope.models.weights import pretrained_classifier
from pneumoscope.training.cache import cached_lungs, cached_pixels
from pneumoscope.training.frozen import FrozenEarly, frozen_early
from pneumoscope.training.loss import taught_cells
from pneumoscope.training.settings import make_settings
from pneumoscope.training.teacher import cached_teaching


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_taught_cells_is_the_formula() -> None:
    # One positive radiograph of five cells: taught ill, taught healthy, unknown, no lung, and ill
    # but outside the lungs.
    cells = torch.tensor([[[logit(0.2), logit(0.3), 9.0, 9.0, 9.0]]])
    lungs = torch.tensor([1.0, 1.0, 1.0, 0.1, 0.1])
    taught = torch.tensor([0.9, 0.1, 0.4, 0.1, 0.9])
    guides = torch.stack([lungs, taught])[None, :, None]
    ill = 2 * 0.8 * -math.log(0.2)
    healthy = 0.3 * -math.log(0.7)
    # A positive cell counts wherever the teacher saw it within the lungs.
    found = float(taught_cells(cells, guides, torch.tensor([1])))
    assert found == pytest.approx((ill + healthy) / 2, rel=1e-5)


def test_all_cells_of_a_negative_radiograph_are_negative() -> None:
    cells = torch.full((1, 2, 2), logit(0.4))
    guides = torch.ones(1, 2, 2, 2)
    found = float(taught_cells(cells, guides, torch.tensor([0])))
    assert found == pytest.approx(0.4 * -math.log(0.6), rel=1e-5)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    torch.manual_seed(0)
    cells, guides = torch.randn(6, 4, 4), torch.rand(6, 2, 8, 8)
    targets = torch.arange(6) % 2
    whole = taught_cells(cells, guides, targets)
    parts = [
        taught_cells(cells[rows], guides[rows], targets[rows], (guides, targets))
        for rows in (slice(0, 2), slice(2, 6))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_a_teacher_speaks_of_places_in_the_lungs(phantoms: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(phantoms / "cohort.csv")
    part = replace(manifest, table=manifest.table.head(6))
    pixels = cached_pixels(part, 256, folder=tmp_path)
    lungs = cached_lungs(pixels, folder=tmp_path)
    told: list[tuple[int, int]] = []
    taught = cached_teaching(
        DEFAULT, pixels, lungs, folder=tmp_path, progress=lambda *done: told.append(done)
    )
    assert taught.shape == lungs.shape and taught.dtype == np.uint8 and told[-1] == (6, 6)
    for film, lung in zip(taught, lungs, strict=True):
        # The strongest place falls between the cells of the coarser grid.
        assert film.max() >= 230
        assert film[lung < 26].max(initial=0) < 128
    told.clear()
    again = cached_teaching(
        DEFAULT, pixels, lungs, folder=tmp_path, progress=lambda *done: told.append(done)
    )
    np.testing.assert_array_equal(again, taught)
    assert not told


@pytest.mark.parametrize("side", [192, 320])
def test_a_student_may_have_another_size_than_its_teacher(
    phantoms: Path, tmp_path: Path, side: int
) -> None:
    manifest = Manifest.read(phantoms / "cohort.csv")
    ill = manifest.table[manifest.table["label"] == "PNEUMONIA"].head(2)
    taught = []
    for size in (256, side):
        pixels = cached_pixels(replace(manifest, table=ill), size, folder=tmp_path)
        lungs = cached_lungs(pixels, folder=tmp_path)
        maps = cached_teaching(DEFAULT, pixels, lungs, folder=tmp_path)
        taught.append([on_grid(film.astype(np.float32)) for film in maps])
    for one, other in zip(*taught, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95


def test_a_teacher_that_was_taught_is_smoothed_and_not_multiplied_by_density(
    phantoms: Path, tmp_path: Path
) -> None:
    manifest = Manifest.read(phantoms / "cohort.csv")
    pixels = cached_pixels(replace(manifest, table=manifest.table.head(2)), 256, folder=tmp_path)
    lungs = cached_lungs(pixels, folder=tmp_path)
    taught = {}
    for heatmap in ("regional+lungs", "regional+lungs+smooth"):
        bundle = tmp_path / heatmap
        shutil.copytree(DEFAULT_FOLDER, bundle)
        (bundle / "model.onnx").unlink()  # It has a description of its own.
        described = json.loads((bundle / "bundle.json").read_text()) | {"heatmap": heatmap}
        (bundle / "bundle.json").write_text(json.dumps(described))
        taught[heatmap] = cached_teaching(bundle, pixels, lungs, folder=tmp_path)
        own = HeatmapSpec.parse(heatmap)
        maps = run_heatmaps(load_engine(bundle), np.array(pixels), (own,), None).maps[own]
        for film, heat, lung, found in zip(pixels, maps, lungs, taught[heatmap], strict=True):
            square = on_grid(lung.astype(np.float32) / 255)
            wide = _resized(heat, SIDE)
            factor = shipped_prior().factor(film, lung.astype(np.float32) / 255)
            local = smoothed(wide, square) if own.smooth else wide * factor
            expected = _resized(local * square, len(lung))
            assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999
    with_density, smooth = taught.values()
    assert not np.array_equal(with_density, smooth)


def _resized(grid: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """By another library than the package's."""
    sized = F.interpolate(torch.tensor(grid)[None, None], (side, side), mode="bilinear")
    return sized[0, 0].numpy()


def test_training_starts_from_the_teacher_unless_told_otherwise() -> None:
    assert make_settings(teacher="default").start == "default"
    assert make_settings(teacher="default", weights="none").start == "none"
    assert make_settings().start == "auto"
    assert make_settings(teacher="default").taught
    assert not make_settings().taught
    assert not make_settings(teacher="default", cell_guidance=0).taught


def test_a_bundle_is_a_start() -> None:
    folder, info = read_bundle(find_bundle(DEFAULT, weights=True))
    backbone, head = info.architecture.backbone, info.architecture.head
    classifier, record = pretrained_classifier(backbone, head, 128, "default")
    expected = load_classifier(folder, info).state_dict()
    for name, tensor in classifier.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    assert classifier.training and classifier.architecture.size == 128
    assert record.name == f"bundle {info.model_id}"
    with pytest.raises(WeightsError, match=r"is a bundle of .* not of resnet18"):
        pretrained_classifier("resnet18", head, 128, "default")


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18", "mobilenet_v3"])
def test_frozen_layers_give_what_torch_gives(backbone: str) -> None:
    torch.manual_seed(0)
    classifier = Classifier(Architecture(backbone, "regional", 64, HALF, HALF)).eval()
    for layer in classifier.backbone.early_layers():
        layer.requires_grad_(False)
    early = frozen_early(classifier.backbone, 64)
    assert early is not None
    images = torch.rand(3, 1, 64, 64)
    names = list(classifier.state_dict())
    with torch.no_grad():
        plain = classifier(images)
        with early.applied():
            torch.testing.assert_close(classifier(images), plain, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(classifier(images), plain)
    assert list(classifier.state_dict()) == names


def test_layers_that_learn_stay_with_torch() -> None:
    classifier = Classifier(Architecture("resnet18", "regional", 64, HALF, HALF))
    assert frozen_early(classifier.backbone, 64) is None


def test_torch_has_its_layers_back_after_an_error() -> None:
    part = nn.Conv2d(3, 4, 3)
    early = FrozenEarly([part], 16)
    with pytest.raises(RuntimeError, match="on purpose"), early.applied():
        raise RuntimeError("on purpose")
    assert "forward" not in vars(part)
