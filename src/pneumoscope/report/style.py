"""One look for all figures: colours, axes, legends, and figures as PNG.

Only matplotlib's object interface is used: no pyplot, no global state, no display, so that figures
can be drawn in threads and servers. Colours are Okabe and Ito's, told apart with every common
colour blindness; figures never tell things apart by colour alone.
"""

from __future__ import annotations

import io
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

NEGATIVE, POSITIVE, ACCENT = "#0072B2", "#D55E00", "#009E73"
INK, MUTED, GRID = "#1f2933", "#6b7785", "#e4e8ec"
DASHED = (0, (4, 4))


def figure_png(figure: Figure) -> bytes:
    """The figure as PNG with 144 pixels per inch, the same bytes for the same figure."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=144, metadata={"Software": None})
    return stream.getvalue()


def new_figure(size: tuple[float, float] = (5.4, 4.5), pad: float = 0.1) -> Figure:
    """An empty white figure; most have one size, so that they line up on a page.

    Args:
        size: width and height, inches.
        pad: around each panel, inches.
    """
    figure = Figure(figsize=size, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=pad, h_pad=pad)
    return figure


def one_panel() -> tuple[Figure, Axes]:
    """A figure with one panel."""
    figure = new_figure()
    axes = figure.subplots()
    style_axes(axes)
    return figure, axes


def style_axes(axes: Axes) -> None:
    """Two quiet spines, a faint grid behind the data, small gray ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8c0c8")
    axes.tick_params(colors=MUTED, labelsize=8.5, length=3)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def list_names(axes: Axes, ticks: int) -> None:
    """Style axes whose rows are names: no lines across, and about so many ticks along x."""
    style_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(ticks))
    axes.tick_params(axis="y", length=0)


def name_axes(axes: Axes, x: str | None, y: str | None) -> None:
    """Label the axes; None leaves a label as it is."""
    if x is not None:
        axes.set_xlabel(x, color=INK, fontsize=9.5)
    if y is not None:
        axes.set_ylabel(y, color=INK, fontsize=9.5)


def add_legend(
    axes: Axes, where: Literal["best", "lower right", "lower left", "upper left"]
) -> None:
    """A legend without a frame, on a veil that lets no line run through the words."""
    axes.legend(loc=where, fontsize=8.5, labelcolor=INK, edgecolor="none", framealpha=0.85)
