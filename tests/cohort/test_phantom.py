"""Phantom cohorts: reproducible, exactly annotated, and not solvable by brightness."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumoscope.errors import OutputError, SettingsError
from pneumoscope.phantom import (
    KINDS,
    PhantomCohort,
    PhantomSettings,
    draw_anatomy,
    draw_lesions,
    draw_view,
    render,
    write_cohort,
)
from pneumoscope.phantom.fields import Frame
from pneumoscope.phantom.thorax import lay_out
from pneumoscope.phantom.writing import cases, is_positive

Rows = list[dict[str, str]]
SMALL = PhantomSettings(n=30, seed=3, size=96)


def table(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> PhantomCohort:
    return write_cohort(tmp_path_factory.mktemp("phantoms") / "out", SMALL)


def test_files_and_tables_agree(cohort: PhantomCohort) -> None:
    rows = table(cohort.cohort_csv)
    assert len(rows) == cohort.radiographs == SMALL.n
    assert {row["label"] for row in rows} == {"NORMAL", "PNEUMONIA"}
    for row in rows:
        name = Path(row["image"]).name
        image = Image.open(cohort.root / row["image"])
        assert (image.mode, image.height) == ("L", SMALL.size)
        assert Image.open(cohort.root / "lungs" / name).size == image.size
        positive = row["label"] == "PNEUMONIA"
        assert (cohort.root / "masks" / name).exists() == positive
        assert (row["kind"] in KINDS) == positive
    assert len({Image.open(cohort.root / row["image"]).width for row in rows}) > 3
    assert len(list((cohort.root / "images").iterdir())) == SMALL.n
    written = json.loads((cohort.root / "phantom.json").read_text(encoding="utf-8"))
    assert PhantomSettings(**written["settings"]) == SMALL


def test_same_settings_give_the_same_bytes(cohort: PhantomCohort, tmp_path: Path) -> None:
    again = write_cohort(tmp_path / "again", SMALL)
    files = [p.relative_to(cohort.root) for p in cohort.root.rglob("*") if p.is_file()]
    assert len(files) > 2 * SMALL.n
    for file in files:
        assert (again.root / file).read_bytes() == (cohort.root / file).read_bytes(), file


def test_a_radiograph_does_not_depend_on_how_many_there_are(
    cohort: PhantomCohort, tmp_path: Path
) -> None:
    fewer = write_cohort(tmp_path / "fewer", PhantomSettings(n=7, seed=3, size=96))
    assert table(fewer.cohort_csv) == table(cohort.cohort_csv)[:7]
    for image in sorted((fewer.root / "images").iterdir()):
        assert image.read_bytes() == (cohort.root / "images" / image.name).read_bytes()


def test_another_seed_gives_other_radiographs(cohort: PhantomCohort, tmp_path: Path) -> None:
    other = write_cohort(tmp_path / "other", PhantomSettings(n=2, seed=4, size=96))
    first = "images/phantom-0001-1.png"
    assert (other.root / first).read_bytes() != (cohort.root / first).read_bytes()


def test_boxes_are_tight_around_each_component(cohort: PhantomCohort) -> None:
    boxes = table(cohort.boxes_csv)
    assert len(boxes) == cohort.lesions
    for row in table(cohort.cohort_csv):
        own = {
            tuple(int(box[key]) for key in ("x", "y", "width", "height"))
            for box in boxes
            if box["image"] == row["image"]
        }
        if row["label"] == "NORMAL":
            assert not own
            continue
        mask = pixels(cohort.root / "masks" / Path(row["image"]).name)
        assert set(np.unique(mask)) == {0, 255}
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        expected = {
            (c.start, r.start, c.stop - c.start, r.stop - r.start)
            for r, c in ndimage.find_objects(labels)
        }
        assert count >= 1
        assert own == expected


def test_lesions_lie_in_the_lungs_and_lungs_have_a_plausible_size(cohort: PhantomCohort) -> None:
    for row in table(cohort.cohort_csv):
        name = Path(row["image"]).name
        lungs = pixels(cohort.root / "lungs" / name) > 0
        assert 0.12 < lungs.mean() < 0.6
        halves = ndimage.label(lungs)[1]
        assert halves >= 2, "the mediastinum separates the lungs"
        if row["label"] == "PNEUMONIA":
            lesion = pixels(cohort.root / "masks" / name) > 0
            assert not (lesion & ~lungs).any()
            assert lesion.sum() < 0.6 * lungs.sum()


def test_lung_masks_go_on_behind_the_heart() -> None:
    for number in range(12):
        rng = np.random.default_rng(number)
        anatomy = draw_anatomy(rng)
        view = draw_view(rng, anatomy)
        frame = Frame.of(128, round(128 * view.aspect), view.pose)
        chest = lay_out(frame, anatomy, view)
        np.testing.assert_array_equal(render(rng, anatomy, view, size=128).lungs, chest.lungs)
        hidden = chest.lungs & ~chest.fields
        assert not (chest.fields & ~chest.lungs).any()
        # Behind the heart: on the patient's left more than on the right, above the diaphragm.
        left = frame.x > 0
        assert (hidden & left).sum() > 1.5 * (hidden & ~left).sum()
        assert 0.02 < (hidden & left).sum() / (chest.lungs & left).sum() < 0.5
        assert (chest.above[hidden] > 0).all() and (frame.out[hidden] < 0.24).all()


def test_it_is_a_chest_dark_lungs_bright_middle_and_abdomen(cohort: PhantomCohort) -> None:
    for row in table(cohort.cohort_csv):
        if row["label"] != "NORMAL":
            continue
        film = pixels(cohort.root / row["image"]).astype(float)
        lungs = pixels(cohort.root / "lungs" / Path(row["image"]).name) > 0
        rows, columns = np.nonzero(lungs)
        middle = round(columns.mean())
        heart = film[round(np.quantile(rows, 0.7)), middle - 2 : middle + 3].mean()
        assert heart > film[lungs].mean() + 25


def test_lesions_brighten_what_they_cover() -> None:
    differences = []
    for case in cases(PhantomSettings(n=30, seed=5, size=96)):
        if case.pneumonia is None:
            continue
        state = case.rng.bit_generator.state
        sick = render(case.rng, case.anatomy, case.view, case.pneumonia, size=96)
        case.rng.bit_generator.state = state
        well = render(case.rng, case.anatomy, case.view, size=96)
        assert not well.lesion.any()
        assert not well.boxes
        change = sick.pixels - well.pixels
        rest = sick.lungs & ~ndimage.binary_dilation(sick.lesion, iterations=4)
        differences.append(float(change[sick.lesion].mean() - change[rest].mean()))
    assert len(differences) > 5
    assert min(differences) > 0.02
    assert np.mean(differences) > 0.08


def test_views_of_a_patient_share_anatomy_lesions_and_label() -> None:
    seen: dict[str, list[str]] = {}
    anatomies: dict[str, set[int]] = {}
    for case in cases(PhantomSettings(n=40, seed=1, size=64)):
        seen.setdefault(case.patient, []).append(case.label)
        anatomies.setdefault(case.patient, set()).add(id(case.anatomy))
    assert all(len(set(labels)) == 1 for labels in seen.values())
    assert all(len(ids) == 1 for ids in anatomies.values())
    assert {len(labels) for labels in seen.values()} == {1, 2, 3}


def test_two_views_differ_but_resemble_each_other_more_than_another_patient() -> None:
    rng = np.random.default_rng(0)
    one, other = draw_anatomy(rng), draw_anatomy(rng)
    view = draw_view(rng, one)
    first, second = (render(np.random.default_rng(k), one, view, size=96).pixels for k in (1, 2))
    stranger = render(np.random.default_rng(1), other, view, size=96).pixels
    assert not np.array_equal(first, second)
    assert np.abs(first - second).mean() < 0.5 * np.abs(first - stranger).mean()


def test_names_say_nothing_about_the_label(cohort: PhantomCohort) -> None:
    for row in table(cohort.cohort_csv):
        _, patient, view = Path(row["image"]).stem.split("-")
        assert row["image"] == f"images/phantom-{patient}-{view}.png"
        assert row["patient"] == f"P{patient}"
    # Nor does the order of the patients, which the names carry.
    labels = np.array([is_positive(7, 0.5, p) for p in range(2000)])
    for period in (2, 4):
        for phase in range(period):
            assert abs(labels[phase::period].mean() - 0.5) < 0.08


@pytest.mark.parametrize("prevalence", [0.0, 0.2, 0.5, 1.0])
def test_prevalence(prevalence: float) -> None:
    labels = [is_positive(1, prevalence, p) for p in range(400)]
    assert np.mean(labels) == pytest.approx(prevalence, abs=0.005)


def test_the_planted_marker_agrees_with_the_label_as_often_as_asked() -> None:
    def agreement(correlation: float) -> float:
        settings = PhantomSettings(n=150, seed=2, size=64, marker_label_correlation=correlation)
        return float(np.mean([c.planted == (c.label == "PNEUMONIA") for c in cases(settings)]))

    assert agreement(1.0) == 1.0
    assert agreement(0.0) == 0.0
    assert agreement(0.8) == pytest.approx(0.8, abs=0.1)
    assert not any(case.planted for case in cases(PhantomSettings(n=20)))


def test_the_planted_marker_shows_and_changes_nothing_else(tmp_path: Path) -> None:
    planted = PhantomSettings(n=6, seed=2, size=96, marker_label_correlation=1.0)
    marked = write_cohort(tmp_path / "marked", planted)
    plain = write_cohort(tmp_path / "plain", PhantomSettings(n=6, seed=2, size=96))
    for row in table(marked.cohort_csv):
        a = pixels(marked.root / row["image"]).astype(int)
        b = pixels(plain.root / row["image"]).astype(int)
        assert (a[10:].tolist(), a[:, 10:].tolist()) == (b[10:].tolist(), b[:, 10:].tolist())
        assert ((a != b).any()) == (row["marker"] == "1") == (row["label"] == "PNEUMONIA")


def test_every_kind_of_pneumonia_occurs_and_small_ones_are_small() -> None:
    areas: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for number in range(40):
        rng = np.random.default_rng(number)
        anatomy = draw_anatomy(rng)
        pneumonia = draw_lesions(rng, anatomy)
        phantom = render(rng, anatomy, draw_view(rng, anatomy), pneumonia, size=96)
        assert phantom.boxes
        areas[pneumonia.kind].append(int(phantom.lesion.sum()))
    medians = {kind: np.median(area) for kind, area in areas.items()}
    assert medians["small"] < medians["patchy"] < medians["lobar"]


def test_pixels_are_a_float_film_in_range() -> None:
    rng = np.random.default_rng(0)
    anatomy = draw_anatomy(rng)
    phantom = render(rng, anatomy, draw_view(rng, anatomy), size=128)
    assert phantom.pixels.dtype == np.float32
    assert phantom.pixels.shape == phantom.lungs.shape == phantom.lesion.shape
    assert phantom.pixels.shape[0] == 128
    assert 0 <= phantom.pixels.min() < 0.1
    assert 0.85 < phantom.pixels.max() <= 1


def test_an_output_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="already exists"):
        write_cohort(tmp_path, PhantomSettings(n=1, size=64))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_progress_counts_up(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    settings = PhantomSettings(n=4, size=64)
    write_cohort(tmp_path / "out", settings, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"seed": -1},
        {"size": 10},
        {"prevalence": 1.5},
        {"max_views": 0},
        {"marker_label_correlation": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        PhantomSettings(**wrong)


@pytest.mark.slow
def test_neither_brightness_nor_a_linear_model_finds_the_label() -> None:
    means, thumbnails, labels, patients = [], [], [], []
    for case in cases(PhantomSettings(n=400, seed=7, size=128)):
        film = render(case.rng, case.anatomy, case.view, case.pneumonia, size=128).pixels
        image = Image.fromarray(np.rint(255 * film).astype(np.uint8))
        means.append(film.mean())
        thumbnails.append(np.asarray(image.resize((16, 16), Image.Resampling.BOX)).ravel() / 255)
        labels.append(case.label == "PNEUMONIA")
        patients.append(case.patient)
    brightness = roc_auc_score(labels, means)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    linear = []
    for strength in (0.001, 0.03, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        scores = cross_val_predict(
            model, np.array(thumbnails), labels, groups=patients, cv=folds, method="predict_proba"
        )
        linear.append(roc_auc_score(labels, scores[:, 1]))
    assert max(brightness, 1 - brightness) < 0.75
    assert max(linear) < 0.75
