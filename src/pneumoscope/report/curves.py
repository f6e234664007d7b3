"""ROC, precision-recall and risk-coverage curves.

`probabilities` are (n,) in [0, 1], of the positive label; `targets` are (n,) with 0 for the
negative and 1 for the positive label.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate.abstention import RiskCurve
from pneumoscope.report.numbers import interval_text
from pneumoscope.report.style import (
    DASHED,
    MUTED,
    NEGATIVE,
    POSITIVE,
    add_legend,
    name_axes,
    one_panel,
    style_axes,
)

Interval = Mapping[str, float | None]
"""`value`, `low` and `high` of a figure with its 95 % interval."""

# Above this area a curve is hardly to be told from the frame.
_CROWDED = 0.93


def roc_figure(
    probabilities: ArrayLike,
    targets: ArrayLike,
    *,
    threshold: float,
    auc: Interval,
) -> Figure:
    """Sensitivity against 1 - specificity, with the operating point at `threshold`.

    Raises:
        EvaluationError: the arrays do not fit, or one of the two labels is missing.
    """
    from sklearn.metrics import roc_curve

    truth, scores = checked(probabilities, targets)
    false_rate, true_rate, _ = roc_curve(truth, scores, drop_intermediate=False)
    figure, axes = _unit_square()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHED, label="chance")
    axes.plot(
        false_rate,
        true_rate,
        color=NEGATIVE,
        linewidth=2.2,
        clip_on=False,
        label=f"ROC-AUC {interval_text(auc)}",
    )
    called = scores >= threshold
    alarms, found = float(called[truth == 0].mean()), float(called[truth == 1].mean())
    name = f"threshold {threshold:.3g}: sensitivity {found:.3f}, specificity {1 - alarms:.3f}"
    _operating_point(axes, alarms, found, name)
    if np.trapezoid(true_rate, false_rate) > _CROWDED:
        _enlarge_corner(axes)
    name_axes(axes, "1 - specificity (false positives)", "Sensitivity (found)")
    add_legend(axes, "lower right")
    return figure


def precision_recall_figure(
    probabilities: ArrayLike,
    targets: ArrayLike,
    *,
    threshold: float,
    auc: Interval,
) -> Figure:
    """Precision against recall, with the operating point at `threshold` and the prevalence.

    Raises:
        EvaluationError: the arrays do not fit, or one of the two labels is missing.
    """
    from sklearn.metrics import precision_recall_curve

    truth, scores = checked(probabilities, targets)
    precision, recall, _ = precision_recall_curve(truth, scores)
    figure, axes = _unit_square()
    prevalence = float(truth.mean())
    axes.axhline(
        prevalence,
        color=MUTED,
        linewidth=1,
        linestyle=DASHED,
        label=f"prevalence {prevalence:.3f}",
    )
    axes.step(
        recall,
        precision,
        where="post",
        color=NEGATIVE,
        linewidth=2.2,
        clip_on=False,
        label=f"PR-AUC {interval_text(auc)}",
    )
    called = scores >= threshold
    if called.any():
        found, right = float(called[truth == 1].mean()), float(truth[called].mean())
        name = f"threshold {threshold:.3g}: precision {right:.3f}, recall {found:.3f}"
        _operating_point(axes, found, right, name)
    name_axes(axes, "Recall (sensitivity)", "Precision (positive predictive value)")
    add_legend(axes, "lower left")
    return figure


def risk_figure(curve: RiskCurve, *, outside_band: tuple[float, float] | None) -> Figure:
    """Share of wrong decisions against the share decided, the surest first.

    Args:
        curve: of `evaluate.risk_curve`.
        outside_band: share of radiographs that the bundle's review band leaves decided, and share
            of wrong decisions among them; None without a band or if it leaves none.
    """
    figure, axes = one_panel()
    name = f"model (area {curve.area:.4f})"
    axes.plot(curve.coverage, curve.risk, color=NEGATIVE, linewidth=2.2, label=name)
    overall = float(curve.risk[-1])
    axes.axhline(
        overall, color=MUTED, linewidth=1, linestyle=DASHED, label=f"all decided: {overall:.3f}"
    )
    if outside_band is not None:
        decided, left = outside_band
        text = f"review band left out: {decided:.0%} decided"
        axes.plot([decided], [left], "o", color=POSITIVE, markersize=7, label=text)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(float(curve.risk.max()), 0.01) * 1.15)
    name_axes(axes, "Coverage (share decided)", "Risk (wrong among them)")
    add_legend(axes, "upper left")
    return figure


def checked(
    probabilities: ArrayLike, targets: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Targets and probabilities as arrays of one length, holding both labels.

    Raises:
        EvaluationError: they do not.
    """
    truth, scores = np.asarray(targets), np.asarray(probabilities, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != scores.shape:
        raise EvaluationError(f"{truth.shape} targets do not fit {scores.shape} probabilities")
    if not np.isfinite(scores).all() or scores.min(initial=0) < 0 or scores.max(initial=0) > 1:
        raise EvaluationError("some probabilities are not numbers from 0 to 1")
    if not np.array_equal(np.unique(truth), [0, 1]):
        raise EvaluationError(
            "both labels are needed for a figure", remedy="evaluate a split that holds both labels"
        )
    return truth.astype(np.int64), scores


def _unit_square() -> tuple[Figure, Axes]:
    """A figure with one square panel over [0, 1] x [0, 1]."""
    figure, axes = one_panel()
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure, axes


def _enlarge_corner(axes: Axes) -> None:
    """Show the top-left fifth again, enlarged: a good model's curve is all in there."""
    inset = axes.inset_axes((0.4, 0.38, 0.48, 0.48))
    style_axes(inset)
    for line in axes.lines:
        point = line.get_linestyle() == "None"
        inset.plot(
            line.get_xdata(),
            line.get_ydata(),
            color=line.get_color(),
            linewidth=line.get_linewidth(),
            linestyle=line.get_linestyle(),
            marker=line.get_marker(),
            markersize=line.get_markersize(),
            markeredgecolor="white",
            clip_on=not point,
            zorder=line.get_zorder(),
        )
    inset.set(xlim=(0, 0.2), ylim=(0.8, 1), xticks=(0, 0.1, 0.2), yticks=(0.8, 0.9, 1))
    inset.set_title("top-left corner, enlarged", fontsize=8, color=MUTED)


def _operating_point(axes: Axes, x: float, y: float, name: str) -> None:
    axes.plot(
        [x],
        [y],
        color=POSITIVE,
        markeredgecolor="white",
        markeredgewidth=1.5,
        zorder=5,
        label=name,
        marker="o",
        markersize=9,
        linestyle="none",
        clip_on=False,
    )
