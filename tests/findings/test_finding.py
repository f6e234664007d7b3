from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pneumoscope.errors import BundleError, SettingsError, UnreadableImage
from pneumoscope.findings import Finding, Region, decide, finding_schema

LABELS = ("NORMAL", "PNEUMONIA")
MODEL = "efficientnet_lite0@ab12cd34"
KEYS = [
    "image", "digest", "label", "probability", "threshold", "uncertain", "gate", "regions",
    "in_lungs", "heatmap", "summary", "weaknesses", "notes", "model", "error",
]  # fmt: skip


def scored(**changes: Any) -> Finding:
    values: dict[str, Any] = {
        "image": "a/b.png",
        "label": "PNEUMONIA",
        "probability": 0.9,
        "threshold": 0.5,
        "uncertain": False,
        "regions": [Region(x=1, y=2, width=3, height=4, score=0.75)],
        "heatmap": "heatmaps/b.png",
        "model": MODEL,
        "error": None,
    }
    return Finding(**(values | changes))


def test_json_line_has_exactly_these_keys_in_this_order() -> None:
    line = scored().json_line()
    assert "\n" not in line
    parsed = json.loads(line)
    assert list(parsed) == KEYS
    assert list(parsed["regions"][0]) == ["x", "y", "width", "height", "score", "zone"]
    assert parsed["regions"] == [
        {"x": 1, "y": 2, "width": 3, "height": 4, "score": 0.75, "zone": None}
    ]


def test_json_round_trip() -> None:
    finding = scored()
    assert Finding.model_validate_json(finding.json_line()) == finding


def test_from_prediction_takes_numpy_numbers_and_decides() -> None:
    finding = Finding.from_prediction(
        "x.png",
        probability=np.float32(0.25),  # type: ignore[arg-type]
        threshold=0.5,
        labels=LABELS,
        model=MODEL,
    )
    assert (finding.label, finding.probability, finding.regions) == ("NORMAL", 0.25, ())
    assert json.loads(finding.json_line())["heatmap"] is None


@pytest.mark.parametrize(
    ("probability", "uncertain"), [(0.29, False), (0.3, True), (0.7, True), (0.71, False)]
)
def test_a_probability_in_the_review_band_is_uncertain(probability: float, uncertain: bool) -> None:
    finding = Finding.from_prediction(
        "x", probability=probability, threshold=0.5, labels=LABELS, model=MODEL, review=(0.3, 0.7)
    )
    assert finding.uncertain is uncertain


def test_error_leaves_everything_else_empty() -> None:
    error = UnreadableImage("is empty", path="x.dcm", remedy="export it again")
    parsed = json.loads(Finding.from_error("x.dcm", error, MODEL).json_line())
    assert parsed == {
        "image": "x.dcm",
        "digest": None,
        "label": None,
        "probability": None,
        "threshold": None,
        "uncertain": None,
        "gate": None,
        "regions": [],
        "in_lungs": None,
        "heatmap": None,
        "summary": None,
        "weaknesses": [],
        "notes": [],
        "model": MODEL,
        "error": "x.dcm: is empty. Export it again",
    }


def test_an_error_without_words_is_named() -> None:
    assert Finding.from_error("x", MemoryError(), MODEL).error == "MemoryError"


@pytest.mark.parametrize(
    "changes",
    [
        {"probability": float("nan")},
        {"probability": 1.01},
        {"probability": "0.9"},
        {"probability": None},
        {"threshold": None},
        {"label": None},
        {"error": "broken"},
        {"error": ""},
        {"heatmap": "/tmp/x.png"},
        {"heatmap": "C:\\x.png"},
        {"heatmap": "../x.png"},
        {"heatmap": ""},
        {"image": ""},
        {"model": ""},
        {"extra": 1},
        {"in_lungs": 1.1},
        {"gate": {"flagged": True, "reason": None}},
        {"gate": {"flagged": False, "reason": "blank"}},
        {"gate": {"flagged": True, "reason": "ugly"}},
        # What the gate flagged has no result.
        {"gate": {"flagged": True, "reason": "blank"}},
        {"gate": {"flagged": True, "reason": "blank"}, "label": None, "probability": None},
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        scored(**changes)


@pytest.mark.parametrize(
    "changes", [{"x": -1}, {"width": 0}, {"score": float("nan")}, {"score": 1.2}, {"x": 1.0}]
)
def test_impossible_regions_are_refused(changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {"x": 0, "y": 0, "width": 1, "height": 1, "score": 1.0}
    Region(**values)
    with pytest.raises(ValidationError):
        Region(**(values | changes))


def test_findings_are_frozen_and_hashable() -> None:
    finding = scored()
    with pytest.raises(ValidationError):
        finding.label = "NORMAL"
    assert len({finding, scored()}) == 1


def test_schema_requires_every_key_and_no_other() -> None:
    schema = finding_schema()
    assert list(schema["properties"]) == KEYS
    assert sorted(schema["required"]) == sorted(KEYS)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Region"]["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    ("probability", "label"),
    [(0.0, "NORMAL"), (0.399, "NORMAL"), (0.4, "PNEUMONIA"), (1, "PNEUMONIA")],
)
def test_decide(probability: float, label: str) -> None:
    assert decide(probability, 0.4, LABELS) == label


def test_decide_refuses_nonsense() -> None:
    with pytest.raises(BundleError, match="probability nan"):
        decide(float("nan"), 0.5, LABELS)
    with pytest.raises(SettingsError, match="threshold"):
        decide(0.5, float("nan"), LABELS)
    with pytest.raises(BundleError, match="3 labels"):
        decide(0.5, 0.5, ("a", "b", "c"))


def test_importing_the_room_loads_no_image_library() -> None:
    code = "import sys, pneumoscope.findings; print(*[m for m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"scipy", "skimage", "matplotlib", "torch", "pandas"} & set(loaded)
