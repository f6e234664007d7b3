"""Models that read one part of the radiograph alone, and what the test says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.audit import AuditFilm
from pneumoscope.audit.probe import Probe
from pneumoscope.audit.shortcuts import markers, shortcuts, surroundings
from pneumoscope.imaging import Letterbox

from .engines import SIZE, Films, KnownEngine

LUNGS = np.zeros((SIZE, SIZE), bool)
LUNGS[16:48, 14:28] = LUNGS[16:48, 36:50] = True
N = 40


def films(n: int = N, *, marked: bool = True) -> list[AuditFilm]:
    """Positives are brighter in the lungs and at the edge, and have a marker."""
    rng = np.random.default_rng(3)
    made = []
    for index in range(n):
        target = index % 2
        pixels = np.full((SIZE, SIZE), 90, np.float64) + rng.normal(0, 2)
        pixels[LUNGS] += 40 * target
        pixels[:3] += 40 * target
        if target and marked:
            pixels[6:8, 50:55] = 250
        made.append(
            AuditFilm(
                f"{index}.png", f"p{index}", target, pixels.round().astype(np.uint8),
                Letterbox.fit(SIZE, SIZE, SIZE), LUNGS,
            )
        )  # fmt: skip
    return made


def lungs_score(x: Films) -> NDArray[np.float64]:
    return np.asarray(50 * (x[:, LUNGS].mean(1) - 0.43))


def edge_score(x: Films) -> NDArray[np.float64]:
    return np.asarray(50 * (x[:, :3].mean((1, 2)) - 0.43))


def marker_score(x: Films) -> NDArray[np.float64]:
    return np.asarray(20 * (x[:, 6:8, 50:55].mean((1, 2)) - 0.6))


@pytest.mark.parametrize(
    ("score", "passed", "warning"),
    [
        (lungs_score, True, None),
        (edge_score, False, "edge alone"),
        (marker_score, False, "Hiding markers costs"),
    ],
)
def test_a_model_is_judged_by_what_it_reads(
    score: Callable[[Films], NDArray[np.float64]], passed: bool, warning: str | None
) -> None:
    probe = Probe(KnownEngine(score, lambda x: x))
    steps: list[tuple[int, int]] = []
    outcome = shortcuts(probe, films(), None, {}, lambda done, total: steps.append((done, total)))
    assert outcome.passed is passed
    assert steps[-1] == (6 * N, 6 * N)
    assert outcome.figures["auc_whole"].value == 1.0
    if warning is None:
        assert not outcome.warnings
        assert outcome.figures["auc_lungs_hidden"].value < 0.75
    else:
        assert any(warning in sentence for sentence in outcome.warnings)
        assert outcome.figures["auc_lungs_hidden"].value > 0.95 or score is marker_score


def test_rows_say_how_much_of_the_area_beyond_chance_is_kept() -> None:
    outcome = shortcuts(Probe(KnownEngine(edge_score, lambda x: x)), films(), None, {})
    rows = {row.label: row.figures for row in outcome.rows}
    for figures in rows.values():
        assert figures["auc_kept"].value == pytest.approx((figures["auc"].value - 0.5) / 0.5)
    assert rows["edge alone"]["auc_kept"].value == pytest.approx(1)


def test_the_table_is_a_shortcut_too() -> None:
    sample = films()
    told = {film.name: 0.8 if film.target else 0.3 for film in sample}
    outcome = shortcuts(
        Probe(KnownEngine(lungs_score, lambda x: x)), sample, None, {"view": told, "sex": {}}
    )
    assert {row.label for row in outcome.rows if "table" in row.label} == {"table: view"}
    assert any("'view' alone" in sentence for sentence in outcome.warnings)
    # It is a fault of the cohort and not of the model.
    assert outcome.passed


def of_two_sets() -> list[AuditFilm]:
    """In each set the lungs alone tell the label; the edge tells the set, of which one is ill."""
    made = []
    for index, film in enumerate(films(80, marked=False)):
        ill = index < 40
        # Every other radiograph of one label is left out.
        if film.target != ill and index % 4 in (1, 2):
            continue
        pixels = film.pixels.copy()
        pixels[:3] = 200 if ill else 90
        made.append(replace(film, pixels=pixels, cohort="ill" if ill else "well"))
    return made


def test_an_edge_that_tells_the_set_alone_is_no_shortcut_within_it() -> None:
    sample = of_two_sets()
    share = {
        name: np.mean([film.target for film in sample if film.cohort == name])
        for name in ("ill", "well")
    }
    assert share["ill"] > 0.6 > 0.4 > share["well"]

    def both(x: Films) -> NDArray[np.float64]:
        return np.asarray(lungs_score(x) + 0.2 * edge_score(x))

    probe = Probe(KnownEngine(both, lambda x: x))
    outcome = shortcuts(probe, sample, None, {})
    rows = {row.label: row.figures["auc"].value for row in outcome.rows}
    assert outcome.passed and rows["edge alone"] == pytest.approx(0.5, abs=0.1)
    assert rows["edge alone"] == pytest.approx(
        (rows["edge alone, ill"] + rows["edge alone, well"]) / 2
    )
    # The same radiographs, their sets unknown.
    pooled = shortcuts(probe, [replace(film, cohort="") for film in sample], None, {})
    assert not pooled.passed and pooled.figures["auc_edge"].value > 0.65
    assert not any("," in row.label for row in pooled.rows)


def test_an_edge_that_tells_the_label_within_a_set_is_found() -> None:
    sample = [replace(film, cohort="ab"[index // 20]) for index, film in enumerate(films())]
    outcome = shortcuts(Probe(KnownEngine(edge_score, lambda x: x)), sample, None, {})
    assert not outcome.passed and outcome.figures["auc_edge"].value == 1


def test_sets_of_one_label_are_left_out_or_named() -> None:
    probe = Probe(KnownEngine(lungs_score, lambda x: x))
    sample = films()
    more = [replace(film, cohort="ill") for film in films(8) if film.target]
    outcome = shortcuts(probe, sample + more, None, {})
    assert outcome.n == len(sample) and any("Left out: ill" in text for text in outcome.warnings)
    apart = [replace(film, cohort=f"{film.target}") for film in sample]
    outcome = shortcuts(probe, apart, None, {})
    assert outcome.n == len(sample) and outcome.figures["auc_whole"].value == 1
    assert any("Each set holds one label" in text for text in outcome.warnings)


def test_films_of_one_label_or_without_lungs_say_nothing() -> None:
    probe = Probe(KnownEngine(lungs_score, lambda x: x))
    one_label = [film for film in films() if film.target]
    assert not shortcuts(probe, one_label, None, {}).passed
    outcome = shortcuts(probe, [], None, {})
    assert (outcome.passed, outcome.n, len(outcome.warnings)) == (False, 0, 1)


def test_markers_are_small_and_bright() -> None:
    film = np.full((100, 100), 80, np.uint8)
    film[10:20, 80:83] = film[10:12, 80:88] = 230
    film[40:90, 10:60] = 200
    found = markers(film, surroundings(film))
    assert found[12:18, 81].all() and found[11, 85]
    assert not found[45:85, 15:55].any()
    assert found.mean() < 0.03
