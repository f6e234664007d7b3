from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import risk_curve
from pneumoscope.report.curves import precision_recall_figure, risk_figure, roc_figure
from pneumoscope.report.figures import (
    confusion_figure,
    history_figure,
    reliability_figure,
    score_figure,
)
from pneumoscope.report.style import figure_png

Floats = NDArray[np.float64]
AUC = {"value": 0.9871, "low": 0.979, "high": 0.9931}


@pytest.fixture
def sample() -> tuple[Floats, NDArray[np.int64]]:
    random = np.random.default_rng(0)
    targets = (random.random(300) < 0.7).astype(np.int64)
    logits = random.normal(np.where(targets == 1, 2.0, -2.0), 2.0)
    return 1 / (1 + np.exp(-logits)), targets


def words(figure: Figure) -> str:
    """Every legend, label, title and text of a figure."""
    parts: list[str] = []
    for axes in figure.axes:
        legend = axes.get_legend()
        parts += [text.get_text() for text in legend.get_texts()] if legend else []
        parts += [text.get_text() for text in axes.texts]
        parts += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")]
    return "\n".join(parts)


def test_roc_tells_area_and_operating_point(sample: tuple[Floats, NDArray[np.int64]]) -> None:
    probabilities, targets = sample
    said = probabilities >= 0.4
    sensitivity, specificity = said[targets == 1].mean(), (~said[targets == 0]).mean()
    figure = roc_figure(probabilities, targets, threshold=0.4, auc=AUC)
    assert "ROC-AUC 0.987 (0.979 to 0.993)" in words(figure)
    assert f"sensitivity {sensitivity:.3f}, specificity {specificity:.3f}" in words(figure)
    curve = figure.axes[0].lines[1]
    x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    pairs = probabilities[targets == 1][:, None] > probabilities[targets == 0][None]
    assert np.trapezoid(y, x) == pytest.approx(pairs.mean())


def test_roc_enlarges_the_corner_of_a_good_model_only() -> None:
    targets = np.arange(40) % 2
    good, poor = np.where(targets == 1, 0.9, 0.1), np.linspace(0, 1, 40)
    assert len(roc_figure(good, targets, threshold=0.5, auc=AUC).axes[0].child_axes) == 1
    assert not roc_figure(poor, targets, threshold=0.5, auc=AUC).axes[0].child_axes


def test_precision_recall(sample: tuple[Floats, NDArray[np.int64]]) -> None:
    probabilities, targets = sample
    said = probabilities >= 0.4
    text = words(precision_recall_figure(probabilities, targets, threshold=0.4, auc=AUC))
    assert f"prevalence {targets.mean():.3f}" in text
    assert f"precision {targets[said].mean():.3f}, recall {said[targets == 1].mean():.3f}" in text
    none = precision_recall_figure(probabilities, targets, threshold=1.0, auc=AUC)
    assert "threshold" not in words(none)


def test_risk_marks_what_the_band_leaves(sample: tuple[Floats, NDArray[np.int64]]) -> None:
    probabilities, targets = sample
    curve = risk_curve(probabilities, targets, 0.5)
    figure = risk_figure(curve, outside_band=(0.75, 0.125))
    wrong = ((probabilities >= 0.5) != (targets == 1)).mean()
    assert f"all decided: {wrong:.3f}" in words(figure)
    assert "75% decided" in words(figure)
    mark = figure.axes[0].lines[2]
    assert np.asarray(mark.get_xdata())[0] == 0.75
    assert np.asarray(mark.get_ydata())[0] == 0.125
    assert "band" not in words(risk_figure(curve, outside_band=None))


def test_reliability_counts_every_radiograph(sample: tuple[Floats, NDArray[np.int64]]) -> None:
    probabilities, targets = sample
    figure = reliability_figure(probabilities, targets, before=probabilities**2)
    assert "before calibration" in words(figure)
    counts = [int(text.get_text() or 0) for text in figure.axes[1].texts]
    assert counts == np.histogram(probabilities, np.linspace(0, 1, 16))[0].tolist()


def test_scores_count_the_wrong_side(sample: tuple[Floats, NDArray[np.int64]]) -> None:
    probabilities, targets = sample
    text = words(score_figure(probabilities, targets, threshold=0.4, names=("healthy", "ill")))
    missed = int((probabilities[targets == 1] < 0.4).sum())
    assert f"ill: {(targets == 1).sum()}, of which {missed} on the wrong side" in text
    assert "Probability of ill" in text
    # Bars are drawn lower than their counts would be.
    assert text.count("√ scale") == 2


def test_confusion_shows_counts_and_shares() -> None:
    text = words(confusion_figure({"tn": 227, "fp": 10, "fn": 7, "tp": 662}, names=("N", "P")))
    for part in ("227", "662", "false positives (4.2%)", "missed (1.0%)"):
        assert part in text
    none = confusion_figure({"tn": 5, "fp": 0, "fn": 0, "tp": 0}, names=("N", "P"))
    assert "missed (0.0%)" in words(none)


def test_history_marks_the_epoch_kept() -> None:
    figure = history_figure(
        [1, 2, 3], [3, 2, 1], [3, 2, float("nan")], [0.5, 0.8, 0.9], best_epoch=2
    )
    assert words(figure).count("kept") == 2
    assert figure_png(figure)
    with pytest.raises(EvaluationError, match="history"):
        history_figure([], [], [], [], best_epoch=1)
    with pytest.raises(EvaluationError, match="history"):
        history_figure([1], [1], [1], [], best_epoch=1)


def test_png_is_an_image_and_reproducible(sample: tuple[Floats, NDArray[np.int64]]) -> None:
    first, second = (figure_png(roc_figure(*sample, threshold=0.5, auc=AUC)) for _ in range(2))
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.format == "PNG" and min(image.size) > 500


@pytest.mark.parametrize(
    "draw",
    [
        partial(roc_figure, threshold=0.5, auc=AUC),
        partial(precision_recall_figure, threshold=0.5, auc=AUC),
        partial(reliability_figure, before=None),
    ],
)
def test_what_makes_no_figure_is_refused(draw: Callable[..., Figure]) -> None:
    with pytest.raises(EvaluationError, match="both labels"):
        draw([0.1, 0.2], [1, 1])
    with pytest.raises(EvaluationError, match="both labels"):
        draw([], [])
    with pytest.raises(EvaluationError, match="do not fit"):
        draw([0.1, 0.2], [0, 1, 1])
    with pytest.raises(EvaluationError, match="from 0 to 1"):
        draw([0.1, float("nan")], [0, 1])
    with pytest.raises(EvaluationError, match="from 0 to 1"):
        draw([0.1, 1.2], [0, 1])


def test_no_pyplot_and_no_matplotlib_before_it_is_needed() -> None:
    code = (
        "import sys, pneumoscope.report; assert 'matplotlib' not in sys.modules\n"
        "from pneumoscope.report.figures import confusion_figure\n"
        "from pneumoscope.report.style import figure_png\n"
        "figure_png(confusion_figure(dict(tn=1, fp=1, fn=1, tp=1), names=('N', 'P')))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
