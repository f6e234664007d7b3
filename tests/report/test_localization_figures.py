from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pneumoscope.errors import EvaluationError
from pneumoscope.report.localization_figures import (
    froc_figure,
    froc_points,
    headline_figure,
    localization_pictures,
)
from pneumoscope.report.style import MUTED, POSITIVE


def interval(value: float | None, half: float = 0.1) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


METHODS: dict[str, Any] = {
    "random": {"peak_in_box": interval(0.2)},
    "layercam": {"peak_in_box": interval(0.55), "pxap": interval(None)},
    "gradcam": {"peak_in_box": interval(0.5), "pxap": 0.4},
}


def froc(*values: float | None) -> dict[str, Any]:
    rates = ("0.125", "0.25", "0.5", "1", "2")
    points = {f"froc@{rate}": interval(value) for rate, value in zip(rates, values, strict=True)}
    return points | {"froc": interval(float(np.mean([value or 0 for value in values])))}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_dots_and_intervals_by_method() -> None:
    figure = headline_figure(METHODS, ("peak_in_box", "mean_iou", "pxap"), own="gradcam")
    peaks, pxap = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Peak in lesion", "PxAP"]
    names = [label.get_text() for label in peaks.get_yticklabels()]
    assert names == ["Grad-CAM", "LayerCAM", "Random heat"]
    assert [label.get_fontweight() for label in peaks.get_yticklabels()] == [
        "bold",
        "normal",
        "normal",
    ]
    # The first method is on top.
    assert peaks.get_ylim()[0] > peaks.get_ylim()[1]
    assert peaks.get_xlim()[0] == 0
    drawn = [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in peaks.lines]
    bars = [(x.tolist(), y[0]) for x, y in drawn if len(x) == 2 and y[0] == y[1]]
    assert bars == [
        (pytest.approx([0.4, 0.6]), 0),
        (pytest.approx([0.45, 0.65]), 1),
        (pytest.approx([0.1, 0.3]), 2),
    ]
    dots = {
        float(y[0]): line for (x, y), line in zip(drawn, peaks.lines, strict=True) if len(x) == 1
    }
    assert to_hex(str(dots[0].get_color())).upper() == POSITIVE
    assert dots[2].get_color() == MUTED and dots[2].get_markerfacecolor() == "white"
    assert dots[0].get_marker() != dots[1].get_marker()
    # A plain number has no interval, an undefined figure no dot.
    assert [len(np.asarray(line.get_xdata())) for line in pxap.lines] == [1, 2]


def test_froc_shows_the_own_the_best_and_the_best_baselines() -> None:
    methods = {
        "random": froc(0, 0, 0, 0, 0.1),
        "usual_location": froc(0.1, 0.2, 0.3, 0.4, 0.5),
        "centre": froc(0, 0, 0, 0, 0),
        "gradcam": froc(0.1, 0.2, 0.2, 0.2, 0.2),
        "layercam": froc(0.5, 0.5, 0.5, 0.5, 0.5),
        "hirescam": froc(0.3, 0.3, 0.3, 0.3, 0.3),
        "eigencam": {"peak_in_box": interval(0.9)},
    }
    figure = froc_figure(methods, own="gradcam")
    assert legend(figure) == [
        "Usual location\nmean 0.300",
        "Random heat\nmean 0.020",
        "LayerCAM\nmean 0.500",
        "HiResCAM\nmean 0.300",
        "Grad-CAM\nmean 0.180, the model's own",
    ]
    (axes,) = figure.axes
    curve = axes.lines[4]
    assert np.asarray(curve.get_xdata()).tolist() == [0.125, 0.25, 0.5, 1, 2]
    assert np.asarray(curve.get_ydata()).tolist() == [0.1, 0.2, 0.2, 0.2, 0.2]
    # Intervals of the own method only.
    assert len(axes.lines) == 5 + 5
    assert axes.get_xscale() == "log" and axes.get_ylim()[0] == 0


def test_points_are_sorted_and_undefined_ones_left_out() -> None:
    figures = {"froc@2": interval(0.5), "froc": interval(0.9), "froc@0.5": interval(None),
               "froc@0.25": interval(0.25), "iou@0.5": interval(0.1)}  # fmt: skip
    assert froc_points(figures) == [(0.25, 0.25, 0.15, 0.35), (2.0, 0.5, 0.4, 0.6)]


def test_pictures_of_what_was_measured() -> None:
    every = {"gradcam": froc(0.1, 0.2, 0.2, 0.2, 0.2)}
    pictures = localization_pictures(
        {"localization": METHODS, "localization_all": every, "localization_method": "gradcam"}
    )
    assert list(pictures) == ["localization", "froc"]
    assert all(png.startswith(b"\x89PNG") for _, _, png in pictures.values())
    lungs = {"localization": {"gradcam": {"energy_in_lungs": interval(0.5)}}}
    assert list(localization_pictures(lungs)) == ["localization"]
    assert localization_pictures({"localization": None}) == {}
    assert localization_pictures({"localization": {"gradcam": {"odd": 1.0}, "n": 3}}) == {}


def test_nothing_to_draw() -> None:
    with pytest.raises(EvaluationError):
        headline_figure(METHODS, ("iou@0.5",), own=None)
    with pytest.raises(EvaluationError):
        froc_figure(METHODS, own=None)
