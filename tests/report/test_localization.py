from __future__ import annotations

from typing import Any

import pytest

from pneumoscope.localize import METHODS
from pneumoscope.report.localization_view import (
    ALL,
    Line,
    headline_table,
    localization_view,
    ordered,
)
from pneumoscope.report.localization_words import (
    FIGURES,
    HEADLINES,
    HEADLINES_ALL,
    HEADLINES_LUNGS,
    localization_meaning,
    localization_name,
)
from pneumoscope.report.numbers import method_name, metric_name

OWN = "gradcam+mirror+lungs"


def interval(value: float | None, half: float = 0.1) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def counts(**changes: int) -> dict[str, int]:
    known = {
        "n": 40, "n_patients": 30, "n_boxes": 1200, "n_missed": 0, "n_negatives": 0, "n_flat": 0,
        "n_nan": 0,
    }  # fmt: skip
    return known | changes


def group(n: int, peak: float) -> dict[str, Any]:
    return {"n": n, "n_patients": n - 1, "figures": {"peak_in_box": interval(peak)}}


def metrics() -> dict[str, Any]:
    """Made up for tests, in the form that `evaluate` writes."""
    seen = {
        "random": {"peak_in_box": interval(0.1), "iou@0.5": interval(0.0)},
        "gradcam": {"peak_in_box": interval(0.5), "iou@0.5": interval(0.2)},
        "usual_location": {"peak_in_box": interval(0.45), "iou@0.5": interval(None)},
        OWN: {
            "mean_iou": interval(0.3),
            "peak_in_box": interval(0.6),
            "iou@0.5": interval(0.25),
            "peak_in_lungs": interval(0.9),
        },
    }
    every = {name: {**figures, "froc": interval(0.3)} for name, figures in seen.items()}
    return {
        "localization": seen,
        "localization_all": every,
        "localization_method": OWN,
        "localization_details": {
            "slice": "test half",
            "lungs_from": "segmenter",
            "methods": {
                OWN: {
                    "threshold": 0.35,
                    "threshold_from": "tuning half",
                    "slices": {
                        "true_positives": counts(n_flat=1, n_nan=2),
                        "all": counts(n=50, n_missed=10, n_negatives=3000),
                    },
                }
            },
            "paired": {
                "gradcam": {
                    "n": 40,
                    "figures": {"peak_in_box": interval(0.2), "mean_iou": interval(-0.2)},
                },
                "usual_location": {"n": 40, "figures": {"peak_in_box": interval(0.05)}},
                "lungs": {"n": 40, "figures": {"peak_in_box": interval(-0.3)}},
            },
            "groups": {
                "size_boundaries": [0.0312, 0.0744],
                "methods": {
                    OWN: {
                        "lesion_size": {
                            "large": group(9, 0.9), "medium": group(8, 0.8), "small": group(7, 0.2),
                        },
                        "view": {"AP": group(12, 0.7)},
                    },
                    "usual_location": {"lesion_size": {"small": group(7, 0.1)}},
                },
            },
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "name", "baseline"),
    [
        ("gradcam", "Grad-CAM", False),
        ("gradcam+mirror+lungs", "Grad-CAM + mirror + lungs", False),
        ("gradcam_plus_plus+lungs", "Grad-CAM++ + lungs", False),
        ("regional+mirror", "Regional + mirror", False),
        ("lungs", "Lungs alone", True),
        ("usual_location", "Usual location", True),
        ("randomised_weights", "Randomised weights", True),
        ("centre", "Centre of the radiograph", True),
        ("my_method+lungs", "my method + lungs", False),
        ("", "", False),
    ],
)
def test_methods_have_names(key: str, name: str, baseline: bool) -> None:
    assert method_name(key) == (name, baseline)


def test_names_agree_with_the_registry() -> None:
    assert {name: method_name(name)[0] for name in METHODS} == {
        name: method.title for name, method in METHODS.items()
    }


def test_figures_have_names_and_meanings() -> None:
    for key in {*HEADLINES, *HEADLINES_ALL, *HEADLINES_LUNGS, *FIGURES}:
        assert localization_meaning(key), key
    assert len({name for name, _ in FIGURES.values()}) == len(FIGURES)
    assert localization_name("iou@0.3") == "IoU ≥ 0.3"
    assert localization_name("froc@0.125") == "Found at 0.125 false"
    assert "pure" in localization_meaning("iobb@0.5")
    assert localization_name("mean_iou@0.5") != localization_name("mean_iou")
    assert (localization_name("odd_one@2"), localization_meaning("odd_one@2")) == ("Odd one@2", "")
    # The same letters mean another thing in classification.
    assert localization_name("auprc") == "Pixel AP" and metric_name("auprc") == "PR-AUC"
    # Files of older versions.
    assert localization_name("peak_in_lesion") == metric_name("peak_in_box") == "Peak in lesion"


def test_order_is_own_then_methods_then_baselines() -> None:
    names = ["random", "gradcam", "lungs", OWN, "hirescam"]
    assert ordered(names, OWN) == [OWN, "gradcam", "hirescam", "random", "lungs"]
    assert ordered(names, None) == ["gradcam", OWN, "hirescam", "random", "lungs"]


def test_headlines_come_first_and_the_rest_follows() -> None:
    view = localization_view(metrics())
    assert view is not None
    seen, every = view.parts
    assert seen.headline.columns == ["Peak in lesion", "IoU at tuned heat"]
    assert seen.headline.lines == [
        Line(
            "Grad-CAM + mirror + lungs",
            ["0.600 (0.500 to 0.700)", "0.300 (0.200 to 0.400)"],
            own=True,
        ),
        Line("Grad-CAM", ["0.500 (0.400 to 0.600)", ""]),
        Line("Random heat", ["0.100 (0.000 to 0.200)", ""], baseline=True),
        Line("Usual location", ["0.450 (0.350 to 0.550)", ""], baseline=True),
    ]
    assert [(table.title, table.columns) for table in seen.further] == [
        ("Regions on lesions, by overlap asked for", ["IoU ≥ 0.5"]),
        ("Lungs and border", ["Peak in lungs"]),
        ("Heat thresholds", ["Threshold", "Chosen on"]),
    ]
    assert seen.further[0].lines[3].texts == ["n/a"]
    assert seen.further[2].lines == [
        Line("Grad-CAM + mirror + lungs", ["0.35", "tuning half"], own=True)
    ]
    assert every.headline.columns == ["Peak in lesion", "FROC score"]
    # Every figure of a slice is in one table, once.
    for part, columns in ((seen, 4), (every, 5)):
        tables = [part.headline, *part.further]
        shown = [c for table in tables if table.title != "Heat thresholds" for c in table.columns]
        assert len(shown) == len(set(shown)) == columns
    assert headline_table(metrics(), ALL) == every.headline


def test_counts_are_told() -> None:
    view = localization_view(metrics())
    assert view is not None
    assert view.parts[0].facts == [
        "40 radiographs of 30 patients with 1,200 lesions, all called positive.",
        "The model's own heatmap shows no evidence on 3 of them; these hit nothing.",
    ]
    (fact,) = view.parts[1].facts
    assert fact.startswith("50 radiographs with 1,200 lesions, of which the classifier missed 10")
    assert "3,000 without lesions" in fact


def test_differences_say_what_is_told_apart() -> None:
    view = localization_view(metrics())
    assert view is not None
    table = view.parts[0].differences
    assert table is not None and view.parts[1].differences is None
    assert table.columns == ["Peak in lesion", "IoU at tuned heat"]
    assert [(line.name, line.texts) for line in table.lines] == [
        ("Grad-CAM", ["▲+0.200 (+0.100 to +0.300)", "▼-0.200 (-0.300 to -0.100)"]),
        ("Usual location", ["+0.050 (-0.050 to +0.150)", ""]),
        ("Lungs alone", ["▼-0.300 (-0.400 to -0.200)", ""]),
    ]
    halves, lungs, *verdicts = view.sentences
    assert "tuning half" in halves and "segmenter" in lungs
    assert verdicts == [
        "Grad-CAM + mirror + lungs peaks in a lesion more often than Grad-CAM: +0.200 (+0.100 to "
        "+0.300), on the same 40 true positives.",
        "Grad-CAM + mirror + lungs peaks in a lesion neither clearly more nor less often than "
        "Usual location: +0.050 (-0.050 to +0.150), on the same 40 true positives.",
        "Grad-CAM + mirror + lungs peaks in a lesion less often than Lungs alone: -0.300 (-0.400 "
        "to -0.200), on the same 40 true positives.",
    ]


@pytest.mark.parametrize("low", [0.0, None])
def test_an_interval_that_reaches_zero_tells_nothing_apart(low: float | None) -> None:
    content = metrics()
    difference = {"value": 0.1, "low": low, "high": 0.2 if low is not None else None}
    content["localization_details"]["paired"] = {
        "gradcam": {"n": 5, "figures": {"peak_in_box": difference, "mean_iou": interval(None)}}
    }
    view = localization_view(content)
    assert view is not None and view.parts[0].differences is not None
    (line,) = view.parts[0].differences.lines
    assert line.texts[0].startswith("+0.100") and line.texts[1] == "n/a"
    assert not any("more often" in sentence for sentence in view.sentences)


def test_breakdown_beside_the_usual_location() -> None:
    view = localization_view(metrics())
    assert view is not None and view.breakdown is not None
    breakdown = view.breakdown
    assert breakdown.title == "Grad-CAM + mirror + lungs"
    assert breakdown.columns == [
        "Radiographs", "Patients", "Peak in lesion", "Peak in lesion: Usual location",
    ]  # fmt: skip
    (size, sizes), (view_name, views) = breakdown.groups
    assert (size, view_name) == ("Size of the lesions", "View")
    assert [line[0] for line in sizes] == ["small", "medium", "large"]
    assert sizes[0] == ["small", "7", "6", "0.200 (0.100 to 0.300)", "0.100 (0.000 to 0.200)"]
    assert sizes[2][-1] == views[0][-1] == "n/a"
    assert breakdown.note == (
        "Lesions are small up to 3.1% of the radiograph, medium up to 7.4%, large above."
    )


def test_lungs_alone() -> None:
    figures = {"energy_in_lungs": interval(0.7), "lungs_share": 0.3}
    view = localization_view(
        {
            "localization": {"gradcam": figures, "random": figures},
            "localization_method": "gradcam",
            "localization_details": {
                "slice": "true positives",
                "lungs_from": "masks",
                "methods": {"gradcam": {"n": 8, "n_patients": 7, "n_flat": 0, "n_nan": 0}},
            },
        }
    )
    assert view is not None
    (part,) = view.parts
    assert part.headline.columns == ["Heat in lungs", "Lungs' share of the radiograph"]
    assert part.facts == ["8 radiographs of 7 patients, all called positive."]
    assert part.further == [] and part.differences is None and view.breakdown is None
    (sentence,) = view.sentences
    assert "masks that were given" in sentence


def test_what_is_missing_is_left_out() -> None:
    assert localization_view({}) is None
    assert localization_view({"localization": None, "localization_details": None}) is None
    view = localization_view({"localization": {"a_method": {"odd": 0.25}, "n": 3}})
    assert view is not None
    (part,) = view.parts
    assert part.headline.columns == ["Odd"]
    assert part.headline.lines == [Line("a method", ["0.250"])]
    assert (part.facts, part.further, view.sentences) == ([], [], [])
