"""Shortcuts: how well the label can be told from what is outside the lungs.

Parts of every radiograph are hidden and the model is asked again. What its ROC-AUC keeps without
the lungs, or with nothing but the radiograph's edge, it did not learn from the disease (Zech et al.
2018; DeGrave et al. 2021). What the cohort's own table tells, such as the view, needs no radiograph
at all. In a cohort joined of several sets each ROC-AUC is the mean of the sets' own: hospitals
differ in how ill their patients are, and whatever tells the hospital would count as a shortcut to
the disease. Masked radiographs are out of distribution. A low figure is therefore inconclusive; a
high figure is evidence of a shortcut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pneumoscope.audit.outcome import Outcome, Row
from pneumoscope.audit.places import find_lungs
from pneumoscope.audit.probe import Probe
from pneumoscope.audit.sample import AuditFilm, Progress
from pneumoscope.evaluate import Interval, bootstrap_patients
from pneumoscope.evaluate.discrimination import roc_aucs, sets_of_both_classes
from pneumoscope.lungs import LungSegmenter

LUNGS_HIDDEN, EDGE_ALONE, MARKERS = 0.5, 0.25, 0.02
"""Limits: shares of the ROC-AUC beyond chance that may be kept; what hiding markers may cost."""

EDGE = 0.1
"""Width of the edge that is left, relative to the side."""

_COARSE, _GRAY = 8, 128
# Lungs are widened by this share of the side: an opacity may hide a lung's edge.
_WIDENED = 0.04
# A marker stands out by so many of 256 levels from its surroundings, which are this much wider
# than its strokes, and is small.
_STANDS_OUT, _STROKE, _LARGEST = 40, 0.04, 0.01

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def shortcuts(
    probe: Probe,
    films: Sequence[AuditFilm],
    segmenter: LungSegmenter | None,
    table: Mapping[str, Mapping[str, float]],
    progress: Progress | None = None,
) -> Outcome:
    """ROC-AUC with parts of the radiographs hidden, and of the cohort's table alone.

    Of several sets it is the mean of theirs, and the rows tell each set's own, too. Radiographs of
    sets of one label are left out, unless all are.

    Args:
        probe: the bundle.
        films: the sample; those without lungs are left out.
        segmenter: finds the lungs of radiographs whose lungs are not known.
        table: by column of the cohort's table, by name of the radiograph, the share of positives
            among train radiographs of the same kind.
        progress: called with (radiographs done, in all).
    """
    found = [(film, find_lungs(film, segmenter)) for film in films]
    known = [(film, _widened(lungs)) for film, lungs in found if lungs is not None]
    total = len(known) * len(_VIEWS)
    scores: dict[str, NDArray[np.float64]] = {}
    for name, view in _VIEWS.items():
        seen = [view(film, lungs) for film, lungs in known]
        scores[name] = probe.log_odds(np.stack(seen)) if seen else np.empty(0)
        if progress is not None:
            progress(min(len(known) * len(scores), total), total)
    for column, by_film in table.items():
        if known and all(film.name in by_film for film, _ in known):
            scores[f"table: {column}"] = np.array([by_film[film.name] for film, _ in known])
    limits = {"lungs_hidden": LUNGS_HIDDEN, "edge": EDGE_ALONE, "markers": MARKERS}
    shown = [film for film, _ in known]
    sets = sets_of_both_classes([film.target for film in shown], [film.cohort for film in shown])
    kept = np.sort(np.concatenate(sets)) if sets else np.arange(len(shown))
    if len({film.target for film in shown}) < 2:
        reason = "Lungs were not found on radiographs of both labels: nothing could be hidden."
        return Outcome(False, len(known), {}, limits, (), [reason])
    areas = _areas(scores, shown, kept, sets)
    auc = {name: area["auc"] for name, area in areas.items()}
    warnings = _warnings(auc)
    passed = not warnings
    warnings += _table_warnings(auc)
    if len(known) < len(films):
        warnings.append(
            f"No lungs were found on {len(films) - len(known)} of {len(films)} radiographs. They "
            "are left out."
        )
    if not sets:
        warnings.append(
            "Each set holds one label, so what tells the set tells the label. Give sets of both."
        )
    if len(kept) < len(known):
        alone = sorted({film.cohort for film in shown} - {shown[row].cohort for row in kept})
        warnings.append(
            f"Sets of one label cannot be judged by themselves. Left out: {', '.join(alone)}."
        )
    figures = {key: auc[name] for name, key in _FIGURES.items()}
    rows = [Row(name, area) for name, area in areas.items()]
    return Outcome(passed, len(kept), figures, limits, rows, warnings)


def _areas(
    scores: Mapping[str, NDArray[np.float64]],
    films: Sequence[AuditFilm],
    kept: NDArray[np.int64],
    sets: Sequence[NDArray[np.int64]],
) -> dict[str, dict[str, Interval]]:
    """Of each view the ROC-AUC, and what it keeps of the whole radiograph's beyond chance.

    First the mean of all sets, then each set's own if there are several.

    Args:
        scores: of each view, one for each radiograph.
        films: the radiographs.
        kept: indices of those that are judged.
        sets: indices of those of each set with both labels.
    """
    rows = _areas_of(scores, films, kept)
    own = {name: scores[name] for name in _FIGURES}
    for part in sets if len(sets) > 1 else []:
        found = _areas_of(own, films, part)
        rows |= {f"{name}, {films[part[0]].cohort}": area for name, area in found.items()}
    return rows


def _areas_of(
    scores: Mapping[str, NDArray[np.float64]],
    films: Sequence[AuditFilm],
    rows: NDArray[np.int64],
) -> dict[str, dict[str, Interval]]:
    judged = [films[row] for row in rows]
    areas = roc_aucs(
        {name: values[rows] for name, values in scores.items()},
        [film.target for film in judged],
        [film.cohort for film in judged],
    )

    def statistic(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        auc = areas(weights)
        beyond = auc["whole radiograph"] - 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = {f"kept {name}": (value - 0.5) / beyond for name, value in auc.items()}
        return {**auc, **{n: np.where(beyond > 0, value, np.nan) for n, value in kept.items()}}

    found = bootstrap_patients(statistic, [film.patient for film in judged])
    return {name: {"auc": found[name], "auc_kept": found[f"kept {name}"]} for name in scores}


def _warnings(auc: Mapping[str, Interval]) -> list[str]:
    whole = auc["whole radiograph"].value
    beyond = max(whole - 0.5, 1e-9)
    warnings = []
    hidden, edge, unmarked = (
        auc[name].value for name in ("lungs hidden", "edge alone", "markers hidden")
    )
    if (hidden - 0.5) / beyond > LUNGS_HIDDEN:
        warnings.append(
            f"With the lungs hidden the ROC-AUC is still {hidden:.3f} of {whole:.3f}: the model "
            "uses what is outside the lungs."
        )
    if (edge - 0.5) / beyond > EDGE_ALONE:
        warnings.append(f"The radiograph's edge alone gives a ROC-AUC of {edge:.3f}.")
    if whole - unmarked > MARKERS:
        warnings.append(
            f"Hiding markers costs {whole - unmarked:.3f} of ROC-AUC: the model reads them."
        )
    return warnings


def _table_warnings(auc: Mapping[str, Interval]) -> list[str]:
    """What the cohort's columns tell of the label; no fault of the model."""
    return [
        f"In this cohort the column '{name[7:]}' alone, without radiographs, gives a ROC-AUC of "
        f"{area.value:.3f}."
        for name, area in auc.items()
        if name.startswith("table: ") and area.low > 0.5
    ]


def _replaced(film: AuditFilm, hidden: Mask, instead: NDArray[np.float32] | None = None) -> Pixels:
    """The radiograph with the hidden part in one gray, the same for all, or as in `instead`."""
    pixels = film.pixels.copy()
    content = pixels[film.content]
    if instead is None:
        content[hidden] = _GRAY
    else:
        content[hidden] = np.clip(np.rint(instead), 0, 255).astype(np.uint8)[hidden]
    return pixels


def _edge_alone(film: AuditFilm, lungs: Mask) -> Pixels:
    rows, columns = lungs.shape
    inside = np.zeros_like(lungs)
    down, across = round(EDGE * rows), round(EDGE * columns)
    inside[down : rows - down, across : columns - across] = True
    return _replaced(film, inside)


def _without_markers(film: AuditFilm, lungs: Mask) -> Pixels:
    content = film.pixels[film.content]
    around = surroundings(content)
    return _replaced(film, markers(content, around) & ~lungs, around)


def _coarse(film: AuditFilm, lungs: Mask) -> Pixels:
    content = film.pixels[film.content].astype(np.float32)
    zoom = [_COARSE / side for side in content.shape]
    small = ndimage.zoom(ndimage.uniform_filter(content, [1 / z for z in zoom]), zoom, order=1)
    back = ndimage.zoom(
        small, [a / b for a, b in zip(content.shape, small.shape, strict=True)], order=1
    )
    return _replaced(film, np.ones_like(lungs), back)


_VIEWS: dict[str, Callable[[AuditFilm, Mask], Pixels]] = {
    "whole radiograph": lambda film, _: film.pixels,
    "lungs alone": lambda film, lungs: _replaced(film, ~lungs),
    "lungs hidden": _replaced,
    "edge alone": _edge_alone,
    "markers hidden": _without_markers,
    "8 x 8 pixels": _coarse,
}
_FIGURES = {
    "whole radiograph": "auc_whole",
    "lungs hidden": "auc_lungs_hidden",
    "edge alone": "auc_edge",
    "markers hidden": "auc_markers_hidden",
}


def surroundings(content: Pixels) -> NDArray[np.float32]:
    """A radiograph (height, width) without what is narrower than a marker's strokes and bright."""
    side = max(round(_STROKE * max(content.shape)), 3)
    return ndimage.grey_opening(content, size=(side, side)).astype(np.float32)


def markers(content: Pixels, around: NDArray[np.float32]) -> Mask:
    """Small bright things on a radiograph (height, width): letters, arrows, clips, lines' tips.

    `around` is what `surroundings` says of the radiograph.
    """
    bright = content.astype(np.float32) - around > _STANDS_OUT
    labels, count = ndimage.label(bright, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    small = areas <= _LARGEST * content.size
    small[0] = False
    return np.asarray(ndimage.binary_dilation(small[labels], iterations=2))


def _widened(lungs: Mask) -> Mask:
    return np.asarray(
        ndimage.binary_dilation(lungs, iterations=max(round(_WIDENED * max(lungs.shape)), 1))
    )
