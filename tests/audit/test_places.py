"""Places of heat on radiographs whose lungs are known by construction."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from pneumoscope.audit import AuditFilm
from pneumoscope.audit.places import border_area, find_lungs, heat_places
from pneumoscope.audit.probe import Probe
from pneumoscope.bundles import HeatmapSpec
from pneumoscope.lungs import LungSegmenter
from tests.audit.engines import Films, KnownEngine, LeftHalf, film, info

SEGMENTER = cast("LungSegmenter", LeftHalf())


def score(films: Films) -> Films:
    means: Films = films.mean(axis=(1, 2))
    return means


def hot(rows: slice, columns: slice) -> Any:
    """A heatmap function: hottest in a block, faint everywhere."""

    def heat(films: Films) -> Films:
        maps = np.full(films.shape, 0.01)
        maps[:, rows, columns] = 1
        return maps

    return heat


def films(count: int = 5, known: bool = True) -> list[AuditFilm]:
    lungs = np.zeros((64, 64), dtype=bool)
    lungs[10:50, 5:30] = True
    own = [film(number) for number in range(count)]
    return [replace(one, lungs=lungs) for one in own] if known else own


def probe(rows: slice, columns: slice) -> Probe:
    return Probe(KnownEngine(score, hot(rows, columns)))


def test_heat_in_the_lungs_passes_with_its_exact_share() -> None:
    done: list[tuple[int, int]] = []
    where = probe(slice(20, 30), slice(10, 20))
    found = heat_places(where, films(), None, lambda a, b: done.append((a, b)))
    assert found.passed and not found.warnings and found.n == 5 and done == [(5, 5)]
    values = {name: interval.value for name, interval in found.figures.items()}
    share = 40 * 25 / 64**2
    inside = 100 + 0.01 * (1000 - 100)
    energy = inside / (100 + 0.01 * (64**2 - 100))
    assert values["peak_at_border"] == 0 and values["peak_in_lungs"] == 1
    assert values["lungs_share"] == pytest.approx(share)
    assert values["energy_in_lungs"] == pytest.approx(energy, rel=1e-4)
    assert values["energy_gain"] == pytest.approx(energy - share, rel=1e-4)


def test_heat_at_the_edge_does_not_pass() -> None:
    found = heat_places(probe(slice(0, 2), slice(40, 60)), films(), None)
    assert not found.passed
    border, lungs = found.warnings
    assert border.startswith("100% of the heatmaps peak within 5% of the radiograph's edge")
    assert "(random points: 18%)" in border
    assert (
        "Heat is not shown to prefer the lungs" in lungs and "cover 24% of the radiograph" in lungs
    )


def test_heat_beside_the_lungs_does_not_pass_though_far_from_the_edge() -> None:
    found = heat_places(probe(slice(20, 30), slice(40, 50)), films(), None)
    assert not found.passed and len(found.warnings) == 1


def test_without_lungs_only_the_edge_is_judged() -> None:
    found = heat_places(probe(slice(20, 30), slice(40, 50)), films(known=False), None)
    assert found.passed
    assert found.warnings == [
        "No lungs were found on 5 of 5 radiographs. Figures about lungs leave them out."
    ]
    assert found.to_dict()["figures"]["lungs_share"]["value"] is None


def test_maps_without_evidence_have_no_peak() -> None:
    engine = KnownEngine(score, lambda films: np.zeros(films.shape))
    found = heat_places(Probe(engine), films(), None)
    assert not found.passed and found.n == 0
    assert "No heatmap shows any evidence" in found.warnings[0]


def test_known_lungs_go_before_found_ones() -> None:
    known, unknown = films(1)[0], films(1, known=False)[0]
    assert find_lungs(known, SEGMENTER) is known.lungs
    found = find_lungs(unknown, SEGMENTER)
    assert found is not None and found[32, 8] and not found[:, 33:].any()
    assert find_lungs(unknown, None) is None
    empty = replace(known, lungs=np.zeros((64, 64), dtype=bool))
    assert find_lungs(empty, SEGMENTER) is None


def test_implausible_lungs_are_none() -> None:
    class Everywhere:
        def segment(self, pixels: Films) -> Films:
            return np.ones((len(pixels), 8, 8), dtype=np.float32)

    assert find_lungs(films(1, known=False)[0], cast("LungSegmenter", Everywhere())) is None


def test_the_lungs_factor_is_left_out() -> None:
    # With the factor all heat would be in the left half; it is judged by where it was before.
    engine = KnownEngine(score, hot(slice(20, 30), slice(40, 50)), info("gradcam+lungs"))
    own = Probe(engine, SEGMENTER)
    pixels = np.stack([one.pixels for one in films()])
    letterboxes = [one.letterbox for one in films()]
    delivered = own.see(pixels, letterboxes, own.own)[1][0]
    assert delivered[25, 45] < 0.1 and delivered[25, 8] == 1
    before = own.see(pixels, letterboxes, own.raw)[1][0]
    assert before[25, 45] == 1 and own.raw == HeatmapSpec("gradcam")
    assert heat_places(own, films(), SEGMENTER).figures["peak_in_lungs"].value == 0


def test_border_area() -> None:
    assert border_area(20, 20) == pytest.approx(1 - 0.9**2)
    assert border_area(100, 40) == pytest.approx(1 - 0.9 * 0.9)
    assert border_area(5, 5) == 0
    assert not math.isnan(border_area(1, 1))
