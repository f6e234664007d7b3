"""Markers: where they are stamped, and engines that do or do not care."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pneumoscope.audit import AuditFilm, phantom_films
from pneumoscope.audit.marker import CORNERS, KINDS, marker_shortcut, on_marker, stamped
from pneumoscope.audit.outcome import Outcome
from pneumoscope.audit.probe import Probe
from pneumoscope.phantom import PhantomSettings, write_cohort
from tests.audit.engines import Films, KnownEngine, film, heat_on_square, square_of


def sample(count: int = 12) -> list[AuditFilm]:
    """Half positive: their patch is bright, that of the others dark; none is like another."""
    return [
        film(number, square=(230 if number % 2 else 20) + number, target=number % 2)
        for number in range(count)
    ]


def honest(films: Films) -> Films:
    scores: Films = 10 * square_of(films).mean(axis=(1, 2)) - 5
    return scores


def upper_left(films: Films) -> Films:
    brightest: Films = films[:, :8, :8].max(axis=(1, 2))
    return brightest


def shortcut(films: Films) -> Films:
    return honest(films) + 40 * (upper_left(films) - 0.2)


def heat_at_marker(films: Films) -> Films:
    heat = 0.5 * heat_on_square(films)
    heat[:, 3, 3] = upper_left(films) > 0.5
    return heat


def figure(found: Outcome, label: str, name: str) -> float:
    return next(row for row in found.rows if row.label == label).figures[name].value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("width", [64, 40])
def test_a_marker_is_stamped_into_the_film_s_corner(kind: str, corner: str, width: int) -> None:
    one = film(0, width=width)
    marked = stamped(one, kind, corner)
    changed = marked != one.pixels
    assert (marked[changed] == 240).all()
    rows, columns = np.nonzero(changed)
    content = one.content
    edges = (
        content[0].stop - 1 - rows.max() if "lower" in corner else rows.min(),
        content[1].stop - 1 - columns.max()
        if "right" in corner
        else columns.min() - content[1].start,
    )
    # Centre at 5.5 % of the height, radius 3 %: the marker begins at 2.5 %, 1.6 of 64 pixels.
    assert edges == (1, 1) or edges == (2, 2)
    assert np.ptp(rows) + 1 <= 4 and np.ptp(columns) + 1 <= 4
    assert 4 <= changed.sum() <= 16


def test_a_disc_has_its_area_and_a_letter_is_no_disc() -> None:
    phantom = phantom_films(1, 0, 512)[0]
    black = AuditFilm("b", "b", 0, np.zeros_like(phantom.pixels), phantom.letterbox)
    height = black.letterbox.height
    disc = np.count_nonzero(stamped(black, "disc", "upper left"))
    assert disc == pytest.approx(math.pi * (0.03 * height) ** 2, rel=0.05)
    letter = stamped(black, "letter", "upper left") > 0
    assert np.count_nonzero(letter) == pytest.approx(7 / 16 * (0.06 * height) ** 2, rel=0.1)
    rows, columns = np.nonzero(letter)
    assert letter[rows.max()].sum() == np.ptp(columns) + 1
    assert letter[rows.min()].sum() < np.ptp(columns) / 2


def test_an_engine_that_does_not_look_at_corners_passes() -> None:
    done: list[tuple[int, int]] = []
    probe = Probe(KnownEngine(honest, heat_on_square))
    found = marker_shortcut(probe, sample(), lambda a, b: done.append((a, b)))
    assert found.passed and found.n == 12 and not found.warnings
    assert done[-1] == (96, 96) and done == sorted(done)
    assert [row.label for row in found.rows] == [f"{k}, {c}" for k in KINDS for c in CORNERS]
    for row in found.rows:
        assert row.figures["flips"].value == row.figures["shift"].value == 0
        assert row.figures["peak_on_marker"].value == 0


def test_a_shortcut_is_found_in_its_corner() -> None:
    found = marker_shortcut(Probe(KnownEngine(shortcut, heat_on_square)), sample())
    assert not found.passed and len(found.warnings) == 2
    assert all("upper left" in sentence for sentence in found.warnings)
    assert "flips 50% of the decisions" in found.warnings[0]
    # From 51 to 240 levels, times 40: the same for both labels.
    expected = 40 * (240 - 51) / 255
    for name in ("shift", "shift_negative", "shift_positive"):
        assert figure(found, "disc, upper left", name) == pytest.approx(expected)
        assert figure(found, "disc, lower left", name) == 0
    spread = np.std(honest(np.stack([one.pixels for one in sample()]) / 255))
    assert figure(found, "letter, upper left", "shift_relative") == pytest.approx(expected / spread)
    assert found.figures["worst_flips"].value == 0.5


def test_a_peak_drawn_by_a_marker_is_found() -> None:
    found = marker_shortcut(Probe(KnownEngine(honest, heat_at_marker)), sample())
    assert not found.passed
    assert figure(found, "disc, upper left", "peak_gain") == 1
    assert figure(found, "disc, upper right", "peak_gain") == 0
    assert "draws the heatmap's peak onto itself on 100% of the radiographs" in found.warnings[0]


def test_a_peak_that_was_there_before_is_not_the_marker_s_doing() -> None:
    def always(films: Films) -> Films:
        heat = np.zeros(films.shape)
        heat[:, 3, 3] = 1
        return heat

    found = marker_shortcut(Probe(KnownEngine(honest, always)), sample())
    assert found.passed
    assert figure(found, "disc, upper left", "peak_on_marker") == 1
    assert figure(found, "disc, upper left", "peak_there_before") == 1


def test_an_engine_that_answers_nothing_does_not_pass() -> None:
    found = marker_shortcut(
        Probe(KnownEngine(lambda films: np.zeros(len(films)), heat_on_square)), sample()
    )
    assert not found.passed and "answers nothing" in found.warnings[-1]


@pytest.mark.parametrize("corner", CORNERS)
def test_where_a_peak_counts_as_on_the_marker(corner: str) -> None:
    # 5.5 % + 3 % of the height and half a cell: 13 pixels; distances are of pixel centres.
    for distance, expected in ((12, 1.0), (13, 0.0)):
        heat = np.zeros((100, 80), dtype=np.float32)
        row = 99 - distance if "lower" in corner else distance
        heat[row, 79 if "right" in corner else 0] = 1
        assert on_marker(heat, corner, 9) == expected
    assert math.isnan(on_marker(np.zeros((10, 10), dtype=np.float32), corner, 9))


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [1.0, None])
def test_training_on_a_planted_marker_is_found(
    correlation: float | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One recipe, the same phantoms, with and without a marker that gives the label away."""
    from pneumoscope.cohort.scan import ScanSettings, scan
    from pneumoscope.inference import load_engine
    from pneumoscope.training.runner import start_run
    from pneumoscope.training.settings import make_settings

    folder = tmp_path_factory.mktemp("shortcut")
    drawn = PhantomSettings(n=160, seed=3, size=96, marker_label_correlation=correlation)
    cohort = write_cohort(folder / "phantoms", drawn)
    manifest = scan(cohort.cohort_csv, ScanSettings()).manifest
    # float32, so that machines with and without bfloat16 train the same model.
    settings = make_settings(size=96, epochs=4, batch_size=8, seed=1, precision="float32")
    start_run(manifest, settings, folder / "run")
    engine = load_engine(folder / "run")
    found = marker_shortcut(Probe(engine), phantom_films(24, 11, 96))
    assert found.passed == (correlation is None), found.to_dict()
    if correlation is not None:
        assert figure(found, "disc, upper left", "flips") > 0.15
