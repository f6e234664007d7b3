"""Which radiographs a report shows: chosen by rule, never by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.subject import films_of
from pneumoscope.inference import Explained
from pneumoscope.report.html import Picture
from pneumoscope.report.overlay import overlay, with_colour_bar

if TYPE_CHECKING:
    from pneumoscope.assessment.assessment import Assessment

RULE = (
    "By rule: the surest true positives, the surest misses and false positives, and the "
    "decisions closest to the threshold."
)
LESION_RULE = (
    "By rule, among true positives of the test half: the best, the median and the worst overlap of "
    "the hottest pixels with the lesions (as many pixels as the lesions have), and the surest "
    "misses of the classifier."
)
_EACH = 2
# Larger radiographs are shown at this side; the report stays a few megabytes.
_SHOWN_SIDE = 640


def choose(found: Assessment) -> list[tuple[str, str]]:
    """(image, why it is shown), each image once."""
    p, y = found.predictions.probabilities, found.predictions.targets
    logits, threshold = found.predictions.logits, float(found.metrics["threshold"])
    # Saturated probabilities tie; the logit ranks on.
    surest = np.argsort(-logits, kind="stable")
    doubt = np.argsort(np.abs(p - threshold), kind="stable")
    positive = p >= threshold
    rules = (
        ("surest true positive", surest[(positive & (y == 1))[surest]]),
        ("missed, surest first", surest[::-1][(~positive & (y == 1))[surest[::-1]]]),
        ("false positive, surest first", surest[(positive & (y == 0))[surest]]),
        ("closest to the threshold", doubt),
    )
    chosen: dict[str, str] = {}
    for why, order in rules:
        fresh = [i for i in order if found.predictions.images[i] not in chosen]
        chosen.update({found.predictions.images[i]: why for i in fresh[:_EACH]})
    return list(chosen.items())


def rule(found: Assessment) -> str:
    """The rule in words."""
    return LESION_RULE if _lesions_of(found) is not None else RULE


def _lesions_of(found: Assessment) -> Annotations | None:
    """The annotations, if they are of lesions."""
    known = found.annotations
    return known if known is not None and known.has_lesions else None


def gallery(found: Assessment) -> list[Picture]:
    """Overlays of the chosen radiographs, with lesion annotations where there are any."""
    lesions = _lesions_of(found)
    chosen = dict(choose(found) if lesions is None else choose_localized(found))
    labels = dict(zip(found.manifest.table["image"], found.manifest.table["label"], strict=True))
    films = dict(films_of(found.manifest))
    pictures: list[Picture] = []
    for item in found.subject.explain([(image, films[image]) for image in chosen]):
        if isinstance(item, Explained):
            caption = (
                f"{chosen[item.name]}; labelled {labels[item.name]}, called {item.finding.label} "
                f"with probability {item.finding.probability:.3f}"
            )
            pictures.append((Path(item.name).name, caption, _png(item, lesions)))
    return pictures


def choose_localized(found: Assessment) -> list[tuple[str, str]]:
    """(image, why it is shown) by how well the bundle's own heatmap covers the lesions."""
    scored = found.overlaps
    order = sorted(scored, key=lambda image: (scored[image], image), reverse=True)
    middle = max((len(order) - _EACH) // 2, 0)
    p, y = found.predictions.probabilities, found.predictions.targets
    missed = np.flatnonzero((p < float(found.metrics["threshold"])) & (y == 1))
    missed = missed[np.argsort(p[missed], kind="stable")]
    rules = (
        ("best overlap", order[:_EACH]),
        ("median overlap", order[middle : middle + _EACH]),
        ("worst overlap", order[::-1][:_EACH]),
        ("missed by the classifier", [found.predictions.images[i] for i in missed[:_EACH]]),
    )
    chosen: dict[str, str] = {}
    for why, images in rules:
        for image in images:
            share = f" {scored[image]:.2f}" if image in scored else ""
            chosen.setdefault(image, f"{why}{share}")
    return list(chosen.items())


def _png(item: Explained, lesions: Annotations | None) -> bytes:
    drawn = None if lesions is None else lesions.lesions(item.name, *item.heatmap.shape)
    mask = None if drawn is None else drawn.mask
    film = Image.fromarray(
        overlay(item.radiograph.pixels, item.heatmap, item.finding.regions, lesion_mask=mask)
    )
    film.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    picture = Image.fromarray(with_colour_bar(np.asarray(film)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
