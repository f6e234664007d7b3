"""Which radiographs a report shows: chosen by rule, never by hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pneumoscope.cli.evaluation import Evaluation, only
from pneumoscope.cohort.annotations import find_mask, read_mask
from pneumoscope.inference import Engine, Explained, explain_files
from pneumoscope.report.html import Picture
from pneumoscope.report.overlay import overlay

RULE = (
    "By rule: the surest true positives, the surest misses and false alarms, and the "
    "decisions closest to the threshold."
)
_EACH = 2
# Larger films are shown at this side; the report stays a few megabytes.
_SHOWN_SIDE = 640


def choose(evaluation: Evaluation) -> list[tuple[str, str]]:
    """(image, why it is shown), each image once."""
    p, y = evaluation.predictions.probabilities, evaluation.predictions.targets
    logits, threshold = evaluation.predictions.logits, float(evaluation.metrics["threshold"])
    # Saturated probabilities tie; the logit ranks on.
    surest, doubt = (
        np.argsort(-logits, kind="stable"),
        np.argsort(np.abs(p - threshold), kind="stable"),
    )
    positive = p >= threshold
    rules = (
        ("surest true positive", surest[(positive & (y == 1))[surest]]),
        ("missed, surest first", surest[::-1][(~positive & (y == 1))[surest[::-1]]]),
        ("false alarm, surest first", surest[(positive & (y == 0))[surest]]),
        ("closest to the threshold", doubt),
    )
    chosen: dict[str, str] = {}
    for why, order in rules:
        fresh = [i for i in order if evaluation.predictions.images[i] not in chosen]
        chosen.update({evaluation.predictions.images[i]: why for i in fresh[:_EACH]})
    return list(chosen.items())


def gallery(engine: Engine, evaluation: Evaluation, masks: Path | None = None) -> list[Picture]:
    """Overlays of the chosen radiographs, with lesion masks where there are any."""
    chosen = dict(choose(evaluation))
    part = only(evaluation.manifest, set(chosen))
    labels = dict(zip(part.table["image"], part.table["label"], strict=True))
    paths = dict(zip(part.table["image"], part.paths(), strict=True))
    pictures: list[Picture] = []
    for item in explain_files(engine, [(image, paths[image]) for image in chosen]):
        if isinstance(item, Explained):
            caption = (
                f"{chosen[item.name]}; labelled {labels[item.name]}, called {item.finding.label} "
                f"with probability {item.finding.probability:.3f}"
            )
            pictures.append((Path(item.name).name, caption, _png(item, masks)))
    return pictures


def _png(item: Explained, masks: Path | None) -> bytes:
    path = None if masks is None else find_mask(masks, item.name)
    mask = None if path is None else read_mask(path, *item.heatmap.shape)
    picture = Image.fromarray(
        overlay(item.radiograph.pixels, item.heatmap, item.finding.regions, lesion_mask=mask)
    )
    picture.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
