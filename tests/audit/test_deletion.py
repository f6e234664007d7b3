"""Deletion on engines that look at a known patch."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.audit import AuditFilm
from pneumoscope.audit.deletion import (
    LEAST,
    PERCENTAGES,
    explained_films,
    pixel_deletion,
    removal_order,
)
from pneumoscope.audit.probe import Probe
from tests.audit.engines import Films, KnownEngine, film, heat_on_square, info, square_of


def score(films: Films) -> Films:
    scores: Films = 10 * square_of(films).mean(axis=(1, 2))
    return scores


def heat_elsewhere(films: Films) -> Films:
    heat = np.zeros(films.shape)
    heat[:, 40:54, 40:54] = 1
    return heat


def films(count: int = 6, **changes: int) -> list[AuditFilm]:
    return [film(number, **changes) for number in range(count)]


def test_removing_what_counts_costs_what_it_is_worth() -> None:
    done: list[tuple[int, int]] = []
    found = pixel_deletion(
        Probe(KnownEngine(score, heat_on_square)), films(), 0, lambda a, b: done.append((a, b))
    )
    assert found.passed and found.n == 6 and not found.warnings
    assert done == [(number, 6) for number in range(1, 7)]
    for row, percentage in zip(found.rows, PERCENTAGES, strict=True):
        assert row.label == f"{percentage} %"
        # Bright 1.0 becomes the background's 0.2 with the first 5 %; the noise is .01 per pixel.
        assert row.figures["hottest"].value == pytest.approx(-8, abs=0.1)
        # All but the patch is even: nothing is lost but noise, and the patch goes last.
        assert row.figures["coldest"].value == pytest.approx(0, abs=1e-9)
    assert found.figures["road"].value == pytest.approx(8, abs=0.1)
    random = np.mean([row.figures["random"].value for row in found.rows])
    assert found.figures["morf_advantage"].value == pytest.approx(8 + random, abs=0.1)
    likely = 1 / (1 + np.exp([-10.0, -2.0]))
    assert found.figures["road_probability"].value == pytest.approx(likely[0] - likely[1], abs=0.02)


def test_a_map_that_shows_something_else_does_not_pass() -> None:
    found = pixel_deletion(Probe(KnownEngine(score, heat_elsewhere)), films(), 0)
    assert not found.passed
    assert found.figures["road"].value <= 0.05
    assert "not shown to lower the score" in found.warnings[0]


def test_maps_without_evidence_are_left_out() -> None:
    def sometimes(batch: Films) -> Films:
        shown = square_of(batch).mean(axis=(1, 2)) > 0.9
        heat: Films = heat_on_square(batch) * shown[:, None, None]
        return heat

    mixed = [*films(4), film(4, square=100), film(5, square=100)]
    assert pixel_deletion(Probe(KnownEngine(score, sometimes)), mixed, 0).n == 4
    nothing = pixel_deletion(Probe(KnownEngine(score, sometimes)), mixed[4:], 0)
    assert not nothing.passed and nothing.n == 0 and "No heatmap" in nothing.warnings[0]
    assert nothing.to_dict()["figures"]["morf_advantage"]["value"] is None


def test_padding_is_neither_removed_nor_filled() -> None:
    seen: list[Films] = []

    def watch(batch: Films) -> Films:
        seen.append(batch)
        return score(batch)

    narrow = [film(number, width=40) for number in range(3)]
    pixel_deletion(Probe(KnownEngine(watch, heat_on_square)), narrow, 0)
    every = np.concatenate(seen)
    assert not every[:, :, :12].any() and not every[:, :, 52:].any()
    assert (every[:, :, 12:52] > 0).all()


def test_order_of_removal() -> None:
    heat = np.array([[0.0, 0.9], [0.5, 0.0]], dtype=np.float32)
    draw = np.random.default_rng(0)
    assert removal_order(heat, "hottest", draw)[:2].tolist() == [1, 2]
    assert removal_order(heat, "coldest", draw)[2:].tolist() == [2, 1]
    # Ties fall at random: of the two cold pixels either comes first.
    firsts = {int(removal_order(heat, "coldest", draw)[0]) for _ in range(50)}
    assert firsts == {0, 3}


def test_random_order_is_the_same_map_rolled() -> None:
    heat = np.zeros((20, 30), dtype=np.float32)
    heat[4:8, 5:12] = 1
    draw = np.random.default_rng(3)
    removed = np.zeros(heat.shape, dtype=bool)
    removed.flat[removal_order(heat, "random", draw)[:28]] = True
    rolls = [
        np.roll(heat > 0, (down, right), axis=(0, 1)) for down in range(20) for right in range(30)
    ]
    assert sum(np.array_equal(removed, rolled) for rolled in rolls) == 1
    assert not np.array_equal(removed, heat > 0)


def test_films_explained_are_those_called_positive() -> None:
    # Scores of 10 and 2, log-odds of 5 and 1 at temperature 2; threshold .9 is log-odds 2.2.
    sample = [film(number, square=255 if number % 2 else 51) for number in range(24)]
    probe = Probe(KnownEngine(score, heat_on_square, info(threshold=0.9, temperature=2)))
    chosen, called = explained_films(probe, sample)
    assert called == 12 and [f.name for f in chosen] == [f"film{n}" for n in range(1, 24, 2)]
    few = sample[:3] + sample[4::2]
    chosen, called = explained_films(probe, few)
    assert called == 1 and len(chosen) == LEAST and chosen[1].name == "film1"
