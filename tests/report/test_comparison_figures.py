"""Ranking and Pareto figures: true to the values, readable with many models."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from pneumoscope.errors import EvaluationError
from pneumoscope.report.comparison_figures import pareto_figure, pareto_front, ranking_figure
from pneumoscope.report.style import figure_png
from tests.report.test_comparison import cost, model

MODELS = [model("b", 0.97), model("ensemble (mean)", 0.96), model("a", 0.95), model("c", 0.9)]


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def labels_of(figure: Figure, panel: int) -> list[Annotation]:
    return [text for text in figure.axes[panel].texts if isinstance(text, Annotation)]


def test_front_is_what_nothing_beats() -> None:
    assert pareto_front([3, 1, 2, 2], [0.9, 0.8, 0.7, 0.95]) == [1, 3]
    assert pareto_front([1, 1, 2], [0.8, 0.8, 0.8]) == [0, 1]
    assert pareto_front([], []) == []
    generator = np.random.default_rng(3)
    cloud = generator.integers(0, 8, size=(60, 2)).astype(float)
    beaten = [
        any(
            (one[0] <= point[0] and one[1] > point[1]) or (one[0] < point[0] and one[1] >= point[1])
            for one in cloud
        )
        for point in cloud
    ]
    front = pareto_front(cloud[:, 0].tolist(), cloud[:, 1].tolist())
    assert sorted(front) == np.flatnonzero(~np.array(beaten)).tolist()


def test_ranking_draws_values_intervals_and_bars() -> None:
    figure = ranking_figure(MODELS, [["b", "ensemble (mean)"], ["a", "b", "ensemble (mean)"]])
    axes, bars = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [row.name for row in MODELS]
    dots = {
        place: auc
        for line in axes.lines
        for auc, place in points(line)
        if line.get_marker() in ("o", "D")
    }
    assert dots == {0: 0.97, 1: 0.96, 2: 0.95, 3: 0.9}
    assert [line.get_marker() for line in axes.lines].count("D") == 1
    spans = [[y for _, y in points(line)] for line in bars.lines if line.get_marker() == "None"]
    assert spans == [[0, 1], [0, 2]]
    members = [[y for _, y in points(line)] for line in bars.lines if line.get_marker() == "o"]
    assert members == [[0, 1], [0, 1, 2]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_ranking_without_groups_has_one_panel_and_bears_missing_values() -> None:
    figure = ranking_figure([MODELS[0], model("x", math.nan)], [["b"]])
    assert len(figure.axes) == 1
    assert [text.get_text() for text in figure.axes[0].texts] == ["n/a"]
    assert figure_png(figure).startswith(b"\x89PNG")
    with pytest.raises(EvaluationError, match="no model"):
        ranking_figure([], [])


def test_pareto_shows_what_has_costs_and_joins_the_front() -> None:
    costs = {
        "a": cost(gmacs=0.5, radiographs_per_second=80.0),
        "b": cost(gmacs=4.0, radiographs_per_second=10.0),
        "c": cost(gmacs=2.0, radiographs_per_second=90.0),
    }
    figure = pareto_figure(MODELS, costs)
    for panel, x, front in (
        (0, {"a": 0.5, "b": 4.0, "c": 2.0}, "ab"),
        (1, {"a": 80.0, "b": 10.0, "c": 90.0}, "abc"),
    ):
        axes = figure.axes[panel]
        assert axes.get_xscale() == "log"
        assert {text.get_text(): text.xy[0] for text in labels_of(figure, panel)} == x
        filled = {
            points(line)[0][0]
            for line in axes.lines
            if line.get_marker() == "o" and line.get_markerfacecolor() != "white"
        }
        assert filled == {x[name] for name in front}
    assert figure_png(figure) == figure_png(pareto_figure(MODELS, costs))


def test_pareto_without_costs_is_refused_and_half_of_them_is_drawn() -> None:
    for costs in ({}, {"a": cost(gmacs=math.nan, radiographs_per_second=0.0)}):
        with pytest.raises(EvaluationError, match="costs"):
            pareto_figure(MODELS, costs)
    figure = pareto_figure(MODELS, {"a": cost(gmacs=math.nan, radiographs_per_second=5.0)})
    assert [text.get_text() for text in figure.axes[0].texts] == ["not measured"]
    assert [text.get_text() for text in labels_of(figure, 1)] == ["a"]


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_labels_of_twenty_models_cover_no_label_and_no_mark(spread: float) -> None:
    generator = np.random.default_rng(7)
    rows = [model(f"backbone_number_{n}", 0.9 + spread / 4 * generator.random()) for n in range(20)]
    costs = {
        row.name: cost(
            gmacs=float(4 ** generator.normal()),
            radiographs_per_second=float(40 * 2 ** generator.normal()),
        )
        for row in rows
    }
    figure = pareto_figure(rows, costs)
    figure.draw_without_rendering()
    for panel in (0, 1):
        axes = figure.axes[panel]
        labels = labels_of(figure, panel)
        assert len(labels) == 20
        # A pixel less on every side: what only touches is no overlap.
        ink = [label.get_window_extent().padded(-1) for label in labels]
        assert not any(one.overlaps(other) for one, other in combinations(ink, 2))
        frame = axes.get_window_extent().padded(1)
        assert all(frame.contains(*corner) for box in ink for corner in box.corners())
        marks = axes.transData.transform([label.xy for label in labels])
        assert not any(box.contains(*mark) for box in ink for mark in marks)
