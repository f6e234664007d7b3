"""Assessments of several models on the same radiographs, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from itertools import combinations
from typing import Any

from pneumoscope.assessment.assessment import Assessment
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Comparison, ModelScores, compare_models
from pneumoscope.evaluate.localization import LocalizationEvaluator
from pneumoscope.evaluate.localization_report import FigureReport
from pneumoscope.findings.words import RESEARCH_ONLY
from pneumoscope.report.numbers import interval_text, metric_name
from pneumoscope.report.overlap import used_text

_SHOWN = ("roc_auc", "sensitivity", "specificity", "brier")


@dataclass(frozen=True, repr=False)
class ComparedAssessments:
    """How models differ on the same radiographs.

    Attributes:
        classification: figures of each, and tests of every two.
        localization: (first, second) to the figures of the first's own heatmap less the second's,
            over the radiographs with lesions of the reported half, whatever they are called; empty
            if fewer than two were measured against lesions.
    """

    classification: Comparison
    localization: Mapping[tuple[str, str], FigureReport]

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(row.name for row in self.classification.rows)}>"

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        pairs = [
            {"first": first, "second": second, **report.to_dict()}
            for (first, second), report in self.localization.items()
        ]
        return {**self.classification.to_dict(), "localization": pairs}

    def _repr_html_(self) -> str:
        """For notebooks: figures, the verdict, and differences in localization."""
        rows = [["model", *map(metric_name, _SHOWN)]]
        for row in self.classification.rows:
            texts = [interval_text(row.figures[name].to_dict()) for name in _SHOWN]
            rows.append([row.name, *texts])
        cells = "".join(
            f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
        )
        said = list(self.classification.verdict)
        for (first, second), report in self.localization.items():
            for name in ("peak_in_box", "area_matched"):
                difference = interval_text(report.figures[name].to_dict())
                said.append(f"{metric_name(name)}, {first} less {second}: {difference}")
        lines = "".join(f"<div>{escape(line)}</div>" for line in said)
        return f"<table>{cells}</table>{lines}<div><b>{RESEARCH_ONLY}</b></div>"


def compare_assessments(assessments: Mapping[str, Assessment]) -> ComparedAssessments:
    """Compare models radiograph by radiograph, with intervals by patient.

    Args:
        assessments: name to what was measured on the same split of the same cohort.

    Raises:
        EvaluationError: fewer than two, other radiographs, or one label only.
    """
    if len(assessments) < 2:
        raise EvaluationError("there is nothing to compare", remedy="give two assessments or more")
    (reference, first), *others = assessments.items()
    for name, other in others:
        if other.predictions.images != first.predictions.images:
            raise EvaluationError(
                f"'{reference}' and '{name}' were measured on other radiographs",
                remedy="assess both on the same split of the same cohort",
            )
    scores = [
        ModelScores(
            backbone=name,
            seed=_seed(found),
            targets=found.predictions.targets,
            probabilities=found.predictions.probabilities,
            patients=found.predictions.patients,
            images=found.predictions.images,
            threshold=float(found.metrics["threshold"]),
            val_roc_auc=0.5,  # It weighs ensembles, and there is none.
        )
        for name, found in assessments.items()
    ]
    compared = compare_models(scores, ensembles=False)
    known = [sentence for name in assessments for sentence in _known(name, assessments[name])]
    return ComparedAssessments(
        replace(compared, verdict=[*compared.verdict, *known]), _localized(assessments)
    )


def _known(name: str, found: Assessment) -> list[str]:
    """A caution if a model was trained or tuned on radiographs that it is compared on."""
    overlap = found.metrics.get("overlap")
    used = "" if overlap is None else used_text(overlap, name)
    if not used:
        return []
    return [
        f"Of the {found.metrics['n']:,} radiographs {used}: its figures are optimistic, and the "
        "comparison may favour it."
    ]


def _seed(found: Assessment) -> int:
    """Of the model's training; 0 for another program."""
    if not isinstance(found.subject, OwnModel):
        return 0
    return int(found.subject.info.training.settings["seed"])


def _localized(assessments: Mapping[str, Assessment]) -> dict[tuple[str, str], FigureReport]:
    """Differences between own heatmaps."""
    both = LocalizationEvaluator()
    names = []
    for name, found in assessments.items():
        if found.lesions is not None and found.annotations and found.annotations.has_lesions:
            both.adopt(found.lesions, found.subject.heatmap, name)
            names.append(name)
    return {pair: both.compute_paired(*pair, "annotated") for pair in combinations(names, 2)}
