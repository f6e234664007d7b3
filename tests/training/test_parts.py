"""Settings, order, augmentation, schedule, cache."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pneumoscope import training
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import CohortError, SettingsError
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from pneumoscope.training.augment import augmentation
from pneumoscope.training.cache import cached_lungs, cached_pixels
from pneumoscope.training.data import (
    Batch,
    EpochSampler,
    PixelDataset,
    even_draws,
    plain_loader,
    train_loader,
)
from pneumoscope.training.module import ClassifierModule, warmup_cosine
from pneumoscope.training.settings import (
    make_settings,
    parse_settings,
    read_settings,
    write_settings,
)


def test_the_paper_preset_is_the_paper() -> None:
    paper = make_settings("paper")
    assert (paper.head, paper.optimizer, paper.learning_rate) == ("mlp", "adam", 1e-4)
    assert (paper.weight_decay, paper.batch_size, paper.epochs) == (1e-4, 32, 10)
    assert (paper.focal_gamma, paper.class_weights, paper.balanced_sampler) == (2.0, True, True)
    assert (paper.patience, paper.monitor, paper.augmentation) == (3, "accuracy", "paper")
    assert make_settings().balanced_sampler is False
    assert (paper.size, paper.mirror, paper.guided, paper.heatmap) == (224, False, False, "gradcam")


def test_the_heatmap_follows_from_the_settings() -> None:
    assert make_settings().heatmap == "regional+mirror+lungs+density" and make_settings().guided
    assert make_settings(teacher="default").heatmap == "regional+mirror+lungs+smooth"
    linear = make_settings(head="linear", lung_prior=False)
    assert linear.heatmap == "gradcam+mirror" and not linear.guided
    assert not make_settings(lung_guidance=0.0).guided
    plain, smooth = make_settings(teacher="default", smooth=False), make_settings(smooth=True)
    assert plain.heatmap == "regional+mirror+lungs" and plain.region_level == 0.15
    assert smooth.heatmap == "regional+mirror+lungs+density+smooth" and smooth.region_level == 0.2
    assert make_settings(smooth=True, region_threshold=0.3).region_level == 0.3


@pytest.mark.parametrize(
    "values",
    [
        {"smooth": True, "lung_prior": False},
        {"smooth": True, "head": "linear"},
        {"hide_outside": 0.5, "head": "linear"},
        {"hide_outside": 0.5, "augmentation": "none"},
        {"hide_outside": 0.5, "preset": "paper"},
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"(smooth|hide_outside).*is of head=regional"):
        make_settings(**values)


def test_a_setting_is_given_once() -> None:
    pairs = ["size=128", "augmentation.rotate=7", "augmentation.scale=0.1"]
    found = parse_settings(pairs, {"epochs": 3, "seed": None})
    assert found == {"epochs": 3, "size": 128, "amounts": {"rotate": 7, "scale": 0.1}}
    for twice in (["epochs=4"], ["size=96", "size=64"], ["augmentation.shift=0"] * 2):
        with pytest.raises(SettingsError, match="is given twice"):
            parse_settings(twice, {"epochs": 3})


def test_settings_survive_yaml(tmp_path: Path) -> None:
    settings = make_settings("paper", backbone="resnet18", epochs=2, weights=None)
    write_settings(tmp_path / "config.yaml", settings)
    assert read_settings(tmp_path / "config.yaml") == settings


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"epoch": 3}, "epoch"),
        ({"epochs": 0}, "epochs"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"learning_rate": -1}, "learning_rate"),
    ],
)
def test_unknown_and_impossible_settings_are_refused(
    overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        make_settings("default", **overrides)
    with pytest.raises(SettingsError, match="unknown preset"):
        make_settings("fast")


def test_bad_config_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in ("a: [", "- 1", "epochs: many"):
        path.write_text(text)
        with pytest.raises(SettingsError, match=r"config\.yaml"):
            read_settings(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path / "absent.yaml")


def test_order_depends_on_seed_and_epoch_alone() -> None:
    targets = np.array([0] * 10 + [1] * 30)
    first, again = EpochSampler(targets, 1, False), EpochSampler(targets, 1, False)
    epoch0 = list(first)
    assert epoch0 == list(again) and sorted(epoch0) == list(range(40))
    first.set_epoch(1)
    epoch1 = list(first)
    assert epoch1 != epoch0
    again.set_epoch(1)
    assert list(again) == epoch1
    assert list(EpochSampler(targets, 2, False)) != epoch0


def test_balanced_draws_are_balanced() -> None:
    targets = np.array([0] * 100 + [1] * 900)
    drawn = Counter(int(targets[index]) for index in EpochSampler(targets, 0, True))
    assert 400 < drawn[0] < 600 and drawn.total() == 1000


def test_even_draws_favour_small_groups_and_lose_none() -> None:
    groups = ["a/0"] * 900 + ["a/1"] * 80 + ["b/0"] * 20
    assert (even_draws(groups, 0) == 1).all()
    equal = even_draws(groups, 1)
    assert [equal[np.array(groups) == name].sum() for name in ("a/0", "a/1", "b/0")] == (
        pytest.approx([1000 / 3] * 3)
    )
    # Shares as the square roots of the sizes: 30, 8.94, 4.47.
    draws = even_draws(groups, 0.5)
    assert draws[0] * 900 == pytest.approx(1000 * 30 / (30 + 80**0.5 + 20**0.5))
    sampler = EpochSampler(np.zeros(1000, dtype=np.int64), 3, False, draws)
    times = Counter(sampler)
    assert times.total() == 1000
    assert all(abs(times[index] - draws[index]) < 1 for index in range(1000))
    assert list(sampler) == list(sampler)
    first = set(sampler)
    sampler.set_epoch(1)
    # What was not drawn in one epoch may be in another.
    assert set(sampler) - first


def test_sets_are_drawn_one_way() -> None:
    with pytest.raises(SettingsError, match="'even_sets': cannot be used with balanced_sampler"):
        make_settings("paper", even_sets=0.5)


def test_batches_hold_what_they_should() -> None:
    pixels = np.arange(10, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    dataset = PixelDataset(pixels, np.arange(10) % 2)
    batches = list(plain_loader(dataset, batch_size=4))
    assert [len(batch.targets) for batch in batches] == [4, 4, 2]
    assert batches[0].pixels.shape == (4, 1, 4, 4) and batches[0].pixels.dtype == torch.uint8
    assert batches[0].guides is None and batches[0].weights is None
    guides = np.stack([pixels[:, :2, :2], 100 + pixels[:, :2, :2]], axis=1)
    weights = np.arange(10, dtype=np.float32)
    guided = PixelDataset(pixels, np.arange(10) % 2, guides, weights)
    for batch in train_loader(guided, batch_size=4, seed=0, balanced=False):
        assert len(batch.targets) == 4 and batch.guides is not None and batch.weights is not None
        which = batch.pixels[:, 0, 0, 0]
        assert (which.long() % 2 == batch.targets).all()
        assert (batch.guides[:, 0, 1, 1] == which).all()
        assert (batch.guides[:, 1, 1, 1] == 100 + which).all()
        assert (batch.weights == which).all()


@pytest.mark.parametrize("name", ["default", "paper", "none"])
def test_augmentation_keeps_shape_and_range(name: str) -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (24, 1, 64, 48), dtype=torch.uint8)
    out, lungs = augmentation(name, mirror=True)(pixels, None)
    assert lungs is None
    assert out.shape == pixels.shape and out.dtype == torch.float32
    assert float(out.min()) >= 0 and float(out.max()) <= 1


@pytest.mark.parametrize("name", ["default", "paper"])
def test_augmentation_is_seeded_and_differs_by_radiograph(name: str) -> None:
    film = torch.from_numpy(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1)))
    pixels = film.repeat(16, 1, 1)[:, None]
    torch.manual_seed(3)
    first, _ = augmentation(name, mirror=True)(pixels, None)
    torch.manual_seed(3)
    torch.testing.assert_close(augmentation(name, mirror=True)(pixels, None)[0], first)
    assert len({image.numpy().tobytes() for image in first}) > 12
    mirrored = (first - pixels.flip(-1) / 255).abs().mean(dim=(1, 2, 3))
    straight = (first - pixels / 255).abs().mean(dim=(1, 2, 3))
    assert float(torch.minimum(straight, mirrored).mean()) < 0.2


@pytest.mark.parametrize(
    ("name", "mirror", "share"), [("default", False, 0), ("default", True, 0.5), ("paper", True, 0)]
)
def test_augmentation_mirrors_only_when_asked(name: str, mirror: bool, share: float) -> None:
    film = torch.zeros(64, 1, 64, 64, dtype=torch.uint8)
    film[:, :, :, 40:] = 255
    torch.manual_seed(0)
    out, _ = augmentation(name, mirror)(film, None)
    turned = out[..., 44:].mean(dim=(1, 2, 3)) < out[..., :20].mean(dim=(1, 2, 3))
    assert float(turned.float().mean()) == pytest.approx(share, abs=0.2)


def test_lungs_move_with_the_radiograph() -> None:
    film = torch.zeros(32, 1, 64, 64, dtype=torch.uint8)
    film[:, :, 20:44, 8:28] = 255
    lungs = torch.nn.functional.avg_pool2d(film.float(), 2).to(torch.uint8)
    torch.manual_seed(1)
    out, moved = augmentation("default", mirror=True)(film, lungs)
    assert moved is not None and moved.shape == (32, 1, 32, 32)
    coarse = torch.nn.functional.avg_pool2d(out, 2)
    for image, lung in zip(coarse, moved, strict=True):
        inside, outside = image[lung > 0.9].mean(), image[lung < 0.1].mean()
        assert inside > outside + 0.2


def test_schedule_rises_and_falls() -> None:
    factors = [warmup_cosine(step, 100, 0.1) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == factors[10] == 1.0
    assert all(a >= b for a, b in pairwise(factors[10:]))
    assert factors[100] == pytest.approx(0.01)


def cohort(folder: Path, count: int = 4) -> Manifest:
    rng = np.random.default_rng(0)
    rows = []
    for index in range(count):
        Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).save(
            folder / f"{index}.png"
        )
        rows.append((f"{index}.png", ("NORMAL", "PNEUMONIA")[index % 2], f"p{index}", "train"))
    table = pd.DataFrame(rows, columns=["image", "label", "patient", "split"])
    table.to_csv(folder / "cohort.csv", index=False)
    return Manifest.read(folder / "cohort.csv")


def test_cache_is_decoded_once_and_keyed_by_content(tmp_path: Path) -> None:
    manifest, store = cohort(tmp_path), tmp_path / "store"
    seen: list[tuple[int, int]] = []
    first = cached_pixels(manifest, 32, folder=store, progress=lambda *x: seen.append(x))
    assert first.shape == (4, 32, 32) and seen[-1] == (4, 4)
    again = cached_pixels(manifest, 32, folder=store, progress=lambda *x: seen.append(x))
    assert len(seen) == 4
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 0
    assert len(list((store / "pixels").glob("*.npy"))) == 1
    cached_pixels(manifest, 64, folder=store)
    assert len(list((store / "pixels").glob("*.npy"))) == 2


def test_cached_rows_follow_the_manifest(tmp_path: Path) -> None:
    from dataclasses import replace

    manifest, store = cohort(tmp_path), tmp_path / "store"
    straight = cached_pixels(manifest, 32, folder=store)
    reverse = replace(manifest, table=manifest.table.iloc[::-1].reset_index(drop=True))
    np.testing.assert_array_equal(cached_pixels(reverse, 32, folder=store), straight[::-1])


def test_a_radiograph_that_changed_since_the_scan_stops_training_by_name(tmp_path: Path) -> None:
    from dataclasses import replace

    manifest = cohort(tmp_path)
    known = replace(manifest, table=manifest.table.assign(sha256=manifest.digests()))
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes())
    with pytest.raises(CohortError, match=r"2\.png: is not the file that the manifest names"):
        cached_pixels(known, 32, folder=tmp_path / "store")
    assert not list((tmp_path / "store" / "pixels").glob("*"))


def test_an_unreadable_radiograph_stops_training_by_name(tmp_path: Path) -> None:
    manifest = cohort(tmp_path)
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(CohortError, match=r"2\.png.*[Rr]un `pneumoscope scan`"):
        cached_pixels(manifest, 32, folder=tmp_path / "store")
    assert not list((tmp_path / "store" / "pixels").glob("*"))


def test_lungs_are_segmented_once(phantoms: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(phantoms / "cohort.csv")
    pixels = cached_pixels(manifest, 128, folder=tmp_path)[:6]
    told: list[tuple[int, int]] = []
    lungs = cached_lungs(pixels, folder=tmp_path, progress=lambda *done: told.append(done))
    assert told[-1] == (6, 6)
    assert lungs.shape[0] == 6 and lungs.shape[1] == lungs.shape[2] and lungs.dtype == np.uint8
    share = (lungs >= 128).mean(axis=(1, 2))
    assert ((share > 0.05) & (share <= 1)).all()
    told.clear()
    np.testing.assert_array_equal(cached_lungs(pixels, folder=tmp_path), lungs)
    assert not told
    # Without lungs nothing counts as outside of them.
    blank = np.zeros((1, 128, 128), dtype=np.uint8)
    assert (cached_lungs(blank, folder=tmp_path) == 255).all()


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_augmentation_is_never_in_bfloat16(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(Architecture("resnet18", "linear", 64, HALF, HALF))
    module = ClassifierModule(classifier, make_settings(preset, head="linear"), None)
    pixels = torch.randint(0, 256, (8, 1, 64, 64), dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    features = classifier.features

    def watched(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels)
        return features(pixels)

    monkeypatch.setattr(classifier, "features", watched)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    for precise in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not precise):
            module.training_step(Batch(pixels, torch.arange(8) % 2, None), 0)
    assert torch.isfinite(seen[0]).all()
    torch.testing.assert_close(seen[0], seen[1], atol=0, rtol=0)


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "efficientnet_lite0"])
def test_frozen_layers_do_not_learn(backbone: str) -> None:
    classifier = Classifier(Architecture(backbone, "regional", 64, HALF, HALF))
    settings = make_settings(freeze_early=True)
    module = ClassifierModule(classifier, settings, None).train()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=1.0)
    module.classifier(torch.rand(4, 1, 64, 64)).sum().backward()
    optimizer.step()
    early = {id(layer) for layer in classifier.backbone.early_layers()}
    kept = [name for name, layer in classifier.named_modules() if id(layer) in early]
    assert len(kept) > 5
    changed = {n for n, value in classifier.state_dict().items() if not value.equal(before[n])}
    assert not [name for name in changed if name.rsplit(".", 1)[0] in kept]
    assert len(changed) > 20


# Torchvision cannot be imported beside torch's CPU build before `pneumoscope.models` is.
ALONE = """
import builtins, importlib, sys
plain = builtins.__import__

def watched(name, globals=None, *rest, **more):
    own = (globals or {}).get("__name__", "")
    if own.startswith("pneumoscope.") and name.partition(".")[0] in ("lightning", "torchvision"):
        assert "pneumoscope.models" in sys.modules, f"{own} imports {name} first"
    return plain(name, globals, *rest, **more)

builtins.__import__ = watched
# What it declares to torch it declares once.
KEPT = "pneumoscope.models._torchvision"
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("pneumoscope") and name != KEPT]:
        del sys.modules[name]
    importlib.import_module(f"pneumoscope.training.{module}")
"""


@pytest.mark.slow
def test_each_part_can_be_imported_by_itself() -> None:
    parts = [path.stem for path in Path(training.__path__[0]).glob("[a-z]*.py")]
    assert len(parts) > 20
    subprocess.run([sys.executable, "-W", "ignore", "-c", ALONE, *parts], check=True)
