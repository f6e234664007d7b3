"""The shipped segmenter: intact, small, consistent, and right on chests whose lungs are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.errors import WeightsError
from pneumoscope.files import sha256_file
from pneumoscope.imaging import Radiograph, model_input
from pneumoscope.lungs import (
    SHIPPED,
    LungSegmenter,
    overlap,
    plausible,
    two_largest,
)
from pneumoscope.phantom import PhantomSettings, render
from pneumoscope.phantom.writing import cases

PHANTOM_DICE = 0.94
Film = tuple[Radiograph, NDArray[np.bool_]]


def film_lungs(segmenter: LungSegmenter, radiograph: Radiograph) -> NDArray[np.float32]:
    """Probability of lung on the radiograph's own pixels."""
    pixels, letterbox = model_input(radiograph, segmenter.info.side)
    return letterbox.to_film(segmenter.segment(pixels[None])[0])


@pytest.fixture(scope="module")
def segmenter() -> LungSegmenter:
    return LungSegmenter.load()


@pytest.fixture(scope="module")
def films() -> list[Film]:
    """Phantoms of 12 patients with their lungs; none has trained the model."""
    found = []
    for case in cases(PhantomSettings(n=12, seed=11, size=192, max_views=1)):
        phantom = render(case.rng, case.anatomy, case.view, case.pneumonia, size=192)
        pixels = phantom.pixels.astype(np.float32)
        found.append((Radiograph(pixels, Path(f"{case.name}.png")), phantom.lungs))
    return found


def test_the_shipped_file_is_intact_small_and_described(segmenter: LungSegmenter) -> None:
    info = segmenter.info
    assert sha256_file(SHIPPED) == info.sha256
    assert SHIPPED.stat().st_size <= 5_000_000
    assert info.id == f"lungs@{info.sha256[:8]}"
    assert "CC BY 4.0" in info.training_data and info.licence == "Apache-2.0"
    figures = info.figures["test"]
    assert figures["n"] > 100 and figures["n_patients"] > 100
    assert figures["dice"]["low"] < figures["dice"]["value"] < figures["dice"]["high"]


def test_it_finds_the_lungs_of_phantoms(segmenter: LungSegmenter, films: list[Film]) -> None:
    scores = []
    for radiograph, lungs in films:
        probability = film_lungs(segmenter, radiograph)
        assert probability.dtype == np.float32
        assert probability.shape == lungs.shape
        mask = two_largest(probability)
        scores.append(overlap(mask, lungs).dice)
    assert np.mean(scores) > PHANTOM_DICE
    assert np.sum(np.array(scores) > PHANTOM_DICE - 0.1) >= 11


def test_phantoms_are_chests_and_plain_pictures_are_not(
    segmenter: LungSegmenter, films: list[Film]
) -> None:
    found = [plausible(two_largest(film_lungs(segmenter, film))) for film, _ in films]
    assert sum(found) >= 11
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (160, 1))
    for pixels in (np.zeros((90, 120), np.float32), ramp, rng.random((128, 128), np.float32)):
        other = Radiograph(pixels, Path("other.png"))
        assert not plausible(two_largest(film_lungs(segmenter, other)))


def test_a_batch_answers_as_each_film_alone(segmenter: LungSegmenter, films: list[Film]) -> None:
    for side in (96, segmenter.info.side, 320):
        batch = np.stack([model_input(film, side)[0] for film, _ in films[:5]])
        together = segmenter.segment(batch)
        assert together.shape == (5, segmenter.info.grid, segmenter.info.grid)
        assert together.dtype == np.float32
        assert together.min() >= 0 and together.max() <= 1
        for film, answer in zip(batch, together, strict=True):
            np.testing.assert_allclose(segmenter.segment(film[None])[0], answer, atol=1e-5)


def test_the_side_of_the_input_hardly_matters(segmenter: LungSegmenter, films: list[Film]) -> None:
    for film, _ in films[:4]:
        masks = [
            segmenter.segment(model_input(film, side)[0][None])[0] >= 0.5 for side in (192, 320)
        ]
        assert overlap(masks[0], masks[1]).dice > 0.95


def test_a_wide_film_is_answered_on_its_own_grid(
    segmenter: LungSegmenter, films: list[Film]
) -> None:
    film, lungs = films[0]
    wide = np.pad(film.pixels, ((0, 0), (80, 80)))
    mask = two_largest(film_lungs(segmenter, Radiograph(wide, Path("wide.png"))))
    assert mask.shape == wide.shape
    assert overlap(mask[:, 80:-80], lungs).dice > PHANTOM_DICE - 0.1
    assert not mask[:, :40].any() and not mask[:, -40:].any()


def test_an_empty_batch_is_answered(segmenter: LungSegmenter) -> None:
    assert segmenter.segment(np.zeros((0, 64, 64), np.uint8)).shape == (
        0,
        segmenter.info.grid,
        segmenter.info.grid,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((2, 64, 48), np.uint8),
        np.zeros((2, 64, 64), np.float32),
    ],
)
def test_what_is_no_batch_of_squares_is_refused(
    segmenter: LungSegmenter, wrong: NDArray[np.uint8]
) -> None:
    with pytest.raises(ValueError, match="uint8"):
        segmenter.segment(wrong)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for suffix in (".onnx", ".json"):
        shutil.copy(SHIPPED.with_suffix(suffix), tmp_path)
    return tmp_path / SHIPPED.name


def test_a_copy_loads_and_an_altered_one_is_refused(copied: Path) -> None:
    assert LungSegmenter.load(copied, threads=2).info.sha256 == sha256_file(SHIPPED)
    content = bytearray(copied.read_bytes())
    content[len(content) // 2] ^= 1
    copied.write_bytes(content)
    with pytest.raises(WeightsError, match="altered"):
        LungSegmenter.load(copied)


def test_missing_and_strange_files_are_refused(copied: Path) -> None:
    described = copied.with_suffix(".json")
    raw = json.loads(described.read_text())
    described.write_text(json.dumps({**raw, "format": 9}))
    with pytest.raises(WeightsError, match="unknown format"):
        LungSegmenter.load(copied)
    described.write_text(json.dumps({"format": 1}))
    with pytest.raises(WeightsError, match="does not describe"):
        LungSegmenter.load(copied)
    described.write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        LungSegmenter.load(copied)
    described.write_text(json.dumps(raw))
    copied.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        LungSegmenter.load(copied)


def test_a_file_that_is_no_network_is_refused(copied: Path) -> None:
    copied.write_bytes(b"no network")
    described = copied.with_suffix(".json")
    raw = json.loads(described.read_text())
    described.write_text(json.dumps({**raw, "sha256": sha256_file(copied)}))
    with pytest.raises(WeightsError, match="cannot load"):
        LungSegmenter.load(copied)
