"""The patient's left and right, whichever way a film is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.imaging import Orientation, Radiograph
from pneumoscope.inference import Explained, explain_in, find_in
from tests.audit.engines import SIZE, Films, KnownEngine

# One white patch on black, a little above the middle of the film's left half: on a film hung the
# usual way that is the patient's right side.
UPRIGHT = np.zeros((SIZE, SIZE), np.float32)
UPRIGHT[26:34, 12:22] = 1.0
DIRECTIONS = ("LF", "RF", "LH", "RH", "FL", "FR", "HL", "HR")


def engine() -> KnownEngine:
    """Finds pneumonia on every film, where it is bright; what lies to the left counts more."""

    def score(films: Films) -> NDArray[np.float64]:
        return np.asarray((films * np.linspace(1, 0, SIZE)).mean(axis=(1, 2)))

    return KnownEngine(score, lambda films: films)


def film(letters: str, /, *, model: int | None = None) -> Radiograph:
    """The same film as it is stored with a PatientOrientation."""
    orientation = Orientation.of(list(letters))
    return Radiograph(orientation.stored(UPRIGHT), Path(letters), orientation=orientation)


@pytest.fixture(scope="module")
def explained() -> dict[str, Explained]:
    stream = explain_in(engine(), [(each, each) for each in DIRECTIONS], read=film, threshold=0)
    return {item.name: item for item in stream if isinstance(item, Explained)}


@pytest.mark.parametrize("letters", DIRECTIONS)
def test_the_side_and_the_score_do_not_depend_on_how_a_film_is_stored(
    explained: dict[str, Explained], letters: str
) -> None:
    found, usual = explained[letters].finding, explained["LF"].finding
    assert [region.zone for region in usual.regions] == ["right_middle"]
    assert [region.zone for region in found.regions] == ["right_middle"]
    assert found.probability == usual.probability
    assert found.summary == usual.summary


@pytest.mark.parametrize("letters", DIRECTIONS)
def test_heat_and_regions_lie_on_the_stored_pixels(
    explained: dict[str, Explained], letters: str
) -> None:
    item = explained[letters]
    hot = item.radiograph.pixels == 1
    assert np.array_equal(item.heatmap >= 0.5, hot)
    rows, columns = np.nonzero(hot)
    (region,) = item.finding.regions
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) + 1 - left, int(rows.max()) + 1 - top
    assert (region.x, region.y, region.width, region.height) == (left, top, width, height)


def test_findings_alone_say_the_same(explained: dict[str, Explained]) -> None:
    found = list(find_in(engine(), [(each, each) for each in DIRECTIONS], read=film, threshold=0))
    assert found == [explained[each].finding for each in DIRECTIONS]
