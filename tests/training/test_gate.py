"""The input gate's training: pictures, a tiny run, the threshold, the ONNX file, the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.errors import CohortError, RunError, SettingsError
from pneumoscope.gate import KINDS, InputGate
from pneumoscope.training.gate.negatives import _MAKERS, synthetic
from pneumoscope.training.gate.net import GateNet, export_gate
from pneumoscope.training.gate.others import OtherPictures, read_others
from pneumoscope.training.gate.pictures import Sources, bent, draw, phantoms, placed, sources
from pneumoscope.training.gate.training import (
    GateSettings,
    choose_threshold,
    train_gate_nets,
)


@pytest.fixture(scope="module")
def films() -> NDArray[np.uint8]:
    return phantoms(64, 64, seed=3)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> OtherPictures:
    """40 drawings in five kinds; the first two are one exposure, the second darker."""
    folder = tmp_path_factory.mktemp("others")
    rng = np.random.default_rng(5)
    lines = ["image,kind"]
    for index in range(40):
        pixels = synthetic(rng, 96)[:, : 60 + index % 30].astype(np.uint8)
        if index == 1:
            pixels = (np.asarray(Image.open(folder / "0.png")) * 0.8).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        kind = ("lateral", "ct", "brain", "teeth", "bone")[max(index - 1, 0) % 5]
        lines.append(f"{index}.png,{kind}")
    (folder / "list.csv").write_text("\n".join(lines))
    return read_others(folder / "list.csv")


@pytest.mark.parametrize("maker", _MAKERS[:3] + _MAKERS[5:])
def test_every_maker_draws_something(maker: object) -> None:
    assert callable(maker)
    picture = maker(np.random.default_rng(0), 64)
    assert picture.shape == (64, 64)
    assert np.isfinite(picture).all()
    assert picture.std() > 0


def test_synthetic_pictures_differ_and_repeat_with_the_seed() -> None:
    first, second = (synthetic(np.random.default_rng(seed), 48) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, synthetic(np.random.default_rng(0), 48))


def test_all_kinds_are_drawn_within_range(films: NDArray[np.uint8], others: OtherPictures) -> None:
    rng = np.random.default_rng(0)
    made = sources(films, others, 4, seed=0)
    drawn = [draw(made, index % len(films), 32, rng) for index in range(250)]
    assert {one.kind for one in drawn} == set(range(len(KINDS)))
    assert all(one.pixels.shape == (32, 32) for one in drawn)
    assert all(one.pixels.min() >= 0 and one.pixels.max() <= 255 for one in drawn)
    real = [one for one in drawn if one.other >= 0]
    assert all(others.kinds[one.other] == one.kind for one in real)
    assert all(one.other >= 0 for one in drawn if KINDS[one.kind] in ("lateral", "ct"))


def test_without_other_pictures_no_lateral_and_no_ct_is_drawn(films: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw(Sources(films), index % len(films), 32, rng) for index in range(150)]
    names = {KINDS[one.kind] for one in drawn}
    assert names == set(KINDS) - {"lateral", "ct"}
    assert {one.other for one in drawn} == {-1}


def test_a_film_keeps_its_place_on_the_square_and_a_turned_one_is_turned() -> None:
    """A wedge, bright at the top: on average over many draws, bright is up, or at the left."""
    wedge = np.linspace(250, 60, 64)[:, None].repeat(64, axis=1).astype(np.uint8)
    for turn, axis in ((0, 1), (90, 0)):
        rng = np.random.default_rng(1)
        mean = np.mean([placed(Image.fromarray(wedge), 32, rng, turn) for _ in range(60)], axis=0)
        profile = mean.mean(axis=axis)[8:-8]
        assert abs(np.corrcoef(profile, np.arange(len(profile)))[0, 1]) > 0.9
        across = mean.mean(axis=1 - axis)[8:-8]
        assert np.ptp(across) < 0.5 * np.ptp(profile)


def test_bending_leaves_the_border_in_place_and_moves_the_inside() -> None:
    ramp = np.linspace(0, 255, 60)[None].repeat(60, axis=0).astype(np.uint8)
    found = np.asarray(bent(Image.fromarray(ramp), np.random.default_rng(0)), dtype=float)
    assert np.abs(found[0] - ramp[0]).max() <= 6
    assert np.abs(found[20:40, 20:40] - ramp[20:40, 20:40]).max() > 6


def test_copies_of_one_exposure_are_in_one_group_and_split(others: OtherPictures) -> None:
    assert others.groups[0] == others.groups[1]
    assert len(np.unique(others.groups)) == len(others) - 1
    assert others.splits[0] == others.splits[1]
    assert set(others.splits) <= {"train", "val", "test"}
    parts = others.folds(4)
    assert parts[0] == parts[1]
    assert set(parts) == {0, 1, 2, 3}


def test_names_of_kinds_and_their_chances(others: OtherPictures) -> None:
    of = dict(zip(others.names, others.kinds, strict=True))
    found = {name: KINDS[kind] for name, kind in of.items()}
    assert found == {
        "lateral": "lateral", "ct": "ct", "brain": "ct", "teeth": "not_chest", "bone": "not_chest"
    }  # fmt: skip
    for kind in set(others.kinds):
        assert others.chances[others.kinds == kind].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("image,kind\n", "no rows"),
        ("image;what\na.png;ct\n", "column kind is missing"),
        ("image;kind\na.png; \n", "line 2 lacks"),
    ],
)
def test_a_table_without_images_or_kinds_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(CohortError, match=message):
        read_others(tmp_path / "list.csv")


def test_what_a_network_is_not_to_see_does_not_change_it(
    films: NDArray[np.uint8], others: OtherPictures
) -> None:
    """Two networks that do not see picture 3 are the same, whatever picture 3 shows."""
    settings = GateSettings(side=16, stored_side=64, epochs=1, batch_size=16, seed=1)
    made = sources(films, others, 4, seed=0)
    blank = list(made.others)
    blank[3] = Image.new("L", blank[3].size, 200)
    hidden = np.arange(len(others)) == 3
    nets = [
        train_gate_nets(each, settings, [hidden, ~np.ones_like(hidden)])
        for each in (made, Sources(made.films, blank, made.kinds, made.chances))
    ]
    for (name, one), other in zip(
        nets[0][0].state_dict().items(), nets[1][0].state_dict().values(), strict=True
    ):
        assert np.array_equal(one.numpy(), other.numpy()), name


def test_a_tiny_run_learns_and_its_file_answers_as_the_network(
    films: NDArray[np.uint8], tmp_path: Path
) -> None:
    rows: list[dict[str, float]] = []
    settings = GateSettings(side=32, stored_side=64, epochs=8, batch_size=16, seed=1)
    nothing = [np.zeros(0, dtype=bool)]
    (net,) = train_gate_nets(Sources(films), settings, nothing, epoch=rows.append)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert export_gate([net, net], 32, tmp_path / "gate.onnx") < 1e-4


def test_the_threshold_lets_all_but_one_in_a_hundred_of_the_worst_cohort_pass() -> None:
    easy, hard = np.linspace(0, 0.1, 1000), np.linspace(0, 0.9, 1000)
    threshold = choose_threshold([easy, hard])
    assert (hard >= threshold).mean() == pytest.approx(0.01, abs=0.002)
    assert choose_threshold([easy]) == 0.4
    assert choose_threshold([np.ones(10)]) == 0.98


def test_settings_and_empty_cohorts_are_refused() -> None:
    with pytest.raises(SettingsError, match="input of 40"):
        GateSettings(side=40)
    with pytest.raises(SettingsError, match="positive"):
        GateSettings(epochs=0)
    with pytest.raises(RunError, match="no radiograph"):
        train_gate_nets(Sources(np.zeros((0, 128, 128), dtype=np.uint8)), GateSettings(), [])


def test_exposure_and_contrast_do_not_matter_to_the_network() -> None:
    import torch

    net = GateNet(32).eval()
    film = torch.rand(1, 1, 32, 32) * 100
    with torch.inference_mode():
        assert torch.allclose(net(film), net(2 * film + 30), atol=0.05)


def test_the_shipped_gate_says_where_it_comes_from() -> None:
    info = InputGate.load().info
    assert 0.4 <= info.threshold <= 0.98
    assert info.training["films"]["train"] > 1000
