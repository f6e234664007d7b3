"""Evaluate: how good are the predictions, and how sure can one be of the figure.

Enters: labels, probabilities, patients; heatmaps and lesion annotations.
Leaves: figures with 95 % patient-level bootstrap intervals, thresholds and calibration fitted
on val, baseline heatmaps.
May import: numpy, scipy, scikit-learn. No torch, no other room.
"""

from pneumoscope.evaluate.abstention import (
    ReviewBand,
    abstention_report,
    fit_review_band,
    risk_curve,
)
from pneumoscope.evaluate.annotations import LesionAnnotation
from pneumoscope.evaluate.baselines import UsualLocation, centre_map, random_map
from pneumoscope.evaluate.bootstrap import (
    Interval,
    bootstrap_patients,
    weighted_means,
)
from pneumoscope.evaluate.calibration import (
    calibrated,
    calibration_slope_intercept,
    chance_calibration_error,
    expected_calibration_error,
    fit_calibration,
    fit_temperature,
    reliability_curve,
)
from pneumoscope.evaluate.classification import classification_report
from pneumoscope.evaluate.comparison import (
    Comparison,
    ModelRow,
    ModelScores,
    Pair,
    compare_models,
)
from pneumoscope.evaluate.delong import Contrast, correlated_aucs
from pneumoscope.evaluate.ensembles import ensembles_of
from pneumoscope.evaluate.heatmap_scores import (
    HeatmapScores,
    score_heatmap,
    score_lungs,
)
from pneumoscope.evaluate.holm import holm_correction
from pneumoscope.evaluate.localization import LocalizationEvaluator, half_of
from pneumoscope.evaluate.lungs import LungsEvaluator
from pneumoscope.evaluate.mcnemar import mcnemar_test
from pneumoscope.evaluate.predictions import Predictions
from pneumoscope.evaluate.recalibration import OperatingPoint, Recalibration, recalibrate
from pneumoscope.evaluate.threshold_rule import ThresholdRule
from pneumoscope.evaluate.thresholds import choose_threshold

__all__ = [
    "Comparison",
    "Contrast",
    "HeatmapScores",
    "Interval",
    "LesionAnnotation",
    "LocalizationEvaluator",
    "LungsEvaluator",
    "ModelRow",
    "ModelScores",
    "OperatingPoint",
    "Pair",
    "Predictions",
    "Recalibration",
    "ReviewBand",
    "ThresholdRule",
    "UsualLocation",
    "abstention_report",
    "bootstrap_patients",
    "calibrated",
    "calibration_slope_intercept",
    "centre_map",
    "chance_calibration_error",
    "choose_threshold",
    "classification_report",
    "compare_models",
    "correlated_aucs",
    "ensembles_of",
    "expected_calibration_error",
    "fit_calibration",
    "fit_review_band",
    "fit_temperature",
    "half_of",
    "holm_correction",
    "mcnemar_test",
    "random_map",
    "recalibrate",
    "reliability_curve",
    "risk_curve",
    "score_heatmap",
    "score_lungs",
    "weighted_means",
]
