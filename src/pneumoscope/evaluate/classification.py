"""The classification figures of one set of predictions, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluate import _checks, _weighted
from pneumoscope.evaluate.bootstrap import Interval, Statistic, bootstrap_patients, figures_json
from pneumoscope.evaluate.calibration import ECE_BINS, slopes_and_intercepts
from pneumoscope.evaluate.predictions import Predictions


@dataclass(frozen=True)
class ClassificationReport:
    """Figures of one set of predictions at one threshold.

    Args:
        figures: accuracy, balanced_accuracy, sensitivity, specificity, ppv, npv, f1, mcc, roc_auc,
            pr_auc, sensitivity_at_specificity_90, brier, ece, calibration_slope,
            calibration_intercept, each with its 95 % interval; NaN where undefined.
        confusion: radiographs by cell: tn, fp, fn, tp.
        threshold: probabilities of at least this are positive.
        n: radiographs.
        n_patients: patients, the unit of the bootstrap.
        prevalence: the share of positives that PPV and NPV refer to: the one asked for, else the
            share in the sample. All other figures are those of the sample.
    """

    figures: dict[str, Interval]
    confusion: dict[str, int]
    threshold: float
    n: int
    n_patients: int
    prevalence: float

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it; undefined figures are None."""
        return {
            "n": self.n,
            "n_patients": self.n_patients,
            "prevalence": self.prevalence,
            "classification": figures_json(self.figures),
            "confusion": dict(self.confusion),
            "threshold": self.threshold,
        }


def one_label(targets: NDArray[np.int64]) -> str:
    """Say why figures that need both labels are undefined; "" where both are there.

    Args:
        targets: (n,) of 0 and 1, n > 0.
    """
    if targets.min() != targets.max():
        return ""
    only = "positive" if targets[0] else "negative"
    return f"all {targets.size:,} radiographs are {only}: this figure needs both labels"


def classification_report(
    predictions: Predictions,
    threshold: float,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    prevalence: float | None = None,
) -> ClassificationReport:
    """All classification figures, with 95 % intervals from a patient-level bootstrap.

    Intervals are percentile ones; that of ECE, which noise can only push up, is the basic one.

    The threshold is held fixed over the resamples, as it is in use. Radiographs are ranked by
    probability; where saturation made probabilities equal, the logit still tells them apart.
    Where all radiographs have one label, sensitivity (or specificity) stands; the other figures
    need both, and are undefined with the reason.
    PR-AUC is the average precision; the definitions of ECE, slope and intercept are those of
    `pneumoscope.evaluate.calibration`.

    Args:
        predictions: the radiographs.
        threshold: decision threshold in [0, 1], fitted on other radiographs (val).
        n_resamples: bootstrap resamples; 0 gives figures without intervals.
        seed: the same seed gives the same intervals.
        prevalence: state PPV and NPV for this share of positives, in (0, 1), rather than for that
            of the sample, which is seldom the one of the clinic.

    Raises:
        EvaluationError: the threshold, the prevalence or the number of resamples is out of range.
    """
    _checks.decision_threshold(threshold)
    _checks.share_of_positives(prevalence)
    targets = predictions.targets
    decisions = (predictions.probabilities >= threshold).astype(np.int64)
    cells = _weighted.confusion(np.ones((1, len(predictions))), targets, decisions)
    figures = bootstrap_patients(
        _statistic(predictions, decisions, prevalence),
        predictions.patients,
        n_resamples=n_resamples,
        seed=seed,
        distances={"ece"},
    )
    if reason := one_label(targets):
        stands = "sensitivity" if targets[0] else "specificity"
        figures = {
            name: figure if name == stands else Interval.undefined(reason)
            for name, figure in figures.items()
        }
    return ClassificationReport(
        figures=figures,
        confusion={name: round(float(cell[0])) for name, cell in cells.items()},
        threshold=float(threshold),
        n=len(predictions),
        n_patients=predictions.n_patients,
        prevalence=float(targets.mean()) if prevalence is None else float(prevalence),
    )


def prediction_statistic(
    targets: NDArray[np.int64],
    decisions: NDArray[np.int64],
    *keys: NDArray[np.float64],
    prevalence: float | None = None,
) -> Statistic:
    """All figures but slope and intercept as a function of weights (resamples, n).

    Args:
        targets: (n,) of 0 and 1.
        decisions: (n,) of 0 and 1.
        keys: (n,) probabilities, then what ranks radiographs that have the same one.
        prevalence: see `classification_report`.
    """
    probabilities = keys[0]
    # Sorting is done once, here.
    ranking = _weighted.Ranking(targets, *keys)

    def figures(weights: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        ranked = ranking.figures(weights, specificity=0.90)
        cells = _weighted.confusion(weights, targets, decisions)
        return {
            **_weighted.decision_figures(cells, prevalence),
            "roc_auc": ranked["roc_auc"],
            "pr_auc": ranked["pr_auc"],
            "sensitivity_at_specificity_90": ranked["sensitivity"],
            "brier": _weighted.brier(weights, probabilities, targets),
            "ece": _weighted.calibration_error(weights, probabilities, targets, ECE_BINS),
        }

    return figures


def _statistic(
    predictions: Predictions, decisions: NDArray[np.int64], prevalence: float | None
) -> Statistic:
    """All figures as a function of weights (resamples, n)."""
    targets, probabilities = predictions.targets, predictions.probabilities
    most = prediction_statistic(
        targets, decisions, probabilities, predictions.logits, prevalence=prevalence
    )

    def figures(weights: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        slope, intercept = slopes_and_intercepts(weights, probabilities, targets)
        return {
            **most(weights), "calibration_slope": slope, "calibration_intercept": intercept
        }  # fmt: skip

    return figures
