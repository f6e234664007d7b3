"""Figures of an audit, from the rows of `audit.json`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pneumoscope.report.style import (
    ACCENT,
    DASHED,
    INK,
    MUTED,
    NEGATIVE,
    POSITIVE,
    add_legend,
    name_axes,
    new_figure,
    one_panel,
    style_axes,
)

Test = Mapping[str, Any]
"""One test of `audit.json`: `figures`, `limits`, `rows`."""

_HEAT_PLACES = (
    ("peak_at_border", "border_share", "peaks at\nthe edge"),
    ("peak_in_lungs", "lungs_share", "peaks in\nthe lungs"),
    ("energy_in_lungs", "lungs_share", "heat in\nthe lungs"),
)


def audit_figure(name: str, test: Test) -> tuple[str, str, Figure] | None:
    """Title, caption and figure of a test; None for a test that measured nothing to draw."""
    if name != "places" and not test["rows"]:
        return None
    title, caption, draw = _FIGURES[name]
    return title, caption, draw(test)


def randomisation_figure(test: Test) -> Figure:
    """Similarity with the original heatmap, block by block."""
    figure, axes = one_panel()
    labels = ["none", *(row["label"] for row in test["rows"])]
    limit = test["limits"]["rank_correlation"]
    axes.axhline(limit, color=MUTED, linewidth=1, linestyle=DASHED, label="limit")
    same = {"value": 1.0, "low": None, "high": None}
    drawn = (
        ("rank_correlation", "rank correlation", NEGATIVE, "o"),
        ("ssim", "SSIM", ACCENT, "s"),
    )
    for key, name, colour, marker in drawn:
        values = [same, *(row["figures"][key] for row in test["rows"])]
        _line(axes, range(len(labels)), values, name, colour, marker)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_ylim(-0.35, 1.05)
    name_axes(axes, "Weights drawn anew, from the head down to", "Similarity with the original")
    add_legend(axes, "best")
    return figure


def deletion_figure(test: Test) -> Figure:
    """Change of the score against the part of the radiograph removed, for the three orders."""
    figure, axes = one_panel()
    parts = [float(row["label"].split()[0]) for row in test["rows"]]
    axes.axhline(0, color=MUTED, linewidth=1, linestyle=DASHED)
    drawn = (("coldest", NEGATIVE, "s"), ("random", MUTED, "^"), ("hottest", POSITIVE, "o"))
    for key, colour, marker in drawn:
        values = [row["figures"][key] for row in test["rows"]]
        name = "random places" if key == "random" else f"{key} first"
        _line(axes, parts, values, name, colour, marker)
    axes.set_xlim(left=0)
    name_axes(axes, "Part of the radiograph removed, %", "Change of the log-odds")
    add_legend(axes, "best")
    return figure


def marker_figure(test: Test) -> Figure:
    """Flipped decisions and shift of the score, marker by marker."""
    figure = new_figure()
    panels = figure.subplots(1, 2, sharey=True)
    rows = test["rows"][::-1]
    limits = test["limits"]
    drawn = (("flips", "Decisions flipped"), ("shift_relative", "Shift of log-odds, SD"))
    for axes, (key, name) in zip(panels, drawn, strict=True):
        style_axes(axes)
        edges = (limits[key],) if key == "flips" else (-limits[key], limits[key])
        for edge in edges:
            axes.axvline(edge, color=MUTED, linewidth=1.2, linestyle=DASHED)
        for place, row in enumerate(rows):
            _dot(axes, row["figures"][key], place, INK)
        name_axes(axes, name, None)
    panels[0].set_yticks(range(len(rows)), [row["label"] for row in rows])
    panels[0].set_xlim(left=-0.01)
    panels[0].set_ylim(-0.6, len(rows) - 0.4)
    return figure


def places_figure(test: Test) -> Figure:
    """Peaks and heat against what random points would give."""
    figure, axes = one_panel()
    for place, (own, random, _) in enumerate(_HEAT_PLACES):
        value, low, high = _ends(test["figures"][own])
        axes.bar([place], [0 if math.isnan(value) else value], width=0.55, color=NEGATIVE)
        axes.errorbar([place], [value], yerr=[[value - low], [high - value]], color=INK, capsize=4)
        expected = _ends(test["figures"][random])[0]
        name = "random points" if place == 0 else None
        axes.plot([place - 0.36, place + 0.36], [expected] * 2, color=POSITIVE, lw=2.4, label=name)
    axes.set_xticks(range(len(_HEAT_PLACES)), [label for _, _, label in _HEAT_PLACES])
    axes.set_ylim(0, 1)
    axes.grid(visible=False, axis="x")
    name_axes(axes, None, "Share")
    add_legend(axes, "upper left")
    return figure


# Inches of a row; a cohort of several sets has many.
_ROW = 0.25


def shortcuts_figure(test: Test) -> Figure:
    """ROC-AUC of what is left of the radiographs, and of the table alone."""
    figure, axes = one_panel()
    rows = test["rows"][::-1]
    figure.set_figheight(max(figure.get_figheight(), _ROW * len(rows)))
    axes.axvline(0.5, color=MUTED, linewidth=1.2, linestyle=DASHED)
    for place, row in enumerate(rows):
        table = row["label"].startswith("table: ")
        _dot(axes, row["figures"]["auc"], place, POSITIVE if table else INK)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.set_xlim(min(0.4, axes.get_xlim()[0]), 1)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    name_axes(axes, "ROC-AUC", None)
    return figure


_FIGURES: dict[str, tuple[str, str, Callable[[Test], Figure]]] = {
    "randomisation": (
        "Similarity with the original heatmap",
        "It must fall below the dashed limit.",
        randomisation_figure,
    ),
    "deletion": (
        "What removing pixels does to the score",
        "The hottest must cost most; bars are 95 % intervals.",
        deletion_figure,
    ),
    "marker": (
        "What a marker does to the score",
        "Dashed: limits; bars are 95 % intervals.",
        marker_figure,
    ),
    "places": (
        "Where the heat is",
        "Bars are 95 % intervals. Lines are the values of points drawn evenly over the radiograph.",
        places_figure,
    ),
    "shortcuts": (
        "What is left to tell the label by",
        "Dashed: chance; bars are 95 % intervals.",
        shortcuts_figure,
    ),
}


def _ends(interval: Mapping[str, float | None]) -> tuple[float, float, float]:
    """Value, low and high; a missing end is the value, a missing value NaN."""
    value = math.nan if interval["value"] is None else interval["value"]
    low, high = (value if interval[key] is None else interval[key] for key in ("low", "high"))
    return value, float(low or 0.0), float(high or 0.0)


def _line(
    axes: Axes,
    x: Sequence[float],
    values: Sequence[Mapping[str, float | None]],
    name: str,
    colour: str,
    marker: str,
) -> None:
    ends = [_ends(interval) for interval in values]
    spread = [[value - low for value, low, _ in ends], [high - value for value, _, high in ends]]
    axes.errorbar(
        x,
        [value for value, _, _ in ends],
        yerr=spread,
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=2,
        elinewidth=1.2,
        label=name,
    )


def _dot(axes: Axes, interval: Mapping[str, float | None], place: float, colour: str) -> None:
    value, low, high = _ends(interval)
    axes.errorbar(
        [value], [place], xerr=[[value - low], [high - value]], color=colour, marker="o", ms=5
    )
