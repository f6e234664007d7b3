"""Measuring a model, or another program's output, on a cohort."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.assessment import Assessment
from pneumoscope.assessment.study import LocalizationStudy
from pneumoscope.assessment.subject import Subject, films_of
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Interval, Predictions, classification_report
from pneumoscope.evaluate.classification import one_label
from pneumoscope.evaluate.subgroups import subgroup_figures
from pneumoscope.files import sha256_file
from pneumoscope.inference import Explained, Failed

_NEED_BOTH = {
    "calibration": ("ece_before", "ece_after", "ece_of_chance"),
    "abstention": ("accuracy_decided", "risk_area"),
}

Progress = Callable[[int, int], None]


def assess(
    subject: Subject,
    manifest: Manifest,
    annotations: Annotations | None = None,
    *,
    split: str = "test",
    methods: Sequence[str] = (),
    by: Sequence[str] = (),
    progress: Progress | None = None,
) -> Assessment:
    """Measure classification, calibration and, with annotations, localization.

    Args:
        subject: what is measured.
        manifest: the cohort; its labels, or a column of a finding, must be the subject's.
        annotations: lesions or lungs, to measure localization by.
        split: train, val, test or all.
        methods: further heatmaps to measure beside the subject's own.
        by: columns of the manifest to break the figures down by.
        progress: called with (done, total).

    Raises:
        EvaluationError: the labels differ, a column is missing, no radiograph could be read, or
            none is annotated.
        CohortError: the split is empty, or an annotation cannot be used.
        SettingsError: a method is not known.
    """
    manifest = subject.labelled(manifest)
    part = manifest.subset(split)
    check_columns(part, by)
    study = None
    if annotations is not None:
        annotations = annotations.of(part)
        study = LocalizationStudy(
            part,
            annotations,
            subject.heatmap,
            subject.beside(methods),
            by,
            pairs=subject.pairs(),
            region_threshold=subject.region_threshold,
        )
    scored, unreadable = _scores(subject, part, study, progress)
    if not scored:
        raise EvaluationError(
            f"none of the {len(part)} radiographs of split '{split}' could be read",
            path=part.root,
            remedy=f"the first: {unreadable[0][0]}: {unreadable[0][1]}",
        )
    readable = only(part, set(scored))
    predictions = _predictions(readable, scored)
    digests = [sha256_file(path) for path in readable.paths()]
    named = zip(readable.table["image"], readable.table["sha256"], digests, strict=True)
    changed = [image for image, known, now in named if known not in ("", now)]
    groups = {name: readable.table[name].astype(str).tolist() for name in by}
    metrics = {
        "split": split,
        **classification_report(predictions, subject.threshold).to_dict(),
        **subject.fitted(predictions),
        "subgroups": subgroup_figures(predictions, groups, subject.threshold),
        **({"localization": None} if study is None else study.to_dict()),
        "model": subject.name,
        "data_digest": manifest.digest(),
        **subject.known(manifest, readable, digests, predictions),
        "unreadable": len(unreadable),
        "changed": len(changed),
    }
    if reason := one_label(predictions.targets):
        _undefine(metrics, reason)
    return Assessment(
        subject=subject,
        manifest=readable,
        predictions=predictions,
        metrics=metrics,
        annotations=annotations,
        unreadable=unreadable,
        overlaps={} if study is None else study.overlaps,
        changed=changed,
        lesions=None if study is None else study.lesions,
    )


def check_columns(part: Manifest, by: Sequence[str]) -> None:
    """Refuse columns to break figures down by that the cohort does not have.

    Raises:
        EvaluationError: it lacks one.
    """
    if missing := [name for name in by if name not in part.table.columns]:
        raise EvaluationError(
            f"the cohort has no column {', '.join(missing)}",
            remedy=f"choose among {', '.join(part.table.columns)}",
        )


def _predictions(part: Manifest, scored: Mapping[str, tuple[float, float]]) -> Predictions:
    """The predictions of radiographs from their logits and probabilities."""
    images = part.table["image"].tolist()
    table = np.array([scored[image] for image in images], dtype=np.float64)
    return Predictions(images, part.patients(), part.targets(), table[:, 0], table[:, 1])


def _undefine(metrics: dict[str, Any], reason: str) -> None:
    """Take out the figures of calibration and abstention that one label alone does not give."""
    nothing = Interval.undefined(reason).to_dict()
    for part, names in _NEED_BOTH.items():
        figures = metrics.get(part) or {}
        figures.update({name: nothing for name in names if name in figures})


def _scores(
    subject: Subject, part: Manifest, study: LocalizationStudy | None, progress: Progress | None
) -> tuple[dict[str, tuple[float, float]], list[tuple[str, str]]]:
    """Image to logit and probability; and (image, reason) of what could not be used."""
    scored: dict[str, tuple[float, float]] = {}
    unreadable: list[tuple[str, str]] = []
    others = () if study is None else study.others
    stream = subject.explain(films_of(part), others, lungs=study is not None)
    for done, item in enumerate(stream, start=1):
        if isinstance(item, Explained):
            scored[item.name] = item.logit, float(item.finding.probability or 0.0)
            if study is not None:
                study.add(item)
        elif isinstance(item, Failed):
            unreadable.append((item.name, str(item.finding.error)))
        if progress is not None:
            progress(done, len(part))
    return scored, unreadable


def only(manifest: Manifest, images: set[str]) -> Manifest:
    """The rows of these radiographs."""
    rows = manifest.table["image"].isin(images)
    return replace(manifest, table=manifest.table[rows].reset_index(drop=True))
