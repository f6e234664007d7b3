"""Figures of an evaluation and of a training, as matplotlib figures in one style (see `style`).

`probabilities` are (n,) in [0, 1], of the positive label; `targets` are (n,) with 0 for the
negative and 1 for the positive label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate.calibration import ReliabilityCurve, reliability_curve
from pneumoscope.report.curves import checked
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

_SCORE_BINS = 25


def reliability_figure(
    probabilities: ArrayLike,
    targets: ArrayLike,
    *,
    before: ArrayLike | None,
) -> Figure:
    """How often the positive label is true where the model says p, with counts below.

    Bins are those of the calibration error; bars are Wilson's 95 % interval of each bin's share
    (Wilson 1927).

    Args:
        probabilities: (n,) calibrated probabilities.
        targets: (n,) 0 or 1.
        before: (n,) probabilities before calibration, drawn as a faint line; None without.

    Raises:
        EvaluationError: the arrays do not fit, or one of the two labels is missing.
    """
    truth, scores = checked(probabilities, targets)
    figure = new_figure()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    style_axes(upper)
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHED, label="perfect")
    if before is not None:
        _, old = checked(before, targets)
        curve = reliability_curve(old, truth)
        used = curve.counts > 0
        upper.plot(
            curve.mean_probability[used],
            curve.observed[used],
            color=MUTED,
            linewidth=1.2,
            marker="o",
            markersize=3.5,
            alpha=0.55,
            label="before calibration",
        )
    curve = reliability_curve(scores, truth)
    _draw_reliability(upper, curve, "model" if before is None else "after calibration")
    _draw_counts(lower, curve)
    return figure


def score_figure(
    probabilities: ArrayLike,
    targets: ArrayLike,
    *,
    threshold: float,
    names: Sequence[str],
) -> Figure:
    """How many radiographs of each label got which probability: one panel per label.

    Counts are on a square-root scale, so that the few on the wrong side stay visible. `names` are
    the labels, negative first.

    Raises:
        EvaluationError: the arrays do not fit, or one of the two labels is missing.
    """
    truth, scores = checked(probabilities, targets)
    figure = new_figure()
    panels = figure.subplots(2, 1, sharex=True)
    edges = np.linspace(0, 1, _SCORE_BINS + 1)
    for value, colour, axes in zip((1, 0), (POSITIVE, NEGATIVE), panels, strict=True):
        style_axes(axes)
        chosen = scores[truth == value]
        counts, _ = np.histogram(chosen, edges)
        wrong = (chosen < threshold if value else chosen >= threshold).sum()
        axes.bar(
            edges[:-1],
            counts,
            width=1 / _SCORE_BINS,
            align="edge",
            color=colour,
            edgecolor="white",
            linewidth=0.8,
        )
        axes.set_yscale("function", functions=(_root, np.square))
        axes.set_ylim(0, max(1, int(counts.max())) * 1.25)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.axvline(threshold, color=INK, linewidth=1.3, linestyle=DASHED)
        axes.set_title(
            f"{names[value]}: {chosen.size}, of which {wrong} on the wrong side",
            loc="left",
            fontsize=9.5,
            color=INK,
        )
        axes.grid(visible=False, axis="x")
        axes.set_xlim(0, 1)
        name_axes(axes, None, "Radiographs (√ scale)")
    name_axes(panels[1], f"Probability of {names[1]} (dashed: threshold {threshold:.3g})", None)
    return figure


def confusion_figure(confusion: Mapping[str, int], *, names: Sequence[str]) -> Figure:
    """Counts `tn`, `fp`, `fn`, `tp`, shaded by the share of their true label, negative first."""
    counts = np.array(
        [[confusion["tn"], confusion["fp"]], [confusion["fn"], confusion["tp"]]], dtype=int
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure()
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)
    words = (("correctly cleared", "false positives"), ("missed", "found"))
    for row in range(2):
        for column in range(2):
            ink = "white" if shares[row, column] > 0.6 else INK
            place: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
            axes.text(column, row - 0.1, str(counts[row, column]), fontsize=19, **place)
            axes.text(
                column,
                row + 0.2,
                f"{words[row][column]} ({shares[row, column]:.1%})",
                fontsize=8.5,
                **place,
            )
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.tick_params(length=0, colors=INK, labelsize=9)
    axes.spines[:].set_visible(False)
    name_axes(axes, "Said by the model", "True label")
    return figure


def history_figure(
    epochs: Sequence[float],
    train_loss: Sequence[float],
    val_loss: Sequence[float],
    val_auc: Sequence[float],
    *,
    best_epoch: float,
) -> Figure:
    """Losses and the val ROC-AUC by epoch; `best_epoch`, in the same count, is the one kept.

    Values that are not numbers (an epoch without validation) leave a gap.

    Raises:
        EvaluationError: the sequences are empty or of different lengths.
    """
    if not len(epochs) == len(train_loss) == len(val_loss) == len(val_auc) > 0:
        raise EvaluationError("the training history has no epochs, or columns of unlike length")
    figure = new_figure()
    upper, lower = figure.subplots(2, 1, sharex=True)
    marker: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 2}
    upper.plot(epochs, train_loss, color=NEGATIVE, label="train", **marker)
    upper.plot(epochs, val_loss, color=POSITIVE, linestyle="--", label="val", **marker)
    lower.plot(epochs, val_auc, color=ACCENT, label="val", **marker)
    for axes, name in ((upper, "Loss"), (lower, "ROC-AUC on val")):
        style_axes(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.04)
        name_axes(axes, None, name)
        axes.axvline(best_epoch, color=MUTED, linewidth=1.2, linestyle=":", label="kept")
    upper.set_ylim(bottom=0)
    name_axes(lower, "Epoch", None)
    add_legend(upper, "best")
    add_legend(lower, "best")
    return figure


def rate_figure(rates: ArrayLike, losses: ArrayLike, fastest: float) -> Figure:
    """The loss (n,) while the learning rate (n,) rose; `fastest` is where it falls most steeply."""
    figure, axes = one_panel()
    axes.plot(rates, losses, color=NEGATIVE, linewidth=2)
    axes.axvline(
        fastest, color=MUTED, linewidth=1.2, linestyle=":", label=f"falls fastest: {fastest:.2g}"
    )
    axes.set_xscale("log")
    name_axes(axes, "Learning rate", "Loss on train")
    add_legend(axes, "best")
    return figure


def _draw_reliability(axes: Axes, curve: ReliabilityCurve, name: str) -> None:
    used = curve.counts > 0
    said, seen = curve.mean_probability[used], curve.observed[used]
    low, high = _wilson(seen, curve.counts[used].astype(np.float64))
    axes.errorbar(
        said,
        seen,
        yerr=(seen - low, high - seen),
        color=NEGATIVE,
        linewidth=2.2,
        elinewidth=1.2,
        marker="o",
        markersize=5.5,
        clip_on=False,
        label=name,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    name_axes(axes, None, "Share truly positive")
    add_legend(axes, "upper left")


def _draw_counts(axes: Axes, curve: ReliabilityCurve) -> None:
    style_axes(axes)
    bars = axes.bar(
        curve.edges[:-1],
        curve.counts,
        width=np.diff(curve.edges),
        align="edge",
        color=NEGATIVE,
        alpha=0.75,
        edgecolor="white",
        linewidth=1,
    )
    counts = [str(count) if count else "" for count in curve.counts]
    axes.bar_label(bars, labels=counts, fontsize=7.5, color=INK)
    axes.margins(y=0.25)
    axes.grid(visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    name_axes(axes, "Probability the model gave", "Radiographs")


def _wilson(
    share: NDArray[np.float64], count: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval at 95 %: always inside [0, 1] and around the share."""
    z = 1.959964
    scale = 1 + z**2 / count
    centre = (share + z**2 / (2 * count)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.minimum(centre - half, share), np.maximum(centre + half, share)


def _root(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(value, 0))
