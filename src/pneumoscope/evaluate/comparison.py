"""Which of several models is better, and how sure can one be of it.

All models are judged on the same radiographs, so that all differences are paired: every figure
comes from the same bootstrap resamples of patients, and the tests know that models agree on most
radiographs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluate import _checks, _verdict
from pneumoscope.evaluate._weighted import Array, Figures
from pneumoscope.evaluate.bootstrap import Interval, Statistic, bootstrap_patients
from pneumoscope.evaluate.classification import prediction_statistic
from pneumoscope.evaluate.comparison_report import Comparison, ModelRow, Pair
from pneumoscope.evaluate.delong import Contrast, correlated_aucs
from pneumoscope.evaluate.ensembles import ensembles_of
from pneumoscope.evaluate.holm import holm_correction
from pneumoscope.evaluate.mcnemar import McNemar, mcnemar_test
from pneumoscope.evaluate.model_scores import ModelScores, check_comparable

__all__ = ["Comparison", "ModelRow", "ModelScores", "Pair", "compare_models"]

FIGURES = (
    "roc_auc",
    "pr_auc",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "mcc",
    "brier",
    "ece",
)
"""Figures of a row; names as in `classification_report`."""

_PAIRED = ("roc_auc", "accuracy")


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A row to be: s predictors whose figures are averaged, the seeds of a backbone or an ensemble.

    Attributes:
        name: of the row.
        seeds: of the row.
        probabilities: (s, n).
        right: (s, n) whether the decision at the predictor's own threshold is right.
        predictors: at least `FIGURES` of each as a function of weights.
    """

    name: str
    seeds: tuple[int, ...]
    probabilities: Array
    right: NDArray[np.bool_]
    predictors: list[Statistic]


def compare_models(
    runs: Sequence[ModelScores],
    *,
    resamples: int = 1000,
    seed: int = 0,
    ensembles: bool = True,
) -> Comparison:
    """Compare trained runs, backbone by backbone, and their ensembles (see `ensembles_of`).

    A backbone with several seeds is judged by the *mean over its seeds* of each figure, never by
    the mean of their probabilities, which would be an ensemble and better than any of the trainings
    it stands for. Tests follow suit: DeLong's test, with patients as clusters (Obuchowski 1997), of
    the contrast mean AUC over the first's seeds less mean AUC over the second's, from the joint
    covariance of all AUCs; McNemar's test of the mean accuracies likewise, with patients as
    clusters. No seed is singled out, and seeds need not match between backbones.

    Intervals and p-values say what other *patients* could change, for the trainings at hand. They
    do not include what another training could change: that is `ModelRow.seed_sd`, kept apart
    because a handful of seeds cannot carry a variance component, and the verdict warns where it
    could turn an order. p-values are Holm-corrected over all pairs of rows, ensembles included.

    Args:
        runs: of the same radiographs in the same order, both classes present.
        resamples: bootstrap resamples; 0 gives figures and p-values without intervals.
        seed: of the bootstrap.
        ensembles: compare the means of probabilities, too.

    Raises:
        EvaluationError: no run; the same backbone and seed twice; two runs of different
            radiographs, patients or targets; one class only; a setting out of range.
    """
    check_comparable(runs)
    targets, patients = runs[0].targets, runs[0].patients
    _checks.both_classes(targets, "a comparison of models")
    seeds = tuple(sorted({run.seed for run in runs}))
    models = _backbones(runs) + [
        _model(found.name, seeds, targets, [(found.probabilities, found.threshold)])
        for found in (ensembles_of(runs) if ensembles else ())
    ]
    aucs = correlated_aucs(
        targets, np.concatenate([model.probabilities for model in models]), patients
    )
    shares = _mean_over_seeds(models)
    # Stable, so that equal models keep the order they were given in.
    ranked = np.argsort(-np.round(shares @ aucs.values, 12), kind="stable")
    models, shares = [models[index] for index in ranked], shares[ranked]
    couples = list(combinations(range(len(models)), 2))
    record = _Record(_statistic(models, couples))
    figures = bootstrap_patients(
        record,
        patients,
        n_resamples=resamples,
        seed=seed,
        distances={f"{index}:ece" for index in range(len(models))},
    )
    rows = [
        _row(model, index, figures, record, len(set(patients)))
        for index, model in enumerate(models)
    ]
    contrasts = [aucs.contrast(shares[one] - shares[other]) for one, other in couples]
    decisions = [mcnemar_test(models[i].right, models[j].right, patients) for i, j in couples]
    pairs = _pairs(models, couples, figures, contrasts, decisions)
    groups, verdict = _verdict.judge(rows, pairs)
    return Comparison(rows, pairs, groups, verdict)


class _Record:
    """A statistic that remembers what it returned for the resamples."""

    def __init__(self, statistic: Statistic) -> None:
        self._statistic = statistic
        self._blocks: list[Mapping[str, Array]] = []

    def __call__(self, weights: Array) -> Mapping[str, Array]:
        self._blocks.append(self._statistic(weights))
        return self._blocks[-1]

    def deviation(self, name: str) -> float:
        """Standard deviation of a figure over the resamples in which it is defined."""
        # The first call is for the figures themselves, with weights of one.
        values = np.concatenate([np.empty(0), *(block[name] for block in self._blocks[1:])])
        values = values[np.isfinite(values)]
        return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _backbones(runs: Sequence[ModelScores]) -> list[_Model]:
    models = []
    for backbone in dict.fromkeys(run.backbone for run in runs):
        own = [run for run in runs if run.backbone == backbone]
        outputs = [(run.probabilities, run.threshold) for run in own]
        models.append(_model(backbone, tuple(run.seed for run in own), runs[0].targets, outputs))
    return models


def _model(
    name: str,
    seeds: tuple[int, ...],
    targets: NDArray[np.int64],
    outputs: Sequence[tuple[Array, float]],
) -> _Model:
    """A model from the probabilities (n,) and threshold of each of its predictors."""
    decisions = [(p >= threshold).astype(np.int64) for p, threshold in outputs]
    return _Model(
        name,
        seeds,
        np.stack([p for p, _ in outputs]),
        np.stack([called == targets for called in decisions]),
        [
            prediction_statistic(targets, called, p)
            for (p, _), called in zip(outputs, decisions, strict=True)
        ],
    )


def _statistic(models: Sequence[_Model], couples: Sequence[tuple[int, int]]) -> Statistic:
    """`index:figure` of every model and `first-second:figure` of every couple."""

    def figures(weights: Array) -> Figures:
        table: Figures = {}
        for index, model in enumerate(models):
            found = [predictor(weights) for predictor in model.predictors]
            for name in FIGURES:
                table[f"{index}:{name}"] = np.mean([one[name] for one in found], axis=0)
        for one, other in couples:
            for name in _PAIRED:
                table[f"{one}-{other}:{name}"] = table[f"{one}:{name}"] - table[f"{other}:{name}"]
        return table

    return figures


def _mean_over_seeds(models: Sequence[_Model]) -> Array:
    """(models, predictors) weights that average the predictors of each model."""
    counts = [len(model.predictors) for model in models]
    owner = np.repeat(np.arange(len(models)), counts)
    owned: Array = (np.arange(len(models))[:, None] == owner).astype(np.float64)
    shares: Array = owned / owned.sum(axis=1, keepdims=True)
    return shares


def _row(
    model: _Model,
    index: int,
    figures: Mapping[str, Interval],
    record: _Record,
    n_patients: int,
) -> ModelRow:
    n = model.probabilities.shape[1]
    by_seed = [predictor(np.ones((1, n))) for predictor in model.predictors]
    several = len(by_seed) > 1
    return ModelRow(
        name=model.name,
        seeds=model.seeds,
        n=n,
        n_patients=n_patients,
        figures={name: figures[f"{index}:{name}"] for name in FIGURES},
        seed_sd={
            name: float(np.std([one[name][0] for one in by_seed], ddof=1)) if several else None
            for name in FIGURES
        },
        # One patient drawn over and over does not vary: that is no knowledge of other patients.
        test_sd={
            name: record.deviation(f"{index}:{name}") if n_patients > 1 else float("nan")
            for name in FIGURES
        },
    )


def _pairs(
    models: Sequence[_Model],
    couples: Sequence[tuple[int, int]],
    figures: Mapping[str, Interval],
    contrasts: Sequence[Contrast],
    decisions: Sequence[McNemar],
) -> list[Pair]:
    delong = holm_correction([found.p for found in contrasts])
    exact = holm_correction([found.mid_p for found in decisions])
    return [
        Pair(
            first=models[one].name,
            second=models[other].name,
            auc_difference=figures[f"{one}-{other}:roc_auc"],
            delong_p=contrasts[index].p,
            delong_p_holm=float(delong[index]),
            accuracy_difference=figures[f"{one}-{other}:accuracy"],
            mcnemar_p=decisions[index].mid_p,
            mcnemar_p_holm=float(exact[index]),
            discordant=decisions[index].discordant,
        )
        for index, (one, other) in enumerate(couples)
    ]
