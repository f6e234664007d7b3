"""Localization: where do heatmaps and regions lie, against the lesions that somebody drew.

`accumulate` one radiograph at a time, `compute` at the end, as wsolevaluation does (Choe et al.
2020). Radiographs come in two halves by patient. The *tuning* half chooses a heat threshold for
each method; all figures are of the *test* half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import _checks
from pneumoscope.evaluate import _localization_figures as _figures
from pneumoscope.evaluate._pixels import THRESHOLDS
from pneumoscope.evaluate._weighted import Array, Figures
from pneumoscope.evaluate.bootstrap import Interval, Statistic, bootstrap_patients
from pneumoscope.evaluate.heatmap_scores import HeatmapScores, read_regions
from pneumoscope.evaluate.localization_report import (
    FigureReport,
    GroupReport,
    MethodReport,
    Slice,
    SliceReport,
)

Half = Literal["tuning", "test"]

SIZES = ("small", "medium", "large")
_OWN_BREAKDOWNS = ("lesion_size", "n_boxes", "side")


def half_of(patient: str) -> Half:
    """The half a patient is in: `tuning` if the first hex digit of sha256(patient) is 0 to 7.

    It depends on nothing else, so that a patient never changes sides when a cohort grows.
    """
    return "tuning" if hashlib.sha256(patient.encode("utf-8")).hexdigest()[0] < "8" else "test"


@dataclass(frozen=True, slots=True, eq=False)
class _Record:
    """One radiograph under one method; `scores` is None without lesions."""

    image: str
    patient: str
    half: Half
    positive: bool
    scores: HeatmapScores | None
    false_scores: Array
    groups: Mapping[str, str]

    def gated(self) -> _figures.Row:
        """As delivered: a radiograph called negative gets an empty map and no regions."""
        if self.positive:
            return _figures.Row(self.scores, self.false_scores)
        scores = None if self.scores is None else self.scores.emptied()
        return _figures.Row(scores, np.empty(0))


class LocalizationEvaluator:
    """Collects scores of any number of methods on the same radiographs; no heatmap is kept.

    Args:
        n_resamples: bootstrap resamples for the intervals.
        seed: the same seed gives the same intervals, and the same resamples for each method.
        level: coverage asked for, in (0, 1).
    """

    def __init__(self, n_resamples: int = 1000, seed: int = 0, level: float = 0.95) -> None:
        self.n_resamples = n_resamples
        self.seed = seed
        self.level = level
        self._records: dict[str, dict[str, _Record]] = {}
        self._patients: dict[str, str] = {}
        self._halves: dict[str, Half] = {}

    def accumulate(
        self,
        method: str,
        *,
        image: str,
        patient: str,
        scores: HeatmapScores,
        half: Half,
        positive: bool,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        """Add a radiograph with lesions.

        Args:
            method: whose heatmap it is, such as `gradcam` or `random`.
            image: name of the radiograph, once per method.
            patient: whose radiograph it is.
            scores: from `score_heatmap`.
            half: see `half_of`.
            positive: the classifier calls it positive; if not, its map counts as empty in the
                slice `all` and not at all in `true_positives`.
            groups: further breakdowns, such as `{"sex": "F", "view": "AP"}`.

        Raises:
            EvaluationError: a missing patient, one in both halves, an image that is there already,
                or a group that is called as one of the tool's own.
        """
        record = _Record(image, patient, half, positive, scores, np.empty(0), dict(groups or {}))
        self._add(method, record)

    def accumulate_negative(
        self,
        method: str,
        *,
        image: str,
        patient: str,
        regions: ArrayLike,
        half: Half,
        positive: bool,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        """Add a radiograph without lesions: if called positive, all its regions are false.

        Args:
            method: as in `accumulate`; so are all but the regions.
            image: name of the radiograph.
            patient: whose radiograph it is.
            regions: (r, 5) of x, y, width, height, score, r >= 0.
            half: see `half_of`.
            positive: the classifier calls it positive.
            groups: kept with the radiograph; breakdowns are of true positives only.

        Raises:
            EvaluationError: as `accumulate`, or regions that are none.
        """
        false = read_regions(regions)[:, 4]
        self._add(method, _Record(image, patient, half, positive, None, false, dict(groups or {})))

    def adopt(self, other: LocalizationEvaluator, method: str, name: str) -> None:
        """Add another evaluator's scores of a method, under another name.

        Args:
            other: of the same radiographs.
            method: as it is called there; nothing is added if it was not scored.
            name: as it is called here.

        Raises:
            EvaluationError: see `accumulate`.
        """
        for record in other._records.get(method, {}).values():
            self._add(name, record)

    def compute(self) -> dict[str, MethodReport]:
        """The figures of each method, in the order in which the methods came.

        Raises:
            EvaluationError: nothing was accumulated, or a setting is out of range.
        """
        self._something()
        return {method: self._method_report(method) for method in self._records}

    def compute_paired(self, method_a: str, method_b: str, of: Slice) -> FigureReport:
        """Figures of `method_a` less those of `method_b`, on the radiographs both have.

        Both sides of each difference come from the same resampled patients, so that what a
        radiograph makes hard for both drops out of the interval.

        Args:
            method_a: a name given to `accumulate`.
            method_b: another.
            of: the slice.

        Raises:
            EvaluationError: an unknown method, or no radiograph in common.
        """
        for method in (method_a, method_b):
            if method not in self._records:
                raise EvaluationError(
                    f"no radiograph was scored with method '{method}'",
                    remedy=f"compare among {', '.join(self._records) or 'methods accumulated'}",
                )
        a, b = (
            {record.image: record for record in self._slice(m, of)} for m in (method_a, method_b)
        )
        images = [image for image in a if image in b]
        if not images:
            raise EvaluationError(
                f"'{method_a}' and '{method_b}' have no radiograph in common in slice '{of}'",
                remedy="score both on the same radiographs of the test half",
            )
        first, second = (
            self._statistic(method, [records[image] for image in images], of)
            for method, records in ((method_a, a), (method_b, b))
        )

        def differences(weights: Array) -> Figures:
            theirs = second(weights)
            return {name: value - theirs[name] for name, value in first(weights).items()}

        records = [a[image] for image in images]
        return FigureReport(
            n=sum(record.scores is not None for record in records),
            n_patients=len({record.patient for record in records}),
            figures=self._intervals(differences, records),
        )

    def compute_groups(self) -> GroupReport:
        """Breakdowns of the true positives of the test half.

        `lesion_size` are thirds by the lesions' share of the radiograph (boundaries are in the
        report), `n_boxes` is 1, 2 or 3+, `side` the half of the radiograph, and the rest is what
        `groups` named. A radiograph without a value for a breakdown is left out of it.

        Raises:
            EvaluationError: nothing was accumulated, or a setting is out of range.
        """
        self._something()
        slices = {method: self._slice(method, "true_positives") for method in self._records}
        shares = {
            record.image: record.scores.lesion_share
            for records in slices.values()
            for record in records
            if record.scores is not None
        }
        low, high = (
            np.quantile(list(shares.values()), [1 / 3, 2 / 3]) if shares else (np.nan, np.nan)
        )
        boundaries = (float(low), float(high))
        figures = {method: self._breakdowns(rows, boundaries) for method, rows in slices.items()}
        return GroupReport(size_boundaries=boundaries, figures=figures)

    def _add(self, method: str, record: _Record) -> None:
        _checks.patient_codes([record.patient])
        if record.half not in get_args(Half):
            raise EvaluationError(
                f"'{record.half}' is not a half", remedy="give 'tuning' or 'test', see half_of"
            )
        if self._halves.get(record.patient, record.half) != record.half:
            raise EvaluationError(
                f"patient '{record.patient}' is in both halves",
                remedy="put all radiographs of a patient in one half, see half_of",
            )
        if self._patients.get(record.image, record.patient) != record.patient:
            raise EvaluationError(
                f"'{record.image}' belongs to two patients",
                remedy="give each radiograph a name of its own",
            )
        if record.image in self._records.get(method, {}):
            raise EvaluationError(
                f"'{record.image}' was scored twice with method '{method}'",
                remedy="accumulate each radiograph once per method",
            )
        taken = sorted(set(record.groups) & set(_OWN_BREAKDOWNS))
        if taken:
            raise EvaluationError(
                f"the group '{taken[0]}' is computed by the tool itself",
                remedy="give it another name",
            )
        self._halves[record.patient] = record.half
        self._patients[record.image] = record.patient
        self._records.setdefault(method, {})[record.image] = record

    def _something(self) -> None:
        if not self._records:
            raise EvaluationError(
                "there is no radiograph to measure localization on",
                remedy="give lesion annotations for some radiographs of the split",
            )

    def _slice(self, method: str, of: Slice) -> list[_Record]:
        """Records of the test half by image, so that the order of accumulation is no matter."""
        if of not in get_args(Slice):
            raise EvaluationError(
                f"'{of}' is not a slice", remedy=f"give one of {', '.join(get_args(Slice))}"
            )
        records = sorted(self._records[method].values(), key=lambda record: record.image)
        test = [record for record in records if record.half == "test"]
        if of == "annotated":
            return [record for record in test if record.scores is not None]
        return test if of == "all" else _true_positives(test)

    def _threshold(self, method: str) -> int | None:
        tuning = [record for record in self._records[method].values() if record.half == "tuning"]
        found = [record.scores for record in _true_positives(tuning) if record.scores is not None]
        return _figures.choose_heat_threshold(found)

    def _statistic(self, method: str, records: Sequence[_Record], of: Slice) -> Statistic:
        chosen = self._threshold(method)
        rows = [
            _figures.Row(record.scores, record.false_scores)
            if of == "annotated"
            else record.gated()
            for record in records
        ]
        return _figures.statistic(
            rows, _figures.HALF if chosen is None else chosen, gated=of == "all"
        )

    def _intervals(self, statistic: Statistic, records: Sequence[_Record]) -> dict[str, Interval]:
        if not records:
            undefined = statistic(np.ones((1, 0)))
            return {name: Interval.undefined("") for name in undefined}
        return bootstrap_patients(
            statistic,
            [record.patient for record in records],
            n_resamples=self.n_resamples,
            seed=self.seed,
            level=self.level,
        )

    def _method_report(self, method: str) -> MethodReport:
        chosen = self._threshold(method)
        return MethodReport(
            threshold=THRESHOLDS[_figures.HALF if chosen is None else chosen],
            threshold_from="tuning half" if chosen is not None else "default",
            slices={of: self._slice_report(method, of) for of in get_args(Slice)},
        )

    def _slice_report(self, method: str, of: Slice) -> SliceReport:
        records = self._slice(method, of)
        annotated = [record for record in records if record.scores is not None]
        lesions = [record.scores for record in records if record.scores is not None]
        seen = [record.scores for record in _true_positives(annotated) if record.scores is not None]
        return SliceReport(
            n=len(annotated),
            n_patients=len({record.patient for record in annotated}),
            n_boxes=sum(scores.n_boxes for scores in lesions),
            n_missed=len(annotated) - len(seen),
            n_negatives=len(records) - len(annotated),
            n_flat=sum(scores.evidence == "flat" for scores in seen),
            n_nan=sum(scores.evidence == "nan" for scores in seen),
            figures=self._intervals(self._statistic(method, records, of), records),
        )

    def _breakdowns(
        self, records: Sequence[_Record], boundaries: tuple[float, float]
    ) -> dict[str, dict[str, FigureReport]]:
        members: dict[str, dict[str, list[_Record]]] = {}
        for record in records:
            for breakdown, level in _levels(record, boundaries).items():
                members.setdefault(breakdown, {}).setdefault(level, []).append(record)
        return {
            breakdown: {level: self._group(found) for level, found in sorted(levels.items())}
            for breakdown, levels in members.items()
        }

    def _group(self, records: Sequence[_Record]) -> FigureReport:
        scores = [record.scores for record in records if record.scores is not None]
        return FigureReport(
            n=len(records),
            n_patients=len({record.patient for record in records}),
            figures=self._intervals(_figures.brief_statistic(scores), records),
        )


def _true_positives(records: Sequence[_Record]) -> list[_Record]:
    return [record for record in records if record.scores is not None and record.positive]


def _levels(record: _Record, boundaries: tuple[float, float]) -> dict[str, str]:
    """The level of each breakdown that a radiograph with lesions belongs to."""
    scores = record.scores
    if scores is None:
        return {}
    size = SIZES[sum(scores.lesion_share > boundary for boundary in boundaries)]
    count = "3+" if scores.n_boxes > 2 else str(scores.n_boxes)
    return {"lesion_size": size, "n_boxes": count, "side": scores.side, **record.groups}
