"""What `compare_models` returns, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumoscope.evaluate.bootstrap import Interval, figures_json


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model: a backbone with all its seeds, or an ensemble.

    Attributes:
        name: the backbone, `ensemble (mean)` or `ensemble (val-AUC weighted)`.
        seeds: of its runs; for an ensemble, all seeds that any member was trained with.
        n: radiographs.
        n_patients: theirs.
        figures: roc_auc, pr_auc, accuracy, balanced_accuracy, sensitivity, specificity, ppv, npv,
            f1, mcc, brier, ece; the mean over seeds, with the 95 % patient-level bootstrap interval
            of that mean *for these trainings*. NaN where undefined.
        seed_sd: standard deviation of each figure over seeds: what another training would change.
            None with one seed, and for an ensemble, which is one predictor.
        test_sd: standard deviation of each figure over the bootstrap: what other patients would
            change. NaN with one patient.
    """

    name: str
    seeds: tuple[int, ...]
    n: int
    n_patients: int
    figures: dict[str, Interval]
    seed_sd: dict[str, float | None]
    test_sd: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; undefined figures are None."""
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            "n": self.n,
            "n_patients": self.n_patients,
            "figures": figures_json(self.figures),
            "seed_sd": finite_json(self.seed_sd),
            "test_sd": finite_json(self.test_sd),
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the same radiographs; differences are the first's figure less the second's.

    Attributes:
        first: the one with the larger ROC-AUC.
        second: the other.
        auc_difference: with its 95 % bootstrap interval, which is of this pair alone: it is not
            corrected for the number of pairs, so that it may exclude 0 where `delong_p_holm` is
            above .05.
        delong_p: of equal ROC-AUC, see `correlated_aucs`; NaN where it cannot be tested.
        delong_p_holm: Holm-corrected over all pairs.
        accuracy_difference: like `auc_difference`.
        mcnemar_p: of equal accuracy, mid-p of `mcnemar_test`.
        mcnemar_p_holm: Holm-corrected over all pairs, apart from DeLong's.
        discordant: see `McNemar`.
    """

    first: str
    second: str
    auc_difference: Interval
    delong_p: float
    delong_p_holm: float
    accuracy_difference: Interval
    mcnemar_p: float
    mcnemar_p_holm: float
    discordant: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; undefined figures are None."""
        p_values = ("delong_p", "delong_p_holm", "mcnemar_p", "mcnemar_p_holm")
        return {
            "first": self.first,
            "second": self.second,
            "auc_difference": self.auc_difference.to_dict(),
            "accuracy_difference": self.accuracy_difference.to_dict(),
            **finite_json({name: getattr(self, name) for name in p_values}),
            "discordant": list(self.discordant),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several models on the same radiographs.

    Attributes:
        rows: one per model, largest ROC-AUC first.
        pairs: all pairs of rows, in the order of the rows.
        groups: names of neighbours in `rows` no two of which are told apart at a Holm-corrected
            .05, each run as long as it can be and of two models at least: the bars of a
            critical-difference plot (Demsar 2006). Runs may overlap. A pair that cannot be tested
            is in no run.
        verdict: the same in sentences, ending with what the comparison does not include.
    """

    rows: list[ModelRow]
    pairs: list[Pair]
    groups: list[list[str]]
    verdict: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; undefined figures are None."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "pairs": [pair.to_dict() for pair in self.pairs],
            "groups": [list(group) for group in self.groups],
            "verdict": list(self.verdict),
        }


def finite_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with None for numbers that are not finite, which JSON cannot hold."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
