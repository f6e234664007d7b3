"""Evaluate: how good are the predictions, and how sure can one be of the figure.

Enters: labels, probabilities, patients; heatmaps and lesion annotations.
Leaves: figures with 95 % patient-level bootstrap intervals, thresholds and calibration fitted
on val.
May import: numpy, scipy, scikit-learn. No torch, no other room.
"""

from pneumoscope.evaluate.bootstrap import (
    Interval,
    Statistic,
    bootstrap_patients,
    weighted_means,
)
from pneumoscope.evaluate.calibration import (
    ReliabilityCurve,
    calibrated,
    calibration_slope_intercept,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from pneumoscope.evaluate.classification import ClassificationReport, classification_report
from pneumoscope.evaluate.pointing import PointingFigures, PointingGame
from pneumoscope.evaluate.predictions import Predictions
from pneumoscope.evaluate.thresholds import (
    best_f1,
    choose_threshold,
    sensitivity_at_specificity,
)

__all__ = [
    "ClassificationReport",
    "Interval",
    "PointingFigures",
    "PointingGame",
    "Predictions",
    "ReliabilityCurve",
    "Statistic",
    "best_f1",
    "bootstrap_patients",
    "calibrated",
    "calibration_slope_intercept",
    "choose_threshold",
    "classification_report",
    "expected_calibration_error",
    "fit_temperature",
    "reliability_curve",
    "sensitivity_at_specificity",
    "weighted_means",
]
