"""What a test found: figures with intervals, rows of them, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from pneumoscope.evaluate import Interval, bootstrap_patients, weighted_means
from pneumoscope.evaluate.bootstrap import figures_json


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one step of a test: a block, a percentage, a place."""

    label: str
    figures: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one test found.

    Attributes:
        passed: the verdict, by `limits` alone.
        n: radiographs it rests on.
        figures: the figures the verdict is about, and what to compare them with.
        limits: the limits of the verdict, stated before anything was measured.
        rows: figures step by step.
        warnings: what a reader must know, in plain sentences; never empty when not passed.
    """

    passed: bool
    n: int
    figures: Mapping[str, Interval]
    limits: Mapping[str, float]
    rows: Sequence[Row] = ()
    warnings: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "passed": self.passed,
            "n": self.n,
            "figures": figures_json(self.figures),
            "limits": dict(self.limits),
            "rows": [
                {"label": row.label, "figures": figures_json(row.figures)} for row in self.rows
            ],
            "warnings": list(self.warnings),
        }


def intervals(columns: Mapping[str, ArrayLike], patients: Sequence[str]) -> dict[str, Interval]:
    """Means of columns over radiographs, NaN left out, with patient-level intervals.

    Args:
        columns: name to (n,) values.
        patients: (n,) patient of each radiograph.
    """
    return bootstrap_patients(weighted_means(columns), patients)
