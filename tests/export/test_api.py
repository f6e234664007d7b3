"""The Python interface: a radiograph in, its finding and heatmap out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pneumoscope
from pneumoscope import Reader
from pneumoscope.api import Film
from pneumoscope.errors import BundleError, ImageError, SettingsError
from pneumoscope.inference import Explained, Failed, selection
from tests.export.bundles import exported


@pytest.fixture(scope="module")
def reader(run_folder: Path) -> Reader:
    return pneumoscope.load(exported(run_folder).path, threads=1)


@pytest.fixture
def films(phantoms: Path) -> list[Path]:
    return sorted((phantoms / "images").glob("*.png"))[:4]


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def same(one: Explained, other: Explained) -> None:
    assert one.finding.probability == pytest.approx(other.finding.probability, abs=1e-5)
    assert one.finding.regions == other.finding.regions
    np.testing.assert_allclose(one.heatmap, other.heatmap, atol=1e-4)


@pytest.mark.slow
def test_a_file_and_its_pixels_are_found_alike(reader: Reader, films: list[Path]) -> None:
    found = reader.find(films[0])
    assert found.finding.image == str(films[0])
    assert found.finding.model == reader.info.model_id
    assert found.heatmap.shape == pixels(films[0]).shape
    same(found, reader.find(str(films[0])))
    array = reader.find(pixels(films[0]))
    same(found, array)
    assert array.finding.image == "array-0"


def test_arrays_of_any_depth_are_taken_as_files_are(
    reader: Reader, films: list[Path], tmp_path: Path
) -> None:
    levels = np.resize(pixels(films[0]), (90, 110)).astype(np.uint16)
    top = int(levels.max())
    for depth in (10, 12, 16):
        deep = (levels.astype(np.uint32) * (2**depth - 1) // top).astype(np.uint16)
        path = tmp_path / f"{depth}.png"
        Image.fromarray(deep).save(path)
        same(reader.find(path), reader.find(deep))
    unit = levels / levels.max()
    expected = reader.find((unit * 65535).round().astype(np.uint16))
    for dtype in (np.float64, np.float32):
        found = reader.find(unit.astype(dtype))
        assert found.finding.probability == pytest.approx(expected.finding.probability, abs=1e-3)


def test_several_come_back_in_their_order(reader: Reader, films: list[Path]) -> None:
    mixed: list[Film] = [films[0], pixels(films[1]), pixels(films[2]), str(films[3])]
    found = reader.find(mixed, batch_size=1)
    assert [each.finding.image for each in found] == [
        str(films[0]), "array-1", "array-2", str(films[3])
    ]  # fmt: skip
    for one, film in zip(found, films, strict=True):
        same(one, reader.find(film))
    assert reader.find([]) == []
    assert len(reader.find([films[0]])) == 1


def test_a_stream_takes_a_generator_and_goes_on_after_a_bad_film(
    reader: Reader, films: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")

    def several() -> Iterator[Any]:
        yield films[0]
        yield bad
        yield np.zeros((3, 3, 3))
        yield pixels(films[1])
        yield None

    items = list(reader.stream(several()))
    assert [type(item) for item in items] == [Explained, Failed, Failed, Explained, Failed]
    assert "shape (3, 3, 3)" in str(items[2].finding.error)
    assert "no array" in str(items[4].finding.error)


def test_an_array_may_be_filled_again_for_the_next_film(reader: Reader, films: list[Path]) -> None:
    first, second = (pixels(film) for film in films[:2])
    levels = np.empty_like(first)

    def refilled() -> Iterator[Any]:
        for each in (first, second):
            levels[:] = np.resize(each, levels.shape)
            yield levels

    for found, expected in zip(reader.stream(refilled()), (first, second), strict=True):
        assert isinstance(found, Explained)
        same(found, reader.find(np.resize(expected, levels.shape)))


def test_the_threshold_decides(reader: Reader, films: list[Path]) -> None:
    assert reader.find(films[0], threshold=0).finding.label == "PNEUMONIA"
    assert reader.find(pixels(films[0]), threshold=1).finding.label == "NORMAL"


@pytest.mark.parametrize(
    ("film", "reason"),
    [
        ("absent.png", "absent.png: does not exist"),
        ("", "is a folder"),
        (np.zeros((2, 64, 64)), r"shape \(2, 64, 64\).*as a list"),
        (np.zeros((5, 5), np.uint8), "too small"),
        (np.full((64, 64), 300, np.int32), "int32 from 300 to 300.*float from 0 to 1"),
        (np.full((64, 64), 1.5), "from 1.5 to 1.5"),
        (np.full((64, 64), np.nan), "from nan to nan"),
        (np.full((64, 64), -0.1), "from -0.1"),
        (np.zeros((64, 64), bool), "array of bool. Give uint8"),
        (np.full((64, 64), "x"), "array of <U1"),
        (None, "no array"),
        (3, "no array"),
    ],
)
def test_what_is_no_radiograph_is_refused(reader: Reader, film: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        reader.find(film)


def test_settings_out_of_range_are_refused_at_once(reader: Reader, films: list[Path]) -> None:
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="threshold"):
            reader.stream(films, threshold=threshold)
    with pytest.raises(SettingsError, match="batch size is 0"):
        reader.find(films[0], batch_size=0)


def test_a_run_is_loaded_too(reader: Reader, run_folder: Path, films: list[Path]) -> None:
    by_torch = pneumoscope.load(run_folder).find(films[1])
    by_file = reader.find(films[1])
    assert by_torch.finding.probability == pytest.approx(by_file.finding.probability, abs=1e-4)
    with pytest.raises(BundleError, match="no such bundle"):
        pneumoscope.load("absent.onnx")
    with pytest.raises(AttributeError, match="nothing"):
        pneumoscope.nothing  # noqa: B018


def test_engine_and_precision_may_be_named(run_folder: Path, films: list[Path]) -> None:
    file = exported(run_folder).path
    by_openvino = pneumoscope.load(file, engine="openvino", precision="float32", threads=1)
    assert str(by_openvino.runtime) == "openvino float32"
    same(by_openvino.find(films[0]), pneumoscope.load(file, threads=1).find(films[0]))
    with pytest.raises(BundleError, match="no int8 form"):
        pneumoscope.load(file, precision="int8")


def test_many_radiographs_are_computed_in_streams(
    run_folder: Path, films: list[Path], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exported(run_folder).path
    monkeypatch.setattr(selection, "available_cpus", lambda: 3)
    for expected, threads, streams in ((None, None, 1), (64, None, 3), (64, 2, 1)):
        many = pneumoscope.load(
            file, engine="onnxruntime", precision="float32", expected=expected, threads=threads
        )
        assert many._engine.streams == streams
        mixed: list[Film] = [films[0], pixels(films[1]), films[2]]
        for one, film in zip(many.find(mixed, batch_size=1), films, strict=False):
            same(one, reader.find(film))
