"""Charts of localization: figures and intervals by method, lesions found by false regions.

Baselines are gray, hollow and last; the bundle's own method is marked and named in bold. Marks and
lines differ in shape as well as in colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pneumoscope.errors import EvaluationError
from pneumoscope.report.html import Picture
from pneumoscope.report.localization_view import headlines, measured, ordered
from pneumoscope.report.localization_words import localization_name
from pneumoscope.report.numbers import ends, method_name
from pneumoscope.report.style import (
    ACCENT,
    DASHED,
    INK,
    MUTED,
    NEGATIVE,
    POSITIVE,
    figure_png,
    list_names,
    name_axes,
    new_figure,
    style_axes,
)

Methods = Mapping[str, Mapping[str, Any]]
"""Method to figure to `value`, `low`, `high`."""

_WIDTH, _LINE = 10.4, 0.29
# Okabe and Ito's further colours; the own method has `POSITIVE`, baselines are gray.
_COLOURS = (NEGATIVE, ACCENT, "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = ("s", "^", "D", "v", "P")
_BASELINE_LINES = ("--", ":")


def localization_pictures(metrics: Mapping[str, Any]) -> dict[str, Picture]:
    """The charts that `metrics.json` has figures for, by file name."""
    own = metrics.get("localization_method")
    pictures: dict[str, Picture] = {}
    seen, every = (measured(metrics.get(key)) for key in ("localization", "localization_all"))
    columns = {column for figures in seen.values() for column in figures}
    first = headlines(sorted(columns))
    if columns.intersection(first):
        pictures["localization"] = (
            "Heatmap methods on true positives",
            "Dots with 95 % intervals; the dashed line is the first heatmap, hollow marks "
            "are baselines.",
            figure_png(headline_figure(seen, first, own=own)),
        )
    if any(froc_points(figures) for figures in every.values()):
        pictures["froc"] = (
            "Lesions found by false regions",
            "All radiographs, as delivered, read at five rates; lines only join them. Bars are 95 "
            "% intervals of the first heatmap.",
            figure_png(froc_figure(every, own=own)),
        )
    return pictures


def headline_figure(methods: Methods, figures: Sequence[str], *, own: str | None) -> Figure:
    """A panel for each figure, a line for each method, dots with their intervals.

    Args:
        methods: their figures; those undefined or missing leave a gap.
        figures: the figures to show; those no method has are left out.
        own: the bundle's method.

    Raises:
        EvaluationError: no method has any of the figures.
    """
    names = ordered(methods, own)
    shown = [key for key in figures if any(key in methods[name] for name in names)]
    if not shown:
        raise EvaluationError("there is no localization figure to draw")
    figure = new_figure((_WIDTH, 1.0 + _LINE * len(names)), pad=0.08)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for key, axes in zip(shown, panels, strict=True):
        _draw_panel(axes, [methods[name].get(key) for name in names], names, own)
        axes.set_title(localization_name(key), loc="left", fontsize=10, color=INK)
    first = panels[0]
    first.set_yticks(range(len(names)), [method_name(name)[0] for name in names])
    first.set_ylim(len(names) - 0.4, -0.6)
    for label, name in zip(first.get_yticklabels(), names, strict=True):
        baseline = method_name(name)[1]
        label.set(color=MUTED if baseline else INK, weight="bold" if name == own else "normal")
    return figure


def froc_figure(methods: Methods, *, own: str | None) -> Figure:
    """Share of lesions found against false regions per radiograph, from `froc@rate`.

    Shows the own method, the five best others, and the two best baselines, by `froc`.

    Args:
        methods: their figures on all radiographs.
        own: the bundle's method.

    Raises:
        EvaluationError: no method has such figures.
    """
    drawn = [name for name in ordered(methods, own) if froc_points(methods[name])]
    if not drawn:
        raise EvaluationError("there is no free-response figure to draw")
    ranked = sorted(drawn, key=lambda name: -(ends(methods[name].get("froc"))[0] or 0.0))
    others = [name for name in ranked if name != own and not method_name(name)[1]]
    baselines = [name for name in ranked if method_name(name)[1] and name != own]
    figure = new_figure((_WIDTH, 4.6))
    axes = figure.subplots()
    style_axes(axes)
    for name, line in zip(baselines, _BASELINE_LINES, strict=False):
        _draw_curve(axes, methods[name], name, MUTED, "", line=line)
    for name, colour, mark in zip(others, _COLOURS, _MARKS, strict=False):
        _draw_curve(axes, methods[name], name, colour, mark)
    if own in drawn:
        _draw_curve(axes, methods[own], own, POSITIVE, "o", bold=True)
    rates = sorted({rate for name in drawn for rate, *_ in froc_points(methods[name])})
    axes.set_xscale("log", base=2)
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    name_axes(axes, "False regions per radiograph, at most", "Share of lesions found")
    figure.legend(loc="outside right upper", fontsize=8.5, labelcolor=INK, frameon=False)
    return figure


def froc_points(
    figures: Mapping[str, Any],
) -> list[tuple[float, float, float | None, float | None]]:
    """False regions per radiograph, value, low, high of every defined `froc@rate`, by rate."""
    points = []
    for key, figure in figures.items():
        name, _, rate = key.partition("@")
        value, low, high = ends(figure)
        if name == "froc" and rate and value is not None:
            points.append((float(rate), value, low, high))
    return sorted(points, key=lambda point: point[0])


def _draw_panel(axes: Axes, figures: Sequence[Any], names: Sequence[str], own: str | None) -> None:
    list_names(axes, ticks=4)
    for row, (name, figure) in enumerate(zip(names, figures, strict=True)):
        value, low, high = ends(figure)
        if value is None:
            continue
        baseline = method_name(name)[1]
        colour = POSITIVE if name == own else MUTED if baseline else NEGATIVE
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(
            [value],
            [row],
            marker="D" if name == own else "o",
            markersize=7 if name == own else 6,
            color=colour,
            markerfacecolor="white" if baseline else colour,
            markeredgewidth=1.5,
            linestyle="none",
            clip_on=False,
        )
        if name == own:
            axes.axvline(value, color=POSITIVE, linewidth=1, linestyle=DASHED, zorder=0)
    axes.set_xlim(left=0)


def _draw_curve(
    axes: Axes,
    figures: Mapping[str, Any],
    name: str,
    colour: str,
    mark: str,
    *,
    line: Any = "-",
    bold: bool = False,
) -> None:
    points = froc_points(figures)
    score, _, _ = ends(figures.get("froc"))
    label = method_name(name)[0] + ("" if score is None else f"\nmean {score:.3f}")
    axes.plot(
        [rate for rate, *_ in points],
        [value for _, value, *_ in points],
        color=colour,
        linestyle=line,
        linewidth=2.6 if bold else 1.6,
        marker=mark,
        markersize=7 if bold else 5,
        label=label + (", the model's own" if bold else ""),
        zorder=4 if bold else 2,
    )
    for rate, _, low, high in points if bold else []:
        if low is not None and high is not None:
            axes.plot([rate, rate], [low, high], color=colour, linewidth=1.4, zorder=3)
