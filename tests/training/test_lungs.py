"""The lung segmenter's training: data, augmentation, a tiny run, the ONNX file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pneumoscope.cohort.lung_masks import LungCase
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import CohortError, RunError, SettingsError
from pneumoscope.files import sha256_file
from pneumoscope.lungs import LungSegmenter, LungsInfo
from pneumoscope.training.lungs.augment import _reframe, augment_lungs
from pneumoscope.training.lungs.data import LungFilms, lung_cases, read_films
from pneumoscope.training.lungs.export import export_lungs
from pneumoscope.training.lungs.net import LungNet, segmentation_loss
from pneumoscope.training.lungs.training import LungSettings, mean_dice, train_lung_net

TINY = LungSettings(side=64, stored_side=96, epochs=6, batch_size=8, learning_rate=4e-3, seed=1)


@pytest.fixture(scope="module")
def parts(phantoms: Path, manifest_file: Path) -> dict[str, list[LungCase]]:
    manifest = Manifest.read(manifest_file)
    return {s: lung_cases(manifest, s, phantoms / "lungs", {}) for s in ("train", "val")}


@pytest.fixture(scope="module")
def films(parts: dict[str, list[LungCase]]) -> dict[str, LungFilms]:
    return {split: read_films(cases, TINY.stored_side) for split, cases in parts.items()}


@pytest.fixture(scope="module")
def trained(films: dict[str, LungFilms]) -> tuple[LungNet, list[dict[str, float]]]:
    rows: list[dict[str, float]] = []
    net = train_lung_net(films["train"], films["val"], TINY, epoch=rows.append)
    return net, rows


def test_films_and_masks_are_letterboxed_alike(
    parts: dict[str, list[LungCase]], films: dict[str, LungFilms]
) -> None:
    side = TINY.stored_side
    for index, case in enumerate(parts["train"][:8]):
        width, height = Image.open(case.root / case.image).size
        lungs, film = films["train"].lungs[index], films["train"].films[index]
        assert set(np.unique(lungs)) == {0, 1}
        if width > height:
            beyond = film[: (side - round(side * height / width)) // 2]
        else:
            beyond = film[:, : (side - round(side * width / height)) // 2]
        assert not beyond.any()
        # Lungs are darker than the rest of the body.
        body = (film > 20) & (lungs == 0)
        assert film[lungs == 1].mean() < film[body].mean()
    assert {c.patient for c in parts["train"]}.isdisjoint(c.patient for c in parts["val"])


def test_masks_are_asked_for(manifest_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="has a mask here"):
        lung_cases(Manifest.read(manifest_file), "train", tmp_path, {})


def test_a_squashed_film_is_trained_in_its_first_shape(tmp_path: Path) -> None:
    film = np.linspace(60, 200, 50 * 50).reshape(50, 50).astype(np.uint8)
    Image.fromarray(film).save(tmp_path / "film.png")
    mask = np.zeros((50, 50), np.uint8)
    mask[10:40, 5:20] = 255
    Image.fromarray(mask).convert("1").save(tmp_path / "mask.png")
    case = LungCase("film.png", tmp_path, tmp_path / "mask.png", "p", original=(200, 400))
    read = read_films([case], 80)
    assert (read.films[0, :20] == 0).all() and (read.films[0, 20:60] > 0).all()
    rows, columns = np.nonzero(read.lungs[0])
    assert (rows.min(), rows.max() + 1) == (28, 52)
    assert (columns.min(), columns.max() + 1) == (8, 32)


def test_augmentation_moves_film_and_lungs_together(films: dict[str, LungFilms]) -> None:
    """A film that is its own mask stays its own mask, but for tone and clutter."""
    torch.manual_seed(0)
    lungs = torch.from_numpy(films["train"].lungs[:24, None])
    pixels, masks = augment_lungs(40 + 170 * lungs, lungs, 64)
    assert pixels.shape == masks.shape == (24, 1, 64, 64)
    assert pixels.dtype == masks.dtype == torch.float32
    assert pixels.min() >= 0 and pixels.max() <= 255
    assert masks.min() >= 0 and masks.max() <= 1
    inner, outer = masks > 0.99, masks < 0.01
    agreement = [
        float(film[i].mean() - film[o].mean())
        for film, i, o in zip(pixels, inner, outer, strict=True)
        if i.any()
    ]
    assert len(agreement) >= 20
    assert np.mean(np.array(agreement) > 10) > 0.7


def test_augmentation_is_seeded_and_differs_by_film(films: dict[str, LungFilms]) -> None:
    film = torch.from_numpy(films["train"].films[:1, None]).repeat(8, 1, 1, 1)
    lungs = torch.from_numpy(films["train"].lungs[:1, None]).repeat(8, 1, 1, 1)
    torch.manual_seed(3)
    first, first_masks = augment_lungs(film, lungs, 64)
    torch.manual_seed(3)
    again, again_masks = augment_lungs(film, lungs, 64)
    torch.testing.assert_close(first, again)
    torch.testing.assert_close(first_masks, again_masks)
    assert len({mask.numpy().tobytes() for mask in first_masks}) == 8


def test_no_second_pair_of_lungs_appears(films: dict[str, LungFilms]) -> None:
    """Where a film is extended, only its margins are repeated: dark lungs stay where masks are."""
    torch.manual_seed(1)
    lungs = torch.from_numpy(films["train"].lungs[:20, None]).repeat(3, 1, 1, 1)
    marked = 0.2 + 0.8 * lungs.float()
    images, masks, inside = _reframe(marked, lungs.float(), 64)
    bright = (images > 0.9).float() * inside
    assert (bright * (masks > 0.99)).sum() > 0.95 * (masks > 0.99).sum()
    stray = (bright * (masks < 0.01)).mean(dim=(1, 2, 3))
    # A plain border may be as bright as the marked lungs.
    assert (stray > 0.02).float().mean() < 0.15


def test_a_few_pictures_have_no_lungs() -> None:
    torch.manual_seed(2)
    films = torch.full((200, 1, 48, 48), 90, dtype=torch.uint8)
    films[:, :, 8:40, 8:40] = 200
    _, masks = augment_lungs(films, (films > 100).to(torch.uint8), 32)
    none = (masks.amax(dim=(1, 2, 3)) == 0).float().mean()
    assert 0 < float(none) < 0.12


def test_the_loss_by_hand() -> None:
    lungs = torch.tensor([[[[1.0, 0.0]]]])
    even = segmentation_loss(torch.zeros_like(lungs), lungs)
    # Cross-entropy ln 2; Dice loss 1 - (2 * .5 + 1) / (.5 + 1 + 1).
    assert float(even) == pytest.approx(np.log(2) + 1 - 2 / 2.5)
    assert float(segmentation_loss(torch.tensor([[[[20.0, -20.0]]]]), lungs)) < 1e-6
    assert float(segmentation_loss(torch.tensor([[[[-20.0, 20.0]]]]), lungs)) > 10


def test_a_tiny_training_learns(
    trained: tuple[LungNet, list[dict[str, float]]], films: dict[str, LungFilms]
) -> None:
    net, rows = trained
    assert [row["epoch"] for row in rows] == list(range(TINY.epochs))
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]
    assert rows[-1]["val_dice"] == pytest.approx(mean_dice(net, films["val"], TINY.side), abs=1e-4)
    torch.manual_seed(0)
    assert rows[-1]["val_dice"] > mean_dice(LungNet(), films["val"], TINY.side) + 0.1
    assert not net.training


def test_training_repeats(films: dict[str, LungFilms]) -> None:
    settings = LungSettings(side=32, stored_side=96, epochs=1, batch_size=8, seed=5)
    few = LungFilms(films["train"].films[:16], films["train"].lungs[:16])
    first, again = (train_lung_net(few, few, settings).state_dict() for _ in range(2))
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name]), name


def test_onnx_equals_torch_and_serves(
    trained: tuple[LungNet, list[dict[str, float]]], films: dict[str, LungFilms], tmp_path: Path
) -> None:
    net, _ = trained
    model = tmp_path / "lungs.onnx"
    assert export_lungs(net, TINY.side, model) < 1e-3
    info = LungsInfo(
        sha256=sha256_file(model),
        side=TINY.side,
        grid=TINY.side // 2,
        licence="none",
        training_data="phantoms",
        training={},
        figures={},
    )
    info.write(model)
    assert json.loads(model.with_suffix(".json").read_text())["sha256"] == info.sha256
    segmenter = LungSegmenter.load(model)
    assert segmenter.info == info
    small = films["val"].films[:4, ::1, ::1][:, 16:80, 16:80]
    with torch.inference_mode():
        expected = torch.sigmoid(net(torch.from_numpy(small[:, None]).float()))[:, 0].numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(segmenter.segment(small), expected, atol=1e-3)


def test_nothing_to_learn_from_is_refused(films: dict[str, LungFilms]) -> None:
    none = LungFilms(films["train"].films[:0], films["train"].lungs[:0])
    with pytest.raises(RunError, match="no radiograph"):
        train_lung_net(none, films["val"], TINY)
    with pytest.raises(SettingsError, match="does not fit"):
        LungSettings(side=100)
    with pytest.raises(SettingsError, match="positive"):
        LungSettings(epochs=0)
