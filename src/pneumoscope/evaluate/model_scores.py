"""Trained runs as a comparison takes them: what each says of the same radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks


@dataclass(frozen=True, slots=True, eq=False)
class ModelScores:
    """One trained run on one set of radiographs.

    Args:
        backbone: runs of the same backbone are trainings of the same model.
        seed: of the training; tells apart the runs of one backbone.
        targets: (n,) 0 = negative, 1 = positive.
        probabilities: (n,) calibrated probability of the positive class, in [0, 1].
        patients: (n,) patient of each radiograph.
        images: (n,) paths relative to the cohort's root.
        threshold: fitted on val, in [0, 1]; probabilities of at least this are positive.
        val_roc_auc: the run's ROC-AUC on val, in [0, 1]; weighs it in an ensemble.

    Raises:
        EvaluationError: empty, lengths that differ, NaN, a value out of range, or a missing
            patient; the run is named.
    """

    backbone: str
    seed: int
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    patients: list[str]
    images: list[str]
    threshold: float
    val_roc_auc: float

    def __post_init__(self) -> None:
        try:
            targets = _checks.target_vector(self.targets)
            probabilities = _checks.probability_vector(self.probabilities)
            _checks.same_length(
                images=len(self.images),
                patients=len(self.patients),
                targets=targets.size,
                probabilities=probabilities.size,
            )
            _checks.patient_codes(self.patients)
            _checks.probability_vector([self.threshold], "thresholds")
            _checks.probability_vector([self.val_roc_auc], "ROC-AUCs on val")
        except EvaluationError as error:
            raise EvaluationError(f"{self.title}: {error.problem}", remedy=error.remedy) from error
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "probabilities", probabilities)

    @property
    def title(self) -> str:
        """How messages call the run."""
        return f"{self.backbone} (seed {self.seed})"


def check_comparable(runs: Sequence[ModelScores]) -> None:
    """Refuse runs that cannot be compared radiograph by radiograph.

    Raises:
        EvaluationError: no run; the same backbone and seed twice; or two runs, which are named,
            whose images, patients or targets differ.
    """
    if not runs:
        raise EvaluationError("there are no runs to compare", remedy="give at least two")
    seen: set[tuple[str, int]] = set()
    for run in runs:
        if (run.backbone, run.seed) in seen:
            raise EvaluationError(
                f"{run.title} is given twice", remedy="give each backbone and seed once"
            )
        seen.add((run.backbone, run.seed))
        difference = _difference(runs[0], run)
        if difference is not None:
            raise EvaluationError(
                f"{runs[0].title} and {run.title} cannot be compared: {difference}",
                remedy="evaluate both on the same split of the same manifest",
            )


def _difference(first: ModelScores, second: ModelScores) -> str | None:
    """The first way in which two runs are not of the same radiographs, in words."""
    if len(first.images) != len(second.images):
        return f"one has {len(first.images)} radiographs, the other {len(second.images)}"
    columns: tuple[tuple[str, Sequence[object], Sequence[object]], ...] = (
        ("radiographs", first.images, second.images),
        ("patients", first.patients, second.patients),
        ("targets", first.targets.tolist(), second.targets.tolist()),
    )
    for name, one, other in columns:
        for row, (left, right) in enumerate(zip(one, other, strict=True)):
            if left != right:
                return f"their {name} differ in row {row} ({left} and {right})"
    return None
