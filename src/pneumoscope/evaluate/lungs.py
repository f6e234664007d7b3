"""Do heatmaps look at the lungs at all, on radiographs whose lungs are known."""

from __future__ import annotations

from dataclasses import dataclass

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks
from pneumoscope.evaluate.bootstrap import bootstrap_patients, weighted_means
from pneumoscope.evaluate.heatmap_scores import LungScores
from pneumoscope.evaluate.localization_report import FigureReport

_FIGURES = ("energy_in_lungs", "peak_in_lungs", "lungs_share", "peak_at_border")


@dataclass(frozen=True, slots=True)
class LungsReport(FigureReport):
    """How much of one method's heatmaps lies in the lungs.

    Attributes:
        n: radiographs.
        n_patients: theirs.
        n_flat: maps without evidence because they are flat: all of them is outside the lungs.
        n_nan: likewise because of a value that is not finite.
        figures: `energy_in_lungs`, `peak_in_lungs`, `lungs_share` (what a map spread evenly would
            score), and `peak_at_border`, over maps with evidence.
    """

    n_flat: int
    n_nan: int


class LungsEvaluator:
    """Collects the scores of any number of methods; radiographs need no lesions.

    Args:
        n_resamples: bootstrap resamples for the intervals.
        seed: the same seed gives the same intervals.
        level: coverage asked for, in (0, 1).
    """

    def __init__(self, n_resamples: int = 1000, seed: int = 0, level: float = 0.95) -> None:
        self.n_resamples = n_resamples
        self.seed = seed
        self.level = level
        self._scores: dict[str, dict[str, tuple[str, LungScores]]] = {}

    def accumulate(self, method: str, *, image: str, patient: str, scores: LungScores) -> None:
        """Add one radiograph.

        Args:
            method: whose heatmap it is.
            image: name of the radiograph, once per method.
            patient: whose radiograph it is.
            scores: from `score_lungs`.

        Raises:
            EvaluationError: a missing patient, or an image that is there already.
        """
        _checks.patient_codes([patient])
        own = self._scores.setdefault(method, {})
        if image in own:
            raise EvaluationError(
                f"'{image}' was scored twice with method '{method}'",
                remedy="accumulate each radiograph once per method",
            )
        own[image] = patient, scores

    def compute(self) -> dict[str, LungsReport]:
        """The figures of each method, in the order in which the methods came.

        Raises:
            EvaluationError: nothing was accumulated, or a setting is out of range.
        """
        if not self._scores:
            raise EvaluationError(
                "there is no radiograph with known lungs",
                remedy="give lung masks for some radiographs of the split",
            )
        return {method: self._report(method) for method in self._scores}

    def _report(self, method: str) -> LungsReport:
        records = [record for _, record in sorted(self._scores[method].items())]
        patients = [patient for patient, _ in records]
        scores = [own for _, own in records]
        return LungsReport(
            n=len(records),
            n_patients=len(set(patients)),
            n_flat=sum(own.evidence == "flat" for own in scores),
            n_nan=sum(own.evidence == "nan" for own in scores),
            figures=bootstrap_patients(
                weighted_means({name: [getattr(own, name) for own in scores] for name in _FIGURES}),
                patients,
                n_resamples=self.n_resamples,
                seed=self.seed,
                level=self.level,
            ),
        )
