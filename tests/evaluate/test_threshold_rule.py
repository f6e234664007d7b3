"""Rules for a site's threshold, against a search over all thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score

from pneumoscope.errors import EvaluationError, SettingsError
from pneumoscope.evaluate import ThresholdRule, choose_threshold

from .cohorts import binormal


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [12, 1])
@pytest.mark.parametrize("text", ["sensitivity=0.9", "specificity=0.85", "sensitivity=1"])
@pytest.mark.parametrize("seed", range(3))
def test_the_floor_is_kept_and_nothing_is_given_away(text: str, decimals: int, seed: int) -> None:
    cohort = binormal(90, seed=seed, decimals=decimals)
    p, y = cohort.probabilities, cohort.targets
    name, _, floor = text.partition("=")
    kept, other = (1, 0) if name == "sensitivity" else (0, 1)

    def rates(threshold: float) -> tuple[float, float]:
        called = (p >= threshold).astype(int)
        return recall_score(y, called, pos_label=kept), recall_score(y, called, pos_label=other)

    reached = rates(ThresholdRule.parse(text).choose(p, y))
    possible = [rates(cut) for cut in (*np.unique(p), 1.1)]
    best = max(each[::-1] for each in possible if each[0] >= float(floor) - 1e-9)
    assert reached[::-1] == pytest.approx(best)


@pytest.mark.parametrize("prevalence", [None, 0.05])
@pytest.mark.parametrize("cost", [0.5, 5.0])
def test_no_threshold_costs_less(cost: float, prevalence: float | None) -> None:
    cohort = binormal(120, seed=4)
    p, y = cohort.probabilities, cohort.targets
    ill = float(y.mean()) if prevalence is None else prevalence

    def total(threshold: float) -> float:
        missed = float(np.mean(p[y == 1] < threshold))
        alarms = float(np.mean(p[y == 0] >= threshold))
        return cost * ill * missed + (1 - ill) * alarms

    chosen = ThresholdRule("cost", cost).choose(p, y, prevalence)
    assert total(chosen) == pytest.approx(min(total(cut) for cut in (*np.unique(p), 1.1)))


def test_a_negative_of_probability_one_cannot_be_cleared() -> None:
    p, y = [0.2, 0.4, 0.6, 1.0, 1.0], [0, 1, 1, 0, 1]
    with pytest.raises(EvaluationError, match=r"a specificity of 1.*at most 0\.500"):
        ThresholdRule("specificity", 1.0).choose(p, y)
    # To call all negative would cost least, but no threshold of at most 1 does that.
    assert ThresholdRule("cost", 0.1).choose(p, y) == pytest.approx(0.3)
    assert 0.2 < ThresholdRule("specificity", 0.5).choose(p, y) <= 0.4


def test_youden_is_the_rule_of_training() -> None:
    cohort = binormal(80, seed=2)
    p, y = cohort.probabilities, cohort.targets
    assert ThresholdRule.parse("youden").choose(p, y) == choose_threshold(p, y)


@pytest.mark.parametrize("text", ["youden", "sensitivity=0.9", "specificity=0.95", "cost=5"])
def test_a_rule_reads_what_it_writes(text: str) -> None:
    assert str(ThresholdRule.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("best", "'best'"),
        ("youden=1", "youden=1"),
        ("sensitivity", "a share"),
        ("sensitivity=90", "a share"),
        ("specificity=nan", "a share"),
        ("cost=0", "a number above 0"),
        ("cost=inf", "a number above 0"),
        ("cost=much", "a number above 0"),
    ],
)
def test_other_rules_are_refused(text: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word) as caught:
        ThresholdRule.parse(text)
    assert "sensitivity=0.9" in str(caught.value)
