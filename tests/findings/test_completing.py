"""Zones, the plain line, and what a finding says once all is known."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from pneumoscope.findings import (
    ENGLISH,
    Finding,
    Gate,
    GateReason,
    Region,
    Zone,
    completed,
    summary,
)
from pneumoscope.findings.zones import with_zones

LABELS = ("NORMAL", "PNEUMONIA")
HEIGHT, WIDTH = 120, 200


def lungs() -> Any:
    """Two lungs of unequal height: the patient's right one in rows 20-79, the left in 20-109."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:80, 30:90] = True
    mask[20:110, 110:170] = True
    return mask


def region(x: int, y: int) -> Region:
    """A box of 10 x 10 pixels around a point."""
    return Region(x=x - 5, y=y - 5, width=10, height=10, score=0.5)


@pytest.mark.parametrize(
    ("x", "y", "zone"),
    [
        (60, 25, "right_upper"),
        (60, 50, "right_middle"),
        (60, 75, "right_lower"),
        (140, 25, "left_upper"),
        # Lower in the radiograph than the right lung's end, in the middle of the left one.
        (140, 60, "left_middle"),
        (140, 75, "left_middle"),
        (140, 100, "left_lower"),
        (100, 60, "outside_lungs"),
        (10, 10, "outside_lungs"),
    ],
)
def test_zone_of_a_place(x: int, y: int, zone: str) -> None:
    (found,) = with_zones([region(x, y)], lungs(), (HEIGHT, WIDTH))
    assert found.zone == zone
    assert (found.x, found.score) == (x - 5, 0.5)


def test_without_lungs_the_films_own_thirds_serve() -> None:
    places = [
        region(50, 20),
        region(150, 20),
        region(50, 60),
        region(150, 95),
        region(150, 118 - 5),
    ]
    zones = [found.zone for found in with_zones(places, None, (HEIGHT, WIDTH))]
    assert zones == ["right_upper", "left_upper", "right_middle", "left_lower", "left_lower"]


def scored(probability: float = 0.9, **changes: Any) -> Finding:
    finding = Finding.from_prediction(
        "x.png", probability=probability, threshold=0.5, labels=LABELS, model="m@1"
    )
    return finding.model_copy(update=changes)


def hot(x: int, y: int) -> Any:
    heatmap = np.zeros((HEIGHT, WIDTH), np.float32)
    heatmap[y - 8 : y + 8, x - 8 : x + 8] = 1
    return heatmap


def test_positive_finding_says_where() -> None:
    found = completed(
        scored(uncertain=False),
        LABELS,
        heatmap=hot(60, 70),
        lungs=lungs(),
        in_lungs=0.617,
        gate=Gate(flagged=False, reason=None),
    )
    assert [r.zone for r in found.regions] == ["right_lower"]
    assert found.summary == (
        "Opacity likely present in the right lower zone, 62 % of the evidence inside the lungs."
    )
    assert (found.in_lungs, found.uncertain) == (0.617, False)


def test_several_places_and_doubt() -> None:
    both = np.maximum(hot(60, 70), hot(140, 30))
    found = completed(scored(uncertain=True), LABELS, heatmap=both, lungs=lungs())
    assert found.summary == (
        "Indeterminate for opacity, most suspicious in the left upper zone and the right lower "
        "zone; please review."
    )


def test_evidence_outside_the_lungs_is_said_to_be_there() -> None:
    found = completed(
        scored(uncertain=False), LABELS, heatmap=hot(100, 60), lungs=lungs(), in_lungs=0.04
    )
    assert found.summary == (
        "Opacity likely present, but the regions lie outside the lungs, "
        "4 % of the evidence inside the lungs."
    )


def test_negative_finding_has_no_regions() -> None:
    found = completed(
        scored(0.2, uncertain=False), LABELS, heatmap=hot(60, 70), lungs=lungs(), in_lungs=0.9
    )
    assert (found.regions, found.in_lungs) == ((), None)
    assert found.summary == "Opacity likely absent."
    assert completed(scored(0.2, uncertain=False), ("A", "EFFUSION")).summary == (
        "EFFUSION likely absent."
    )


@pytest.mark.parametrize(
    ("probability", "threshold", "review", "words"),
    [
        # The radiograph of the issue, with the default bundle's band and without one.
        (0.636, 0.66, (0.071, 0.917), "Indeterminate for opacity, below the threshold; please"),
        (0.636, 0.66, None, "Score for opacity below the threshold."),
        (0.7, 0.66, None, "Score for opacity at or above the threshold, but no place"),
        (0.7, 0.66, (0.071, 0.917), "Indeterminate for opacity, but no place stands out; please"),
        (0.009, 0.66, (0.071, 0.917), "Opacity likely absent."),
        (0.97, 0.66, (0.071, 0.917), "Opacity likely present, but no place stands out."),
        # A user's own threshold outside the band: band and label disagree in between.
        (0.05, 0.01, (0.071, 0.917), "Indeterminate for opacity, but no place stands out; please"),
        (0.95, 0.99, (0.071, 0.917), "Indeterminate for opacity, below the threshold; please"),
        # A band and a threshold below .5: more likely absent than present is never "likely".
        (0.4, 0.2, (0.1, 0.3), "Indeterminate for opacity, but no place stands out; please"),
        (0.6, 0.8, (0.7, 0.9), "Indeterminate for opacity, below the threshold; please"),
    ],
)
def test_words_follow_probability_and_band(
    probability: float, threshold: float, review: tuple[float, float] | None, words: str
) -> None:
    finding = Finding.from_prediction(
        "x.png",
        probability=probability,
        threshold=threshold,
        labels=LABELS,
        model="m",
        review=review,
    )
    said = completed(finding, LABELS).summary
    assert said is not None
    assert said.startswith(words)


def test_known_weaknesses_are_quoted() -> None:
    found = completed(scored(0.2, uncertain=False), LABELS, weaknesses=["half of 26 were missed"])
    assert found.weaknesses == ("half of 26 were missed",)
    assert found.summary == "Opacity likely absent. Known weakness: half of 26 were missed."


@pytest.mark.parametrize("reason", get_args(GateReason))
def test_flagged_picture_is_not_judged(reason: GateReason) -> None:
    gate = Gate(flagged=True, reason=reason)
    found = completed(
        scored(), LABELS, gate=gate, heatmap=hot(60, 70), lungs=lungs(), weaknesses=["weak"]
    )
    assert (found.label, found.probability, found.threshold) == (None, None, 0.5)
    assert (found.regions, found.uncertain, found.gate, found.weaknesses) == ((), True, gate, ())
    assert not found.judged
    assert not found.positive
    assert (
        found.summary == f"Not assessed: {ENGLISH[f'gate.{reason}']}. Please check the radiograph."
    )
    assert Finding.model_validate_json(found.json_line()) == found


def test_every_zone_has_words() -> None:
    for zone in get_args(Zone):
        text = summary(
            scored(regions=(region(50, 50).model_copy(update={"zone": zone}),)), "PNEUMONIA"
        )
        assert text is not None
        assert zone == "outside_lungs" or ENGLISH[f"zone.{zone}"] in text


def test_another_language_needs_one_table() -> None:
    table = {**ENGLISH, "absent": "Kein Hinweis auf {finding}", "label.PNEUMONIA": "Verschattung"}
    finding = scored(0.1, uncertain=False)
    assert summary(finding, "PNEUMONIA", table) == "Kein Hinweis auf Verschattung."


def test_a_radiograph_that_failed_stays_as_it_is() -> None:
    failed = Finding.from_error("x", "broken", "m@1")
    assert completed(failed, LABELS, heatmap=hot(60, 70)) == failed
    assert summary(failed, "PNEUMONIA") is None
