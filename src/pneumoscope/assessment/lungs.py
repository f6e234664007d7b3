"""Measuring a lung segmenter on drawn masks: `train-lungs` and `check-lungs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.cohort.lung_masks import LungCase, read_lung_film, read_lung_mask
from pneumoscope.errors import CohortError
from pneumoscope.evaluate.bootstrap import bootstrap_patients, figures_json, weighted_means
from pneumoscope.files import write_json
from pneumoscope.lungs import (
    LungSegmenter,
    LungsInfo,
    Overlap,
    overlap,
    plausible,
    two_largest,
)

Scores = list[dict[str, Any]]
_SCORES = ("dice", "iou", "plausible")


def score_lungs(
    segmenter: LungSegmenter,
    cases: Sequence[LungCase],
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Compare the segmenter's lungs (two largest parts at probability .5) with the drawn ones.

    Returns:
        For each radiograph its image, patient, extra columns, `dice`, `iou` and `plausible` (0 or
        1).

    Raises:
        CohortError: a radiograph or mask cannot be read.
    """
    scores = []
    for done, case in enumerate(cases, start=1):
        found, agreement = _compare(segmenter, case)
        scores.append(
            {
                "image": case.image,
                "patient": case.patient,
                **case.extra,
                "dice": agreement.dice,
                "iou": agreement.iou,
                "plausible": float(found),
            }
        )
        if progress is not None:
            progress(done, len(cases))
    return scores


def _compare(segmenter: LungSegmenter, case: LungCase) -> tuple[bool, Overlap]:
    square, letterbox = read_lung_film(case, segmenter.info.side)
    mask = two_largest(letterbox.to_film(segmenter.segment(square[None])[0]))
    drawn = read_lung_mask(case.mask, letterbox.height, letterbox.width)
    return plausible(mask), overlap(mask, drawn)


def document_lungs(
    model: Path,
    cases: Mapping[str, Sequence[LungCase]],
    stage: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
) -> LungsInfo:
    """Measure a segmenter's file on val and test; write the figures into it and `metrics.json`.

    Args:
        model: the file, as `training.lungs.export` wrote it.
        cases: radiographs with masks by split.
        stage: from what is done now to a context with a function of (done, total).

    Returns:
        What the segmenter says of itself, with `figures` by split.
    """
    segmenter, figures = LungSegmenter.load(model), {}
    for split in ("val", "test"):
        with stage(f"Measuring on {split}") as update:
            figures[split] = lung_figures(score_lungs(segmenter, cases[split], update))
    info = replace(segmenter.info, figures=figures)
    info.write(model)
    content = {"model": info.id, "training": info.training, **figures}
    write_json(model.with_name("metrics.json"), content)
    return info


def lung_figures(scores: Scores, by: str | None = None) -> dict[str, Any]:
    """Mean Dice and IoU and the share found plausible, each with its patient-level interval.

    Args:
        scores: of `score_lungs`.
        by: an extra column; the figures are given for each of its values too, under `by`.

    Raises:
        CohortError: there is no such column.
    """
    figures = _figures(scores)
    if by is None:
        return figures
    if any(by not in score for score in scores):
        raise CohortError(f"the table has no column '{by}'", remedy="name one of its columns")
    values = sorted({str(score[by]) for score in scores})
    groups = {v: _figures([score for score in scores if score[by] == v]) for v in values}
    return {**figures, "by": {by: groups}}


def _figures(scores: Scores) -> dict[str, Any]:
    patients = [score["patient"] for score in scores]
    columns = {name: [score[name] for score in scores] for name in _SCORES}
    intervals = bootstrap_patients(weighted_means(columns), patients)
    dice = np.array(columns["dice"])
    return {
        "n": len(scores),
        "n_patients": len(set(patients)),
        **figures_json(intervals),
        "dice_median": float(np.median(dice)),
        "dice_5th_percentile": float(np.quantile(dice, 0.05)),
    }
