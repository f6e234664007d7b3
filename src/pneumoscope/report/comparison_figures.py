"""Figures of a comparison: which models can be told apart, and what accuracy costs.

Models differ in shape as well as in colour: ensembles are diamonds, models on the Pareto front are
filled, the others hollow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate.ensembles import UNIFORM, WEIGHTED
from pneumoscope.report.style import (
    ACCENT,
    INK,
    MUTED,
    NEGATIVE,
    POSITIVE,
    list_names,
    name_axes,
    new_figure,
    style_axes,
)

if TYPE_CHECKING:
    from pneumoscope.evaluate import Interval, ModelRow
    from pneumoscope.report.comparison_content import CostColumns

_WIDTH, _LINE, _BAR = 10.4, 0.32, 0.24
_HEIGHT = 4.9
# Where a label may stand around its mark: distances in points, nearest first, and directions.
_DISTANCES = (7.0, 13.0, 21.0, 31.0, 43.0, 57.0, 73.0, 91.0, 111.0)
_DIRECTIONS = tuple((math.cos(turn), math.sin(turn)) for turn in np.arange(16) * math.pi / 8)
# How bad a covered pixel is: of a mark or another label, of a line, and one outside the panel.
_ON_MARK, _ON_LINE, _OUTSIDE = 60.0, 4.0, 60.0
# How bad a pixel is that the line from mark to label covers, and where along it one looks.
_CROSSING, _ALONG = 12.0, np.linspace(0.0, 1.0, 12)


class _Point(NamedTuple):
    """A model in a panel of costs."""

    name: str
    cost: float
    auc: Interval


def is_ensemble(name: str) -> bool:
    """Whether a model of a comparison is an ensemble of all runs."""
    return name in (UNIFORM, WEIGHTED)


def has_costs(rows: Sequence[ModelRow], costs: Mapping[str, CostColumns]) -> bool:
    """Whether `pareto_figure` has anything to draw."""
    return any(_points(rows, costs, less) for less in (True, False))


def ranking_figure(rows: Sequence[ModelRow], groups: Sequence[Sequence[str]]) -> Figure:
    """Models by ROC-AUC with their intervals; bars join those that cannot be told apart.

    After the critical-difference diagram (Demsar 2006), turned upright and drawn on the figure
    itself rather than on ranks. A bar has a dot for each of its members: a model it passes without
    a dot is none.

    Args:
        rows: the models, best first.
        groups: names of models that cannot be told apart; those of a single model are not drawn.

    Raises:
        EvaluationError: there is no model.
    """
    if not rows:
        raise EvaluationError("there is no model to rank")
    places = {row.name: place for place, row in enumerate(rows)}
    bars = [sorted(places[name] for name in group) for group in groups if len(group) > 1]
    figure = new_figure((_WIDTH, 1.15 + _LINE * len(rows)), pad=0.08)
    side = max(1.5, 0.3 + _BAR * len(bars))
    panels = figure.subplots(
        1,
        2 if bars else 1,
        sharey=True,
        squeeze=False,
        width_ratios=[_WIDTH - 2 - side, side] if bars else None,
    )[0]
    axes = panels[0]
    list_names(axes, ticks=7)
    for place, row in enumerate(rows):
        _draw_model(axes, row.name, row.figures["roc_auc"], place)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    name_axes(axes, "ROC-AUC with 95 % interval", None)
    if bars:
        _draw_bars(panels[1], bars)
    return figure


def pareto_figure(rows: Sequence[ModelRow], costs: Mapping[str, CostColumns]) -> Figure:
    """ROC-AUC against multiply-accumulates and against measured speed, with the Pareto fronts.

    Args:
        rows: the models; those without costs are left out.
        costs: by model.

    Raises:
        EvaluationError: no model has a ROC-AUC and costs.
    """
    if not has_costs(rows, costs):
        raise EvaluationError("no model has both a ROC-AUC and costs")
    figure = new_figure((_WIDTH, _HEIGHT))
    panels = figure.subplots(1, 2, sharey=True)
    labelled = []
    for axes, less, title in (
        (panels[0], True, "Multiply-accumulates per radiograph, 10⁹ (fewer is better)"),
        (panels[1], False, "Radiographs per second, measured (more is better)"),
    ):
        points = _points(rows, costs, less)
        _draw_costs(axes, points, less)
        name_axes(axes, title, None)
        labelled.append((axes, points))
    name_axes(panels[0], None, "ROC-AUC with 95 % interval")
    # Labels are placed in pixels, which are known once the layout is.
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    for axes, points in labelled:
        _label(axes, points, figure.dpi / 72)
    return figure


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Which points no other beats: none costs no more and is better, or costs less and is as good.

    Args:
        costs: of each point, less is better.
        values: of each point, more is better.

    Returns:
        Their places, by rising cost.
    """
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda index: (costs[index], -values[index])):
        last = front[-1] if front else None
        same = last is not None and (costs[last], values[last]) == (costs[place], values[place])
        if last is None or same or values[place] > values[last]:
            front.append(place)
    return front


def _points(rows: Sequence[ModelRow], costs: Mapping[str, CostColumns], less: bool) -> list[_Point]:
    """The models with a ROC-AUC and GMACs (`less`), or with a ROC-AUC and a speed."""
    points = []
    for row in rows:
        if row.name in costs:
            cost = costs[row.name]
            value = cost.gmacs if less else cost.radiographs_per_second
            points.append(_Point(row.name, value, row.figures["roc_auc"]))
    return [
        point
        for point in points
        if math.isfinite(point.cost) and point.cost > 0 and math.isfinite(point.auc.value)
    ]


def _draw_model(axes: Axes, name: str, auc: Interval, place: float) -> None:
    if not math.isfinite(auc.value):
        axes.text(0.01, place, "n/a", transform=axes.get_yaxis_transform(), va="center", color=INK)
        return
    ensemble = is_ensemble(name)
    colour = POSITIVE if ensemble else NEGATIVE
    if math.isfinite(auc.low) and math.isfinite(auc.high):
        axes.plot([auc.low, auc.high], [place] * 2, color=colour, lw=2, solid_capstyle="butt")
    axes.plot([auc.value], [place], color=colour, marker="D" if ensemble else "o", markersize=7)


def _draw_bars(axes: Axes, bars: Sequence[Sequence[int]]) -> None:
    axes.axis("off")
    axes.set_xlim(-0.7, max(len(bars), 5) - 0.3)
    for column, members in enumerate(bars):
        axes.plot([column] * 2, [members[0], members[-1]], color=INK, linewidth=3.2)
        axes.plot([column] * len(members), members, "o", color=INK, markersize=6.5)
    axes.set_title("not told apart", fontsize=9.5, color=INK, loc="left")


def _draw_costs(axes: Axes, points: Sequence[_Point], less: bool) -> None:
    style_axes(axes)
    if not points:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        return
    axes.set_xscale("log")
    axes.margins(x=0.18, y=0.1)
    values = [point.auc.value for point in points]
    front = pareto_front([point.cost if less else -point.cost for point in points], values)
    for place, point in enumerate(points):
        best, auc = place in front, point.auc
        colour = NEGATIVE if best else MUTED
        if math.isfinite(auc.low) and math.isfinite(auc.high):
            axes.plot([point.cost] * 2, [auc.low, auc.high], color=colour, lw=1.2, zorder=2)
        axes.plot(
            [point.cost],
            [auc.value],
            marker="o",
            markersize=7.5,
            color=colour,
            markerfacecolor=colour if best else "white",
            markeredgewidth=1.5,
            zorder=4,
        )
    # A step: between two models of the front no more than the lesser is to be had.
    corners = [(points[there].cost, points[here].auc.value) for here, there in pairwise(front)]
    path = [(points[place].cost, values[place]) for place in front]
    steps = [point for pair in zip(path, [*corners, path[-1]], strict=True) for point in pair]
    axes.plot(*zip(*steps, strict=True), color=ACCENT, linewidth=1.8, zorder=3)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def _label(axes: Axes, points: Sequence[_Point], scale: float) -> None:
    """Name each mark where the name covers neither another name nor a mark, if there is room.

    Names are placed one after the other, each where it covers least; one that stands apart from
    its mark is joined to it by a line. `scale` is pixels per point.
    """
    axes.set_autoscale_on(False)
    marks = [axes.transData.transform((point.cost, point.auc.value)) for point in points]
    taken = [_box(mark, mark, 5 * scale) for mark in marks]
    weights = [_ON_MARK] * len(marks)
    for line in axes.lines:
        path = axes.transData.transform(line.get_xydata())
        # All lines here run along an axis, so that their boxes are as thin as they are.
        taken += [_box(*ends, scale) for ends in pairwise(path)]
        weights += [_ON_LINE] * (len(path) - 1)
    frame = np.array([axes.get_window_extent().extents])
    reach = np.repeat(_DISTANCES, len(_DIRECTIONS))
    towards = np.tile(_DIRECTIONS, (len(_DISTANCES), 1))
    for own, (point, mark) in enumerate(zip(points, marks, strict=True)):
        text = _name(axes, point)
        size = text.get_window_extent()
        half = np.array([size.width, size.height]) / 2
        shifts = towards * (reach[:, None] * scale + half)
        boxes = np.concatenate([mark + shifts - half, mark + shifts + half], axis=1)
        near = np.clip(mark, boxes[:, :2], boxes[:, 2:])
        leaders = mark + _ALONG[:, None, None] * (near - mark)
        dots = np.concatenate([leaders - scale, leaders + scale], axis=2)
        there = np.array(taken)
        # A line to the label may cross lines, but no label and no mark but its own.
        solid = np.where(np.array(weights) == _ON_MARK, _CROSSING, 0.0)
        solid[own] = 0.0
        crossed = np.max([_shared(step, there) for step in dots], axis=0)
        price = _shared(boxes, there) @ weights + crossed @ solid
        price += _OUTSIDE * (4 * half.prod() - _shared(boxes, frame)[:, 0]) + reach * scale
        best = int(price.argmin())
        text.set_position(tuple(shifts[best] / scale))
        taken.append(boxes[best])
        weights.append(_ON_MARK)
        if reach[best] > _DISTANCES[0]:
            ends = axes.transData.inverted().transform([mark, near[best]])
            axes.plot(*ends.T, color=MUTED, linewidth=0.7, zorder=1)


def _name(axes: Axes, point: _Point) -> Annotation:
    """The point's name, still upon its mark and no part of the layout."""
    text = axes.annotate(
        point.name,
        (point.cost, point.auc.value),
        (0, 0),
        textcoords="offset points",
        fontsize=8,
        color=INK,
        ha="center",
        va="center",
        zorder=6,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
    text.set_in_layout(False)
    return text


def _box(one: ArrayLike, other: ArrayLike, pad: float) -> NDArray[np.float64]:
    """Left, bottom, right, top of the box with two opposite corners, widened on every side."""
    corners = np.array([one, other], dtype=np.float64)
    return np.concatenate([corners.min(axis=0) - pad, corners.max(axis=0) + pad])


def _shared(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area that each of (n, 4) boxes shares with each of (m, 4) others, (n, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    width, height = np.moveaxis(np.maximum(high - low, 0.0), 2, 0)
    return np.asarray(width * height, dtype=np.float64)
