"""The input gate of the package: what passes, what is flagged and why, what is wrong with files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.errors import WeightsError
from pneumoscope.gate import SHIPPED, InputGate, Verdict
from pneumoscope.imaging import Letterbox, Radiograph, model_input, read_radiograph


@pytest.fixture(scope="module")
def gate() -> InputGate:
    return InputGate.load()


@pytest.fixture(scope="module")
def films(phantoms: Path) -> list[Radiograph]:
    return [read_radiograph(path) for path in sorted((phantoms / "images").glob("*.png"))[:40]]


def judged(gate: InputGate, films: list[Radiograph]) -> list[Verdict]:
    return [gate.judge(*model_input(film, 224)) for film in films]


def changed(films: list[Radiograph], how: object) -> list[Radiograph]:
    assert callable(how)
    return [Radiograph(np.ascontiguousarray(how(film.pixels)), Path("film")) for film in films]


def test_phantoms_pass(gate: InputGate, films: list[Radiograph]) -> None:
    verdicts = judged(gate, films)
    assert sum(verdict.flagged for verdict in verdicts) <= 2
    assert all((verdict.reason is not None) == verdict.flagged for verdict in verdicts)
    assert all(0 <= verdict.score <= 1 for verdict in verdicts)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda pixels: 1 - pixels, "inverted"),
        (np.rot90, "rotated"),
        (lambda pixels: np.rot90(pixels, 2), "rotated"),
        (lambda pixels: np.rot90(pixels, 3), "rotated"),
        (lambda pixels: pixels * 0 + 0.4, "blank"),
    ],
)
def test_spoilt_phantoms_are_flagged_with_the_reason(
    gate: InputGate, films: list[Radiograph], how: object, reason: str
) -> None:
    verdicts = judged(gate, changed(films, how))
    assert np.mean([verdict.reason == reason for verdict in verdicts]) >= 0.9


def test_noise_is_no_chest(gate: InputGate) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8)
    verdict = gate.judge(noise)
    assert (verdict.flagged, verdict.reason) == (True, "not_chest")
    assert verdict.score > 0.9


def test_bars_of_the_letterbox_do_not_hide_a_blank_film(gate: InputGate) -> None:
    white = Radiograph(np.full((300, 100), 0.9, dtype=np.float32), Path("white"))
    pixels, letterbox = model_input(white, 224)
    assert isinstance(letterbox, Letterbox)
    assert gate.judge(pixels, letterbox).reason == "blank"


def test_what_is_no_square_of_bytes_is_refused(gate: InputGate) -> None:
    with pytest.raises(ValueError, match="uint8"):
        gate.judge(np.zeros((10, 12), dtype=np.uint8))


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    for path in (SHIPPED, SHIPPED.with_suffix(".json")):
        shutil.copy(path, tmp_path / path.name)
    model = tmp_path / SHIPPED.name
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(WeightsError, match="altered"):
        InputGate.load(model)
    model.with_suffix(".json").write_text("{}")
    with pytest.raises(WeightsError, match="format"):
        InputGate.load(model)
    model.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        InputGate.load(model)


def test_the_model_is_small() -> None:
    assert SHIPPED.stat().st_size < 1_500_000


@pytest.mark.skipif("PNEUMOSCOPE_DATA" not in os.environ, reason="needs real radiographs")
def test_real_films_pass_and_their_inversions_do_not(gate: InputGate) -> None:
    folder = Path(os.environ["PNEUMOSCOPE_DATA"]) / "chest_xray" / "test" / "NORMAL"
    paths = sorted(folder.glob("*.jpeg"))[:60]
    films = [
        Radiograph(np.asarray(Image.open(p).convert("L"), np.float32) / np.float32(255), p)
        for p in paths
    ]
    assert np.mean([v.flagged for v in judged(gate, films)]) <= 0.05
    inverted = judged(gate, changed(films, lambda pixels: 1 - pixels))
    assert np.mean([v.flagged for v in inverted]) >= 0.9
