"""A site's own rule for the threshold: what its decisions must keep, or what its errors cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError, SettingsError
from pneumoscope.evaluate.thresholds import choose_threshold, cuts, middle_of_best

Kind = Literal["youden", "sensitivity", "specificity", "cost"]
_WITH_A_VALUE: dict[str, Kind] = {
    "sensitivity": "sensitivity", "specificity": "specificity", "cost": "cost",
}  # fmt: skip
_FORMS = "youden, sensitivity=0.9, specificity=0.9 or cost=5"


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """How a threshold is chosen on a labelled sample.

    Attributes:
        kind: `youden` takes the largest sensitivity + specificity - 1. `sensitivity` takes the
            largest specificity at no less than that sensitivity, `specificity` the reverse. `cost`
            takes the smallest total cost, where a false negative costs `value` false positives.
        value: of all but `youden`; a share in (0, 1], or a cost above 0.
    """

    kind: Kind = "youden"
    value: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule such as `youden` or `sensitivity=0.9`.

        Raises:
            SettingsError: there is no such rule, or its number is out of range.
        """
        name, equals, number = (part.strip() for part in text.partition("="))
        if name == "youden" and not equals:
            return cls()
        kind = _WITH_A_VALUE.get(name)
        if kind is None:
            raise SettingsError(f"'{text}' is not a rule for a threshold", remedy=f"give {_FORMS}")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (0.0 < value < math.inf if kind == "cost" else 0.0 < value <= 1.0):
            allowed = "a number above 0" if kind == "cost" else "a share above 0 and at most 1"
            raise SettingsError(f"'{text}': {name} needs {allowed}", remedy=f"give {_FORMS}")
        return cls(kind, value)

    def __str__(self) -> str:
        return self.kind if self.value is None else f"{self.kind}={self.value:g}"

    @property
    def words(self) -> str:
        """The rule for readers."""
        if self.kind == "cost":
            return f"smallest total cost if a false negative costs {self.value:g} false positives"
        if self.kind == "youden":
            return "largest sensitivity + specificity - 1 (Youden)"
        other = "specificity" if self.kind == "sensitivity" else "sensitivity"
        return f"largest {other} at a {self.kind} of at least {self.value:g}"

    def choose(
        self, probabilities: ArrayLike, targets: ArrayLike, prevalence: float | None = None
    ) -> float:
        """The threshold that the rule takes on a sample.

        It is the middle between two adjacent scores, as of `choose_threshold`.

        Args:
            probabilities: (n,) calibrated, of the positive label.
            targets: (n,) of 0 and 1.
            prevalence: share of positives where the threshold will be used, in (0, 1); None for
                that of the sample. Only `cost` depends on it.

        Raises:
            EvaluationError: as `choose_threshold`, or no threshold keeps the rule's share.
        """
        if self.value is None:
            return choose_threshold(probabilities, targets)
        scores, tp, fp = cuts(probabilities, targets, "choosing a threshold")
        sensitivity, specificity = tp / tp[-1], 1.0 - fp / fp[-1]
        # No threshold of at most 1 calls nothing where a probability is 1 itself.
        possible = np.ones(tp.size, dtype=bool)
        possible[0] = scores[0] < 1.0
        if self.kind == "cost":
            ill = tp[-1] / (tp[-1] + fp[-1]) if prevalence is None else prevalence
            cost = self.value * ill * (1.0 - sensitivity) + (1.0 - ill) * (1.0 - specificity)
            return middle_of_best(scores, possible & (cost <= cost[possible].min() + 1e-12))
        kept, wanted = sensitivity, specificity
        if self.kind == "specificity":
            kept, wanted = specificity, sensitivity
        # The tolerance keeps 9 of 10 at a floor of .9 despite rounding.
        allowed = possible & (kept >= self.value - 1e-9)
        if not allowed.any():
            raise EvaluationError(
                f"no threshold reaches a specificity of {self.value:g}: some negative radiographs "
                f"have a probability of 1 (at most {specificity[possible].max():.3f})",
                remedy="check their labels, or give another rule",
            )
        return middle_of_best(scores, _best(kept, wanted, allowed))


def _best(
    kept: NDArray[np.float64], wanted: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The allowed cuts with the largest `wanted`, of these the most kept."""
    largest = allowed & (wanted >= wanted[allowed].max() - 1e-12)
    best: NDArray[np.bool_] = largest & (kept >= kept[largest].max() - 1e-12)
    return best
