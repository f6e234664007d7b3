"""Predictions: the table that classification figures are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluate import _checks


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """One row per radiograph of `predictions.csv`, column by column.

    That file has the columns image, patient, label, split, logit, probability, decision.

    Args:
        images: (n,) paths relative to the cohort's root.
        patients: (n,) patient of each radiograph; the unit that intervals resample.
        targets: (n,) 0 = negative, 1 = positive.
        logits: (n,) uncalibrated logit of the positive class, z1 - z0.
        probabilities: (n,) calibrated probability of the positive class, in [0, 1].

    Raises:
        EvaluationError: empty, lengths that differ, NaN or infinity, a probability outside
            [0, 1], a target other than 0 and 1, or a missing patient.
    """

    images: list[str]
    patients: list[str]
    targets: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        columns = {
            "targets": _checks.target_vector(self.targets),
            "logits": _checks.finite_vector(self.logits, "logits"),
            "probabilities": _checks.probability_vector(self.probabilities),
        }
        _checks.same_length(
            images=len(self.images),
            patients=len(self.patients),
            **{name: len(column) for name, column in columns.items()},
        )
        _checks.patient_codes(self.patients)
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    def __repr__(self) -> str:
        return f"<Predictions of {len(self)} radiographs of {self.n_patients} patients>"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def n_patients(self) -> int:
        """How many different patients there are."""
        return len(set(self.patients))

    def only(self, chosen: NDArray[np.bool_]) -> Predictions:
        """The chosen rows.

        Args:
            chosen: bool (n,).

        Raises:
            EvaluationError: none is chosen.
        """
        rows = np.flatnonzero(chosen)
        return Predictions(
            images=[self.images[row] for row in rows],
            patients=[self.patients[row] for row in rows],
            targets=self.targets[rows],
            logits=self.logits[rows],
            probabilities=self.probabilities[rows],
        )
