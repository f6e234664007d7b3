"""Files in, findings out."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.density import SIDE
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.findings.regions import positive_regions
from pneumoscope.imaging import Letterbox, Radiograph, model_input, read_radiograph
from pneumoscope.inference import (
    RANDOMISED,
    Engine,
    Explained,
    Failed,
    explain_in,
    film_heatmap,
    find_in,
    load_engine,
)
from pneumoscope.inference.finishing import calibrated_probability
from pneumoscope.inference.heatmaps import NO_ANATOMY, Anatomy, anatomy_of, on_film_scale
from pneumoscope.lungs import LungSegmenter

GRADCAM = HeatmapSpec("gradcam")


@pytest.fixture(scope="module")
def engine(run_folder: Path) -> Engine:
    return load_engine(run_folder)


@pytest.fixture
def films(phantoms: Path) -> list[tuple[str, Path]]:
    return [(path.name, path) for path in sorted((phantoms / "images").glob("*.png"))[:5]]


def test_order_is_kept_and_bad_files_are_reported(
    engine: Engine, films: list[tuple[str, Path]], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    mixed = [films[0], ("bad.png", bad), films[1], ("gone.png", tmp_path / "gone.png"), *films[2:]]
    for batch_size in (1, 2, 16):
        items = list(explain_in(engine, mixed, batch_size=batch_size))
        names = [i.name for i in items]
        assert names == [name for name, _ in mixed]
        assert [type(i) for i in items[:4]] == [Explained, Failed, Explained, Failed]
        assert isinstance(items[1], Failed) and items[1].finding.error
        assert items[1].finding.probability is None


def test_what_the_reader_ignored_is_in_the_finding(
    engine: Engine, films: list[tuple[str, Path]]
) -> None:
    def read(path: Path, /, *, model: int | None = None) -> Radiograph:
        return replace(
            read_radiograph(path, model=model), notes=("The pixel spacing was ignored.",)
        )

    for found in (find_in(engine, films[:1], read=read), explain_in(engine, films[:1], read=read)):
        (item,) = found
        finding = item.finding if isinstance(item, Explained | Failed) else item
        assert finding.notes == ("The pixel spacing was ignored.",)


def test_a_finding_does_not_depend_on_the_batch(
    engine: Engine, films: list[tuple[str, Path]]
) -> None:
    together = list(explain_in(engine, films, batch_size=16))
    alone = [next(iter(explain_in(engine, [film]))) for film in films]
    for first, second in zip(together, alone, strict=True):
        assert isinstance(first, Explained) and isinstance(second, Explained)
        assert first.logit == pytest.approx(second.logit, abs=1e-4)
        np.testing.assert_allclose(first.heatmap, second.heatmap, atol=1e-3)


def test_the_finding_is_the_engines_answer(engine: Engine, films: list[tuple[str, Path]]) -> None:
    item = next(iter(explain_in(engine, films[:1])))
    assert isinstance(item, Explained)
    radiograph = read_radiograph(films[0][1])
    pixels, _ = model_input(radiograph, engine.info.architecture.size)
    both = np.stack([pixels, pixels[:, ::-1]])
    logit = float(engine.run(both, []).logits.mean())
    expected = 1 / (1 + math.exp(-logit / engine.info.temperature))
    assert item.finding.probability == pytest.approx(expected, abs=1e-6)
    assert item.heatmap.shape == (radiograph.height, radiograph.width)
    assert item.heatmap.min() >= 0 and item.heatmap.max() <= 1


def test_the_threshold_decides_and_only_positives_have_regions(
    engine: Engine, films: list[tuple[str, Path]]
) -> None:
    for threshold, label in ((0.0, "PNEUMONIA"), (1.0, "NORMAL")):
        for item in explain_in(engine, films, threshold=threshold):
            assert item.finding.label == label
            assert item.finding.threshold == threshold
            if label == "NORMAL":
                assert item.finding.regions == ()
    regions = [
        region
        for item in explain_in(engine, films, threshold=0.0)
        if isinstance(item, Explained)
        for region in item.finding.regions
        if item.heatmap.max() > 0
    ]
    assert regions


def test_other_heatmaps_are_made_as_named(engine: Engine, films: list[tuple[str, Path]]) -> None:
    names = ["gradcam", "regional", "regional+mirror", "regional+lungs", RANDOMISED]
    names.append("regional+mirror+lungs+density+smooth")
    item = next(iter(explain_in(engine, films[:1], others=names, lungs=True)))
    assert isinstance(item, Explained) and item.lungs is not None
    assert list(item.others) == names
    radiograph = read_radiograph(films[0][1])
    pixels, letterbox = model_input(radiograph, engine.info.architecture.size)
    raw = engine.run(pixels[None], ["regional"]).maps["regional"][0]
    other = engine.run(pixels[None, :, ::-1].copy(), ["regional"]).maps["regional"][0]
    mean = np.add(raw, other[:, ::-1]) * np.float32(0.5)
    own = engine.info.heatmap
    assert own == "regional+mirror+lungs+density"
    (grid_of_lungs,) = LungSegmenter.load().segment(pixels[None])
    anatomy = anatomy_of(pixels, grid_of_lungs, letterbox, density=True)
    heatmaps = {**item.others, own: item.heatmap}
    for name, heatmap in heatmaps.items():
        if name in ("gradcam", RANDOMISED):
            continue
        grid = mean if "mirror" in name else raw
        expected = film_heatmap(HeatmapSpec.parse(name), grid, letterbox, anatomy)
        assert item.finding.probability is not None
        np.testing.assert_allclose(heatmap, expected * item.finding.probability, atol=1e-5)
    assert np.abs(item.others[RANDOMISED] - item.others["regional"]).mean() > 0.01
    assert np.abs(item.heatmap - item.others[names[-1]]).mean() > 0.01


def test_heatmaps_that_do_not_exist_are_refused(
    engine: Engine, films: list[tuple[str, Path]]
) -> None:
    for name, message in (
        ("magic", "unknown heatmap method 'magic'"),
        ("attention_rollout", "is not for resnet18.*choose among gradcam"),
    ):
        with pytest.raises(SettingsError, match=f"(?i){message}"):
            list(explain_in(engine, films[:1], others=[name]))


def test_without_lungs_evidence_is_not_hidden() -> None:
    letterbox = Letterbox.fit(64, 64, 64)
    pixels = np.full((64, 64), 90, dtype=np.uint8)
    anatomy = anatomy_of(pixels, np.zeros((16, 16), np.float32), letterbox, density=True)
    assert anatomy.lungs is not None and (anatomy.lungs == 1).all()
    assert anatomy.density is not None and (anatomy.density == 1).all()


def test_films_of_any_shape(engine: Engine, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((300, 100), (64, 500)):
        path = tmp_path / f"{height}.png"
        Image.fromarray(rng.integers(0, 255, (height, width), dtype=np.uint8)).save(path)
        item = next(iter(explain_in(engine, [("film", path)], threshold=0.0)))
        assert isinstance(item, Explained)
        assert item.heatmap.shape == (height, width)
        for region in item.finding.regions:
            assert region.x + region.width <= width and region.y + region.height <= height


def test_heatmaps_are_divided_by_their_peak_never_stretched() -> None:
    letterbox = Letterbox.fit(80, 80, 64)
    grid = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    film = film_heatmap(GRADCAM, grid, letterbox)
    assert film.max() == pytest.approx(1.0) and film.min() == pytest.approx(0.25)
    lungs = np.zeros((80, 80), dtype=np.float32)
    lungs[:, 40:] = 1
    anatomy = Anatomy(lungs, None)
    within = film_heatmap(replace(GRADCAM, lungs=True), grid, letterbox, anatomy)
    assert (within[:, :40] == 0).all() and within.max() == pytest.approx(1.0)
    assert within[0, 79] == pytest.approx(np.sqrt(2.0 / 4.0), abs=1e-4)
    # Lungs that nobody asked for hide nothing.
    np.testing.assert_array_equal(film_heatmap(GRADCAM, grid, letterbox, anatomy), film)
    for empty in (np.zeros((2, 2)), np.full((2, 2), 1e-9), np.full((2, 2), np.nan)):
        assert film_heatmap(GRADCAM, empty.astype(np.float32), letterbox).max() == 0
    with pytest.raises(ValueError, match="needs lungs"):
        film_heatmap(replace(GRADCAM, lungs=True), grid, letterbox)


def test_heat_has_one_scale_for_all_films() -> None:
    relative = np.array([[1.0, 0.5], [0.25, 0.0]], dtype=np.float32)
    faint, strong = on_film_scale(relative, 0.01), on_film_scale(relative, 0.9)
    assert faint.max() == pytest.approx(0.01) and strong.max() == pytest.approx(0.9)
    np.testing.assert_allclose(strong / 0.9, relative, rtol=1e-6)


def test_the_peak_of_a_heatmap_is_the_films_probability(
    engine: Engine, films: list[tuple[str, Path]]
) -> None:
    for item in explain_in(engine, films, others=["gradcam"]):
        assert isinstance(item, Explained) and item.finding.probability is not None
        for heatmap in (item.heatmap, item.others["gradcam"]):
            assert heatmap.max() == pytest.approx(item.finding.probability, abs=1e-5)


def test_the_density_factor_multiplies_the_map() -> None:
    letterbox = Letterbox.fit(64, 64, 64)
    grid = np.ones((8, 8), dtype=np.float32)
    density = np.full((SIDE, SIDE), 0.25, dtype=np.float32)
    density[10, 20] = 1.0
    anatomy = Anatomy(np.ones((64, 64), np.float32), density)
    film = film_heatmap(HeatmapSpec("regional", density=True), grid, letterbox, anatomy)
    assert film.argmax() == 10 * 64 + 20
    assert film[40, 40] == pytest.approx(0.25)
    with pytest.raises(ValueError, match="needs the density factor"):
        film_heatmap(HeatmapSpec("regional", density=True), grid, letterbox)


def test_smoothing_takes_the_mean_of_the_lung_around() -> None:
    letterbox = Letterbox.fit(SIDE, SIDE, SIDE)
    rng = np.random.default_rng(0)
    grid = rng.random((SIDE, SIDE)).astype(np.float32)
    square = np.zeros((SIDE, SIDE), dtype=np.float32)
    square[8:56, 8:28] = square[8:56, 36:56] = 1
    # Strong evidence beside the lungs is no evidence in them.
    grid[:, 30:34] = 50
    spec = HeatmapSpec("regional", lungs=True, smooth=True)
    film = film_heatmap(spec, grid, letterbox, Anatomy(square, None, square=square))
    # The definition, place by place.
    rows, columns = np.mgrid[:SIDE, :SIDE]
    expected = np.zeros((SIDE, SIDE))
    for row, column in zip(*np.nonzero(square), strict=True):
        apart = (rows - row) ** 2 + (columns - column) ** 2
        weights = square * np.exp(-0.5 * apart / (3 * SIDE / 32) ** 2)
        expected[row, column] = (weights * grid).sum() / weights.sum()
    np.testing.assert_allclose(film, expected / expected.max(), atol=1e-4)
    # Where no lungs were found it smooths over the whole radiograph.
    anywhere = np.ones_like(square)
    flat = film_heatmap(
        spec, np.full_like(grid, 0.3), letterbox, Anatomy(anywhere, None, square=anywhere)
    )
    np.testing.assert_allclose(flat, 1, atol=1e-4)
    with pytest.raises(ValueError, match="needs lungs"):
        film_heatmap(spec, grid, letterbox)


def test_the_peak_lands_where_it_was_on_a_letterboxed_film() -> None:
    letterbox = Letterbox.fit(100, 400, 64)
    grid = np.zeros((8, 8), dtype=np.float32)
    grid[4, 6] = 1.0  # The radiograph fills rows 24 to 40 of 64: cell row 4 is its lower half.
    row, column = np.unravel_index(film_heatmap(GRADCAM, grid, letterbox).argmax(), (100, 400))
    assert column == pytest.approx(6.5 / 8 * 400, abs=2)
    assert row == pytest.approx((4.5 * 8 - 24) / 16 * 100, abs=5)


def test_probability_never_overflows() -> None:
    assert calibrated_probability(1e6, 0.05) == 1.0
    assert calibrated_probability(-1e6, 0.05) == 0.0
    assert calibrated_probability(0.0, 1.0) == 0.5


def test_without_torch_the_error_says_what_to_install(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "pneumoscope.inference.torch_engine")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BundleError, match=r"needs torch.*extra 'train'"):
        load_engine(run_folder)


def test_weights_of_another_shape_are_refused(run_folder: Path, tmp_path: Path) -> None:
    import json

    bundle = Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))
    info = json.loads((bundle / "bundle.json").read_text())
    info["architecture"]["head"] = "mlp"
    (bundle / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(BundleError, match="does not fit the architecture resnet18"):
        load_engine(bundle)


def test_a_large_jpeg_has_one_answer_with_and_without_its_heatmap(
    engine: Engine, films: list[tuple[str, Path]], tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    with Image.open(films[0][1]) as film:
        film.convert("L").resize((1000, 1300), Image.Resampling.BICUBIC).save(path, quality=90)
    named = [("large.jpg", path)]
    (found,) = find_in(engine, named, threshold=0.0)
    (item,) = explain_in(engine, named, threshold=0.0)
    assert isinstance(item, Explained)
    assert found == item.finding and found.regions
    assert item.radiograph.pixels.shape == item.heatmap.shape == (1300, 1000)
    np.testing.assert_array_equal(item.radiograph.pixels, read_radiograph(path).pixels)


def test_regions_of_a_large_film_are_those_of_its_heatmap(
    engine: Engine, films: list[tuple[str, Path]], tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    with Image.open(films[0][1]) as film:
        film.convert("L").resize((777, 1303), Image.Resampling.BICUBIC).save(path)
    (item,) = explain_in(engine, [("large.png", path)], threshold=0.0)
    assert isinstance(item, Explained)
    level = engine.info.region_threshold
    expected = positive_regions(item.heatmap, threshold=level)
    assert len(item.finding.regions) == len(expected) > 0
    for region, exact in zip(item.finding.regions, expected, strict=True):
        assert region.score == pytest.approx(exact.score, abs=0.01)
        for edge in ("x", "y", "width", "height"):
            # A radiograph of 64 pixels of input has its regions on 128: ten rows each.
            assert abs(getattr(region, edge) - getattr(exact, edge)) <= 1303 / 128 * 2
    right = max(region.x + region.width for region in item.finding.regions)
    bottom = max(region.y + region.height for region in item.finding.regions)
    assert right <= 777 and bottom <= 1303


def test_where_no_lungs_were_found_nothing_is_hidden_and_nothing_is_lung() -> None:
    letterbox = Letterbox.fit(64, 64, 64)
    pixels, nowhere = np.zeros((64, 64), np.uint8), np.zeros((16, 16), np.float32)
    none = anatomy_of(pixels, nowhere, letterbox, density=True)
    assert not none.found and none.mask is None
    assert none.lungs is not None and (none.lungs == 1).all()
    assert none.density is not None and (none.density == 1).all()
    assert NO_ANATOMY.mask is None
    seen = Anatomy(np.array([[0.2, 0.5]], np.float32), None)
    assert seen.mask is not None and seen.mask.tolist() == [[False, True]]
