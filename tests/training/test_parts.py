"""Settings, order, augmentation, schedule, cache."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import CohortError, SettingsError
from pneumoscope.training.augment import augmentation
from pneumoscope.training.cache import cached_pixels
from pneumoscope.training.data import EpochSampler, PixelDataset, plain_loader, train_loader
from pneumoscope.training.module import warmup_cosine
from pneumoscope.training.settings import (
    make_settings,
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


def test_batches_hold_what_they_should() -> None:
    pixels = np.arange(10, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    dataset = PixelDataset(pixels, np.arange(10) % 2)
    batches = list(plain_loader(dataset, batch_size=4))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert batches[0][0].shape == (4, 1, 4, 4) and batches[0][0].dtype == torch.uint8
    for x, y in train_loader(dataset, batch_size=4, seed=0, balanced=False):
        assert len(y) == 4
        assert (x[:, 0, 0, 0].long() % 2 == y).all()


@pytest.mark.parametrize("name", ["default", "paper", "none"])
def test_augmentation_keeps_shape_and_range(name: str) -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (24, 1, 64, 48), dtype=torch.uint8)
    out = augmentation(name)(pixels)
    assert out.shape == pixels.shape and out.dtype == torch.float32
    assert float(out.min()) >= 0 and float(out.max()) <= 1


@pytest.mark.parametrize("name", ["default", "paper"])
def test_augmentation_is_seeded_and_differs_by_radiograph(name: str) -> None:
    film = torch.from_numpy(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1)))
    pixels = film.repeat(16, 1, 1)[:, None]
    torch.manual_seed(3)
    first = augmentation(name)(pixels)
    torch.manual_seed(3)
    torch.testing.assert_close(augmentation(name)(pixels), first)
    assert len({image.numpy().tobytes() for image in first}) > 12
    assert float((first - pixels / 255).abs().mean()) < 0.2


def test_augmentation_never_flips() -> None:
    film = torch.zeros(64, 1, 64, 64, dtype=torch.uint8)
    film[:, :, :, 40:] = 255
    for name in ("default", "paper"):
        torch.manual_seed(0)
        out = augmentation(name)(film)
        assert (out[..., 44:].mean(dim=(1, 2, 3)) > out[..., :20].mean(dim=(1, 2, 3))).all()


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


def test_an_unreadable_radiograph_stops_training_by_name(tmp_path: Path) -> None:
    manifest = cohort(tmp_path)
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(CohortError, match=r"2\.png.*[Rr]un `pneumoscope scan`"):
        cached_pixels(manifest, 32, folder=tmp_path / "store")
    assert not list((tmp_path / "store" / "pixels").glob("*"))
