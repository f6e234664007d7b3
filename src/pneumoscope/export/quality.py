"""How answers in one precision compare with torch's in float32, on radiographs of val."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pneumoscope.bundles import HeatmapSpec, Quality
from pneumoscope.bundles.info import MAX_AUC_DROP, MIN_CORRELATION
from pneumoscope.errors import BundleError
from pneumoscope.export.sample import Progress
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.heatmaps import run_heatmaps

NO_EVIDENCE = 1e-6
"""A map below this is rounding noise and shown as empty (`inference.heatmaps`)."""

_AT_ONCE = 16


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What an engine says of N radiographs.

    Attributes:
        logits: (N,) log-odds of the positive class.
        maps: (N, h, w) raw maps of the bundle's own method; the lungs, which are segmented outside
            the network, are not applied.
    """

    logits: NDArray[np.float64]
    maps: NDArray[np.float32]


def answers(engine: Engine, pixels: NDArray[np.uint8], doing: str, progress: Progress) -> Answers:
    """Ask an engine in the bundle's own way, mirrored or not.

    Args:
        engine: of the bundle, in any form.
        pixels: (N, size, size), N at least 1.
        doing, progress: `progress` is called with `doing`, how many are done, and N.
    """
    spec = HeatmapSpec.parse(engine.info.heatmap)
    logits, maps = [], []
    for start in range(0, len(pixels), _AT_ONCE):
        found = run_heatmaps(engine, pixels[start : start + _AT_ONCE], (spec,), None)
        logits.append(found.logits)
        maps.append(found.maps[spec])
        progress(doing, min(start + _AT_ONCE, len(pixels)), len(pixels))
    return Answers(np.concatenate(logits), np.concatenate(maps))


def quality(found: Answers, reference: Answers, targets: NDArray[np.int64]) -> Quality:
    """Compare answers about the same radiographs.

    Args:
        found: in some precision.
        reference: in float32.
        targets: (N,) 1 for the positive label, 0 for the negative; both occur.

    Raises:
        BundleError: an answer is no number.
    """
    if not (np.isfinite(found.logits).all() and np.isfinite(found.maps).all()):
        raise BundleError("some of its outputs are NaN", remedy="export it in float32")
    auc = float(roc_auc_score(targets, found.logits))
    return Quality(
        radiographs=len(targets),
        roc_auc=auc,
        roc_auc_drop=float(roc_auc_score(targets, reference.logits)) - auc,
        heatmap_correlation=mean_correlation(found.maps, reference.maps),
    )


def mean_correlation(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float | None:
    """Pearson's correlation over the cells, the mean over maps (N, h, w) with evidence in float32.

    A map that lost its evidence, or all difference between its cells, has the correlation 0.

    Returns:
        None where no reference shows evidence.
    """
    one = found.reshape(len(found), -1).astype(np.float64)
    other = reference.reshape(len(reference), -1).astype(np.float64)
    evident = other.max(axis=1) > NO_EVIDENCE
    if not evident.any():
        return None
    one, other = one[evident], other[evident]
    same = (one == other).all(axis=1)
    one, other = one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True)
    spread = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    product = (one * other).sum(axis=1)
    found_each = np.divide(product, spread, out=same.astype(np.float64), where=spread > 0)
    return float(found_each.mean())


def require_quality(found: Quality, precision: str) -> None:
    """Raises BundleError if answers in this precision failed the quality gate."""
    if found.good:
        return
    correlation = found.heatmap_correlation
    heat = "no heatmap shows evidence" if correlation is None else (
        f"heatmaps correlate at {correlation:.4f} (at least {MIN_CORRELATION:g} is asked for)"
    )  # fmt: skip
    raise BundleError(
        f"in {precision} it answers too differently: on {found.radiographs} radiographs of val "
        f"the ROC-AUC falls by {found.roc_auc_drop:.4f} (at most {MAX_AUC_DROP:g} is allowed) and "
        f"{heat}",
        remedy=f"export it in {'float16 or ' * (precision == 'int8')}float32",
    )
