"""How numbers and their names are written for people, the same on the page and in the card."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from pneumoscope.report.localization_words import (
    BASELINES,
    METHODS,
    localization_meaning,
    localization_name,
)

MISSING = "n/a"

# key in metrics.json: (name, what it says in a reader's words)
METRICS: dict[str, tuple[str, str]] = {
    "roc_auc": (
        "ROC-AUC",
        "Chance that a positive radiograph gets a higher probability than a negative one",
    ),
    "pr_auc": ("PR-AUC", "Average precision over all thresholds; compare with the prevalence"),
    "accuracy": ("Accuracy", "Share of radiographs labelled correctly"),
    "balanced_accuracy": ("Balanced accuracy", "Mean of sensitivity and specificity"),
    "sensitivity": ("Sensitivity", "Of the truly positive, the share found"),
    "specificity": ("Specificity", "Of the truly negative, the share cleared"),
    "ppv": ("PPV", "Of those called positive, the share that is; depends on the prevalence"),
    "npv": ("NPV", "Of those called negative, the share that is; depends on the prevalence"),
    "f1": ("F1", "Harmonic mean of PPV and sensitivity"),
    "best_f1": ("Best F1", "F1 at the threshold that is best on this very split: optimistic"),
    "mcc": ("MCC", "Correlation of decision and truth, from -1 to 1"),
    "sensitivity_at_specificity": (
        "Sensitivity at specificity ≥\u00a0.90",
        "Share found when at most one in ten negatives is a false positive",
    ),
    "brier": ("Brier score", "Mean squared error of the probability; 0 is perfect"),
    "ece": (
        "ECE",
        "Mean gap between the probability and what happens; compare with that of chance",
    ),
    "ece_of_chance": (
        "ECE by chance",
        "ECE of a perfectly calibrated model on the same number of radiographs: median and 95 % of "
        "draws",
    ),
    "slope": ("Calibration slope", "1 is ideal; below 1 the probabilities are too extreme"),
    "intercept": ("Calibration intercept", "0 is ideal; above 0 the probabilities are too low"),
    "temperature": ("Temperature", "The logit is divided by it"),
    "bias": ("Bias", "Added to the log-odds after that"),
    "val_ece_before": ("ECE on val, before calibration", ""),
    "val_ece_after": ("ECE on val, after calibration", ""),
    "ece_before": ("ECE before calibration", ""),
    "ece_after": ("ECE after calibration", ""),
    "fitted_on": ("Fitted on", ""),
    "promised": (
        "Coverage promised",
        "Share of each label classified correctly or in the review band",
    ),
    "band_low": ("Band from probability", "From here on a radiograph is uncertain"),
    "band_high": ("Band to probability", "Up to here"),
    "uncertain": ("Uncertain", "Share of radiographs in the band"),
    "kept_positive": ("Positives detected or deferred", "Called positive or uncertain"),
    "kept_negative": ("Negatives cleared or deferred", "Called negative or uncertain"),
    "accuracy_decided": ("Accuracy outside the band", "Of what is left to the model"),
    "risk_area": ("Area under risk and coverage", "Mean share of errors over all coverages"),
    "n_true_positives": ("True positives with lesion annotations", ""),
    "n_missed": ("Annotated radiographs the classifier missed", ""),
    "n_flat": ("Heatmaps without evidence", ""),
    "n": ("Radiographs", ""),
    "n_patients": ("Patients", ""),
    "log_loss": ("Log loss", "Mean negative log-likelihood; 0 is perfect"),
}

_ALIASES = {
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "auprc": "pr_auc",
    "average_precision": "pr_auc",
    "precision": "ppv",
    "recall": "sensitivity",
    "brier_score": "brier",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "sens_at_spec_90": "sensitivity_at_specificity",
    "sensitivity_at_specificity_90": "sensitivity_at_specificity",
    "sensitivity_at_90_specificity": "sensitivity_at_specificity",
}
_SUFFIXES = re.compile(
    r"(?P<base>.+?)(?P<mirror>\+mirror)?(?P<lungs>\+lungs)?(?P<density>\+density)?"
    r"(?P<smooth>\+smooth)?"
)


def metric_name(key: str) -> str:
    """The friendly name of a metric's key; a key nobody named is spelt out."""
    known = METRICS.get(_ALIASES.get(key, key))
    return localization_name(key) if known is None else known[0]


def metric_meaning(key: str) -> str:
    """What a metric says, in one line; empty for a key nobody described."""
    known = METRICS.get(_ALIASES.get(key, key))
    return localization_meaning(key) if known is None else known[1]


def method_name(key: str) -> tuple[str, bool]:
    """The friendly name of a heatmap method, and whether it is a baseline.

    `gradcam+mirror+lungs` is "Grad-CAM + mirror + lungs"; an unknown name is spelt out.
    """
    match = _SUFFIXES.fullmatch(key)
    base = key if match is None else match["base"]
    plain = "".join(letter for letter in base.lower() if letter not in " _-")
    refined = key[len(base) :].replace("+", " + ")
    if plain in BASELINES and not refined:
        return BASELINES[plain], True
    return METHODS.get(plain, base.replace("_", " ")) + refined, False


def number_text(value: object) -> str:
    """A number as people read it: three decimals, counts with separators, `n/a` for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}"


def interval_text(figure: object, *, signed: bool = False) -> str:
    """`0.981 (0.972 to 0.989)`; without an interval the value alone, without a value `n/a`.

    Args:
        figure: `value`, `low` and `high`, or a plain number.
        signed: with `+` before what is not below 0, as of a difference.
    """
    form = "{:+.3f}" if signed else "{:.3f}"
    value, low, high = ends(figure)
    if value is None:
        return MISSING
    if low is None or high is None:
        return form.format(value)
    return f"{form.format(value)} ({form.format(low)} to {form.format(high)})"


def figure_text(value: object) -> str:
    """`interval_text` of a figure with an interval, `number_text` of anything else."""
    return interval_text(value) if is_interval(value) else number_text(value)


def is_interval(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether this is a figure with its interval."""
    return isinstance(value, Mapping) and "value" in value


def is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether this holds figures by name, and is none itself."""
    return isinstance(value, Mapping) and not is_interval(value)


def ends(value: object) -> tuple[float | None, float | None, float | None]:
    """Value, low and high of a figure, which may be a plain number; None where undefined."""
    if not is_interval(value):
        return finite(value), None, None
    return finite(value.get("value")), finite(value.get("low")), finite(value.get("high"))


def finite(value: object) -> float | None:
    """The value as a number; None for anything else, infinity and NaN included."""
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None
