"""Comparing runs: rows, pairs, groups, sentences, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    Comparison,
    Interval,
    ModelRow,
    ModelScores,
    Pair,
    Predictions,
    classification_report,
    compare_models,
    correlated_aucs,
    ensembles_of,
    holm_correction,
    mcnemar_test,
)
from pneumoscope.evaluate import comparison as contract
from pneumoscope.evaluate._verdict import judge

FIGURES = [
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
]


def cohort(
    noise: dict[str, list[float]], n_patients: int = 150, per_patient: int = 2, seed: int = 0
) -> list[ModelScores]:
    """Runs by backbone, one for each noise level (its seeds 0, 1, ...), on shared difficulty."""
    rng = np.random.default_rng(seed)
    n = n_patients * per_patient
    targets = np.repeat(rng.permutation(np.arange(n_patients) % 2), per_patient)
    base = 2.0 * (2.0 * targets - 1.0) + rng.normal(size=n)
    return [
        ModelScores(
            backbone=backbone,
            seed=index,
            targets=targets,
            probabilities=expit(base + level * rng.normal(size=n)),
            patients=[f"p{row // per_patient}" for row in range(n)],
            images=[f"{row}.png" for row in range(n)],
            threshold=0.5,
            val_roc_auc=0.95,
        )
        for backbone, levels in noise.items()
        for index, level in enumerate(levels)
    ]


def report_of(run: ModelScores) -> dict[str, Interval]:
    table = Predictions(
        images=run.images,
        patients=run.patients,
        targets=run.targets,
        logits=run.probabilities,  # breaks no ties
        probabilities=run.probabilities,
    )
    return classification_report(table, run.threshold, n_resamples=200, seed=3).figures


def test_a_row_of_one_seed_is_its_classification_report() -> None:
    runs = cohort({"clear": [0.5], "blurred": [3.0]})
    told = compare_models(runs, resamples=200, seed=3)
    rows = {row.name: row for row in told.rows}
    for run in runs:
        row = rows[run.backbone]
        assert list(row.figures) == FIGURES
        assert row.figures == {name: report_of(run)[name] for name in FIGURES}
        assert (row.seeds, row.n, row.n_patients) == ((0,), 300, 150)
        assert set(row.seed_sd.values()) == {None}
    row = rows["clear"]
    auc = row.figures["roc_auc"]
    assert row.test_sd["roc_auc"] == pytest.approx((auc.high - auc.low) / 3.92, rel=0.15)


def test_a_row_of_several_seeds_is_their_mean() -> None:
    runs = cohort({"a": [1.0, 1.5, 2.0]})
    (row,) = compare_models(runs, resamples=50).rows
    each = [report_of(run) for run in runs]
    for name in FIGURES:
        values = [figures[name].value for figures in each]
        assert row.figures[name].value == pytest.approx(np.mean(values))
        assert row.seed_sd[name] == pytest.approx(np.std(values, ddof=1))
        assert row.figures[name].low <= row.figures[name].value <= row.figures[name].high
    assert row.seeds == (0, 1, 2)
    # The mean of the probabilities would be an ensemble, better than any of its seeds.
    mean = np.mean([run.probabilities for run in runs], axis=0)
    assert correlated_aucs(runs[0].targets, mean).values[0] > row.figures["roc_auc"].value + 0.005


def test_pairs_test_the_means_over_seeds() -> None:
    runs = cohort({"a": [0.5, 0.8], "b": [0.9, 1.0, 1.1]})
    told = compare_models(runs, resamples=400)
    pair = next(pair for pair in told.pairs if {pair.first, pair.second} == {"a", "b"})
    scores = np.stack([run.probabilities for run in runs])
    right = [(run.probabilities >= 0.5) == run.targets for run in runs]
    patients = runs[0].patients
    delong = correlated_aucs(runs[0].targets, scores, patients).contrast(
        [1 / 2, 1 / 2, -1 / 3, -1 / 3, -1 / 3]
    )
    decided = mcnemar_test(right[:2], right[2:], patients)
    assert (pair.first, pair.second) == ("a", "b")
    assert pair.auc_difference.value == pytest.approx(delong.estimate)
    assert pair.delong_p == pytest.approx(delong.p)
    assert (pair.mcnemar_p, pair.discordant) == (decided.mid_p, decided.discordant)
    gap = np.mean(right[:2]) - np.mean(right[2:])
    assert pair.accuracy_difference.value == pytest.approx(gap)
    # Bootstrap and DeLong agree on how sure the difference is.
    interval = pair.auc_difference
    assert interval.high - interval.low == pytest.approx(3.92 * delong.standard_error, rel=0.2)
    # Paired: narrower than the intervals of the two rows allow, for they share their difficulty.
    rows = [row.figures["roc_auc"] for row in told.rows if row.name in {"a", "b"}]
    apart = math.hypot(*(row.high - row.low for row in rows))
    assert interval.high - interval.low < 0.9 * apart


def test_rows_pairs_and_correction() -> None:
    runs = cohort({"far": [4.0], "near": [0.5], "close": [0.6]})
    told = compare_models(runs, resamples=100)
    names = [row.name for row in told.rows]
    areas = [row.figures["roc_auc"].value for row in told.rows]
    assert areas == sorted(areas, reverse=True)
    assert set(names) == {
        "far", "near", "close", "ensemble (mean)", "ensemble (val-AUC weighted)",
    }  # fmt: skip
    assert names[-1] == "far"
    assert [(pair.first, pair.second) for pair in told.pairs] == [
        (names[i], names[j]) for i in range(5) for j in range(i + 1, 5)
    ]
    for p_values, adjusted in (("delong_p", "delong_p_holm"), ("mcnemar_p", "mcnemar_p_holm")):
        expected = holm_correction([getattr(pair, p_values) for pair in told.pairs])
        assert [getattr(pair, adjusted) for pair in told.pairs] == expected.tolist()
    # Equal weights make equal ensembles: identical scores are no difference and no crash.
    twins = told.pairs[[p.first[:8] == p.second[:8] == "ensemble" for p in told.pairs].index(True)]
    assert (twins.auc_difference, twins.discordant) == (Interval(0.0, 0.0, 0.0), (0, 0))
    assert (twins.delong_p, twins.mcnemar_p) == (1.0, 1.0)


def test_ensemble_rows() -> None:
    runs = cohort({"a": [1.0, 1.1], "b": [2.0]})
    rows = {row.name: row for row in compare_models(runs, resamples=20).rows}
    uniform = ensembles_of(runs)[0]
    row = rows["ensemble (mean)"]
    area = correlated_aucs(runs[0].targets, uniform.probabilities).values[0]
    right = (uniform.probabilities >= uniform.threshold) == runs[0].targets
    assert row.figures["roc_auc"].value == pytest.approx(area)
    assert row.figures["accuracy"].value == pytest.approx(right.mean())
    assert row.seeds == (0, 1)
    assert set(row.seed_sd.values()) == {None}
    assert rows["a"].seed_sd["roc_auc"] is not None


def test_same_seed_same_comparison_whatever_the_order() -> None:
    runs = cohort({"a": [1.0], "b": [2.0], "c": [3.0]})
    first = compare_models(runs, resamples=50, seed=1)
    assert first.to_dict() == compare_models(runs, resamples=50, seed=1).to_dict()
    assert first.to_dict() != compare_models(runs, resamples=50, seed=2).to_dict()
    turned = compare_models(runs[::-1], resamples=50, seed=1)
    for row, other in zip(first.rows, turned.rows, strict=True):
        if not row.name.startswith("ensemble"):
            assert row == other


def test_json() -> None:
    told = compare_models(cohort({"a": [1.0], "b": [1.0, 2.0]}), resamples=20).to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert set(told) == {"rows", "pairs", "groups", "verdict"}
    assert set(told["rows"][0]) == {
        "name", "seeds", "n", "n_patients", "figures", "seed_sd", "test_sd",
    }  # fmt: skip
    assert set(told["pairs"][0]) == {
        "first", "second", "auc_difference", "delong_p", "delong_p_holm",
        "accuracy_difference", "mcnemar_p", "mcnemar_p_holm", "discordant",
    }  # fmt: skip


def test_without_resamples_there_are_figures_but_no_intervals() -> None:
    told = compare_models(cohort({"a": [1.0], "b": [3.0]}), resamples=0)
    assert math.isnan(told.rows[0].figures["roc_auc"].low)
    assert told.to_dict()["rows"][0]["test_sd"]["roc_auc"] is None
    assert told.pairs[-1].delong_p < 0.05


def test_one_run_alone() -> None:
    told = compare_models(cohort({"a": [1.0]}), resamples=20)
    assert (len(told.rows), told.pairs, told.groups) == (1, [], [])
    assert told.verdict == ["There is only one model: nothing to compare."]


def test_perfect_constant_and_identical_models() -> None:
    (base,) = cohort({"a": [1.0]}, n_patients=40)
    perfect = base.targets.astype(np.float64)
    runs = [
        dataclasses.replace(base, backbone=name, probabilities=probabilities)
        for name, probabilities in {
            "perfect": perfect,
            "also perfect": 0.8 * perfect + 0.1,
            "constant": np.full(perfect.size, 0.5),
        }.items()
    ]
    told = compare_models(runs, resamples=50)
    found = {(pair.first, pair.second): pair for pair in told.pairs}
    assert found["perfect", "also perfect"].delong_p == 1.0
    assert found["perfect", "also perfect"].mcnemar_p == 1.0
    assert math.isnan(found["perfect", "constant"].delong_p_holm)
    assert found["perfect", "constant"].mcnemar_p_holm < 1e-4
    # What cannot be tested is in no group; the accuracies tell these apart.
    assert told.groups == [
        ["perfect", "also perfect", "ensemble (mean)", "ensemble (val-AUC weighted)"]
    ]
    assert told.verdict[0].endswith("(ROC-AUC 1.000, 1.000, 1.000 and 1.000, p = 1).")
    assert (
        "perfect and constant cannot be tested against each other: their ROC-AUCs have no usable "
        "variance." in told.verdict
    )
    assert json.dumps(told.to_dict(), allow_nan=False)


def test_one_patient() -> None:
    runs = [
        dataclasses.replace(run, patients=["same"] * len(run.images))
        for run in cohort({"a": [1.0], "b": [2.0]}, n_patients=10)
    ]
    told = compare_models(runs, resamples=20)
    assert math.isnan(told.pairs[-1].delong_p) and told.groups == []
    assert told.to_dict()["rows"][0]["test_sd"]["accuracy"] is None


def rows_of(areas: dict[str, float], seed_sd: float | None = None) -> list[ModelRow]:
    return [
        ModelRow(
            name=name,
            seeds=(0,) if seed_sd is None else (0, 1),
            n=10,
            n_patients=10,
            figures={"roc_auc": Interval(area, area, area)},
            seed_sd={"roc_auc": seed_sd},
            test_sd={"roc_auc": 0.01},
        )
        for name, area in areas.items()
    ]


def pairs_of(p_values: dict[str, float]) -> list[Pair]:
    none = Interval(0.0, 0.0, 0.0)
    return [
        Pair(names[0], names[-1], none, p, p, none, 1.0, 1.0, (0, 0))
        for names, p in p_values.items()
    ]


def test_groups_are_the_bars_of_a_critical_difference_plot() -> None:
    rows = rows_of({"a": 0.95, "b": 0.94, "c": 0.93, "d": 0.80})
    p = {"a-b": 0.62, "a-c": 0.049, "a-d": 0.0001, "b-c": 0.051, "b-d": 0.003, "c-d": 0.0021}
    groups, verdict = judge(rows, pairs_of(p))
    assert groups == [["a", "b"], ["b", "c"]]
    assert verdict == [
        "a and b cannot be told apart (ROC-AUC .950 and .940, p = .62).",
        "b and c cannot be told apart (ROC-AUC .940 and .930, p = .051).",
        "a is better than c (p <= .049).",
        "d is worse than every other (ROC-AUC .800; p <= .003).",
        "p-values: DeLong's test of ROC-AUC with patients as clusters, Holm-corrected for 6 pairs.",
        "One seed each: differences between trainings of the same backbone are not included.",
    ]


def test_sentences_on_many_alike_and_one_best() -> None:
    rows = rows_of({"a": 1.0, "b": 0.94, "c": 0.939, "d": 0.938})
    p = {"a-b": 1e-9, "a-c": 1e-9, "a-d": 1e-9, "b-c": 1.0, "b-d": 0.219, "c-d": 0.7}
    groups, verdict = judge(rows, pairs_of(p))
    assert groups == [["b", "c", "d"]]
    assert verdict[:2] == [
        "a is better than every other (ROC-AUC 1.000; p < .001).",
        "b, c and d cannot be told apart (ROC-AUC .940, .939 and .938, p >= .21).",
    ]


def test_alike_without_being_neighbours() -> None:
    """b is measured precisely enough to differ from a; c is not."""
    rows = rows_of({"a": 0.95, "b": 0.94, "c": 0.93})
    groups, verdict = judge(rows, pairs_of({"a-b": 0.01, "a-c": 0.3, "b-c": 0.4}))
    assert groups == [["b", "c"]]
    assert "a is better than b (p <= .010)." in verdict
    assert "a and c cannot be told apart (ROC-AUC .950 and .930, p = .30)." in verdict


def test_two_models() -> None:
    _, verdict = judge(rows_of({"a": 0.981, "b": 0.95}, seed_sd=0.001), pairs_of({"a-b": 0.012}))
    assert verdict == [
        "a is better than b (ROC-AUC .981 against .950, p = .012).",
        "p-values: DeLong's test of ROC-AUC with patients as clusters.",
    ]


def test_seeds_that_vary_more_than_half_the_difference() -> None:
    areas = {"a": 0.98, "b": 0.95}
    warning = (
        "Other seeds may change the order of a and b: ROC-AUC varies between seeds (SD) by more "
        "than half the difference."
    )
    p = pairs_of({"a-b": 0.012})
    assert warning in judge(rows_of(areas, seed_sd=0.016), p)[1]
    assert warning not in judge(rows_of(areas, seed_sd=0.014), p)[1]
    # Of models that cannot be told apart no order is claimed.
    assert warning not in judge(rows_of(areas, seed_sd=0.016), pairs_of({"a-b": 0.2}))[1]


def test_some_with_one_seed() -> None:
    told = compare_models(cohort({"a": [1.0, 1.0], "b": [2.0]}), resamples=20)
    assert (
        "One seed of b: differences between trainings of the same backbone are not included."
        in told.verdict
    )


def test_different_radiographs_are_refused_by_name() -> None:
    one, other = cohort({"resnet18": [1.0], "vit_b_16": [2.0]}, n_patients=3)
    both = r"resnet18 \(seed 0\) and vit_b_16 \(seed 0\) cannot be compared: "
    changes: list[tuple[dict[str, Any], str]] = [
        ({"images": [*other.images[:5], "z.png"]}, "radiographs differ in row 5 .5.png and z.png."),
        ({"patients": ["x", *other.patients[1:]]}, "patients differ in row 0 .p0 and x."),
        ({"targets": 1 - other.targets}, "targets differ in row 0"),
    ]
    for change, message in changes:
        with pytest.raises(EvaluationError, match=both + "their " + message):
            compare_models([one, dataclasses.replace(other, **change)])
    longer = cohort({"vit_b_16": [2.0]}, n_patients=4)
    with pytest.raises(EvaluationError, match=both + "one has 6 radiographs, the other 8"):
        compare_models([one, *longer])


def test_other_wrong_input() -> None:
    (run,) = cohort({"a": [1.0]}, n_patients=3)
    with pytest.raises(EvaluationError, match="no runs"):
        compare_models([])
    with pytest.raises(EvaluationError, match=r"a \(seed 0\) is given twice"):
        compare_models([run, run])
    negatives = dataclasses.replace(run, targets=np.zeros(6, dtype=np.int64))
    with pytest.raises(EvaluationError, match="needs both classes"):
        compare_models([negatives])
    changes: list[tuple[dict[str, Any], str]] = [
        ({"probabilities": 2.0 * run.probabilities}, "outside"),
        ({"probabilities": run.probabilities[1:]}, "lengths differ"),
        ({"patients": ["", *run.patients[1:]]}, "row 0 has no patient"),
        ({"threshold": math.nan}, "thresholds are NaN"),
        ({"val_roc_auc": 95.0}, "ROC-AUCs on val reach"),
    ]
    for change, message in changes:
        with pytest.raises(EvaluationError, match=r"^a \(seed 0\): .*" + message):
            dataclasses.replace(run, **change)


def test_the_contract_is_importable_from_its_module() -> None:
    assert contract.compare_models is compare_models
    assert (contract.Comparison, contract.ModelRow) == (Comparison, ModelRow)
    assert (contract.ModelScores, contract.Pair) == (ModelScores, Pair)


@pytest.mark.slow
def test_twenty_runs_are_compared() -> None:
    runs = cohort({f"net{index}": [1.0, 1.5, 2.0, 2.5] for index in range(5)}, n_patients=500)
    told = compare_models(runs)
    assert (len(told.rows), told.rows[0].n) == (7, 1000)
