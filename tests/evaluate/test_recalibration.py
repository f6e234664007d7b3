"""A site's operating point: the fit, its intervals, and figures from fits on other patients."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    OperatingPoint,
    Predictions,
    ReviewBand,
    ThresholdRule,
    recalibrate,
)

SHIPPED = OperatingPoint(1.0, 0.0, 0.5, ReviewBand(0.95, 0.4, 0.6))
YOUDEN = ThresholdRule()


def sample(
    logits: NDArray[np.float64], targets: NDArray[np.int64], films_each: int = 1
) -> Predictions:
    """A sample whose patients have so many radiographs each."""
    n = logits.size
    return Predictions(
        images=[f"{index}.png" for index in range(n)],
        patients=[f"p{index // films_each}" for index in range(n)],
        targets=targets,
        logits=logits,
        probabilities=np.full(n, 0.5),
    )


def drawn(n: int, temperature: float, bias: float, seed: int = 0) -> Predictions:
    """Logits whose labels come true as sigmoid(logit / temperature + bias) says."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0.0, 2.0, n)
    chance = expit(logits / temperature + bias)
    return sample(logits, (generator.random(n) < chance).astype(np.int64))


@pytest.fixture(scope="module")
def site() -> Predictions:
    return drawn(300, temperature=2.0, bias=-1.0)


def test_the_fit_is_a_logistic_regression(site: Predictions) -> None:
    found = recalibrate(site, SHIPPED, YOUDEN, n_refits=100)
    line = LogisticRegression(C=np.inf, tol=1e-10).fit(site.logits[:, None], site.targets)
    assert 1 / found.point.temperature == pytest.approx(line.coef_[0, 0], rel=1e-3)
    assert found.point.bias == pytest.approx(line.intercept_[0], abs=1e-3)
    # What the labels were drawn from lies within the intervals.
    for name, true in (("temperature", 2.0), ("bias", -1.0)):
        interval = found.intervals[name]
        assert interval.low < true < interval.high
        assert interval.low < interval.value < interval.high


def test_probabilities_come_true_after_and_did_not_before(site: Predictions) -> None:
    found = recalibrate(site, SHIPPED, YOUDEN, n_refits=2)
    intercept = {"before": found.before, "after": found.after}
    assert intercept["before"]["calibration_intercept"].high < 0
    after = intercept["after"]["calibration_intercept"]
    assert after.low < 0 < after.high
    assert found.after["brier"].value < found.before["brier"].value
    assert found.before["roc_auc"] == found.after["roc_auc"]


def test_figures_before_are_those_of_the_shipped_numbers(site: Predictions) -> None:
    found = recalibrate(site, SHIPPED, YOUDEN, n_refits=2)
    p, y = expit(site.logits), site.targets
    assert found.before["sensitivity"].value == pytest.approx(np.mean(p[y == 1] >= 0.5))
    assert found.before["uncertain"].value == pytest.approx(np.mean((p >= 0.4) & (p <= 0.6)))


def test_logits_that_know_nothing_look_useless_after_the_fit() -> None:
    """Fitted and measured on the same radiographs, Youden's J of noise would be well above 0."""
    generator = np.random.default_rng(5)
    noise = sample(generator.normal(size=120), generator.integers(0, 2, 120))
    found = recalibrate(noise, SHIPPED, YOUDEN, n_refits=2)
    gained = found.after["sensitivity"].value + found.after["specificity"].value - 1
    assert abs(gained) < 0.1
    assert any("hardly separates" in sentence for sentence in found.warnings)


def test_films_of_one_patient_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(6)
    logits, targets = np.arange(40.0), generator.permutation([0, 1] * 20)
    copies = sample(np.repeat(logits, 3), np.repeat(targets, 3), films_each=3)
    fits: list[NDArray[np.float64]] = []

    def watched(logits: NDArray[np.float64], *rest: object) -> tuple[float, float]:
        fits.append(logits)
        return 1.0, 0.0

    monkeypatch.setattr("pneumoscope.evaluate.recalibration.fit_calibration", watched)
    recalibrate(copies, SHIPPED, YOUDEN, n_refits=1)
    # The fit on all, ten folds, one refit. A patient is known by the logit of its radiographs.
    whole, *folds, _ = fits
    assert len(whole) == 120 and len(folds) == 10
    held_out = [set(logits) - set(fold) for fold in folds]
    assert sorted(patient for fold in held_out for patient in fold) == list(logits)
    for fold in folds:
        assert set(np.unique(fold, return_counts=True)[1]) == {3}


def test_a_stated_prevalence_moves_the_probabilities_and_not_the_order() -> None:
    half = drawn(400, temperature=1.0, bias=0.0, seed=3)
    here = recalibrate(half, SHIPPED, YOUDEN, prevalence=0.05, n_refits=2)
    share = half.targets.mean()
    weights = np.where(half.targets == 1, 0.05 / share, 0.95 / (1 - share))
    line = LogisticRegression(C=np.inf, tol=1e-10).fit(
        half.logits[:, None], half.targets, sample_weight=weights
    )
    assert here.point.bias == pytest.approx(line.intercept_[0], abs=1e-2)
    p = expit(half.logits / here.point.temperature + here.point.bias)
    assert np.average(p, weights=weights) == pytest.approx(0.05, abs=1e-3)
    sensitivity, specificity = (here.after[name].value for name in ("sensitivity", "specificity"))
    found = sensitivity * 0.05
    assert here.after["ppv"].value == pytest.approx(found / (found + (1 - specificity) * 0.95))


def test_the_band_after_the_fit_is_the_one_that_is_delivered() -> None:
    strict = recalibrate(drawn(400, 2.0, -1.0), SHIPPED, ThresholdRule("specificity", 0.98))
    assert strict.point.band is not None
    assert strict.point.band.high < strict.point.threshold
    # Between band and threshold nobody is cleared, so the promise holds.
    assert strict.after["kept_positive"].value > 0.93


def test_folds_with_too_few_for_a_band_say_nothing_of_it() -> None:
    generator = np.random.default_rng(0)
    for positives, told in ((20, False), (24, True)):
        targets = np.array([1] * positives + [0] * 200)
        found = recalibrate(
            sample(generator.normal(size=targets.size) + 3 * targets, targets),
            SHIPPED, YOUDEN, n_refits=2,
        )  # fmt: skip
        for name in ("uncertain", "kept_positive", "kept_negative"):
            assert np.isfinite(found.after[name].value) == told
            assert np.isfinite(found.before[name].value)
        assert any("nothing is said of what" in said for said in found.warnings) != told


def test_small_samples_are_warned_of_and_tiny_ones_refused() -> None:
    enough = drawn(400, 1.0, 0.0)
    assert recalibrate(enough, SHIPPED, YOUDEN, n_refits=2).warnings == []
    generator = np.random.default_rng(1)
    targets = np.array([1] * 12 + [0] * 60)
    few = sample(generator.normal(size=72) + targets * 2, targets)
    said = recalibrate(few, SHIPPED, YOUDEN, n_refits=2)
    assert "12 positive and 60 negative" in said.warnings[0]
    assert "review band needs 19" in said.warnings[1]
    # No limit can be had from so few positives, so nothing is likely absent.
    assert said.point.band is not None and said.point.band.low == 0.0
    with pytest.raises(EvaluationError, match="9 positive radiographs of 9 patients"):
        recalibrate(sample(few.logits[3:], targets[3:]), SHIPPED, YOUDEN)
    with pytest.raises(EvaluationError, match="of 2 patients"):
        recalibrate(sample(few.logits, targets, films_each=6), SHIPPED, YOUDEN)
    with pytest.raises(EvaluationError, match="prevalence 5"):
        recalibrate(enough, SHIPPED, YOUDEN, prevalence=5)
