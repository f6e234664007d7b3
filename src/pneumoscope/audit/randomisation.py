"""Weight randomisation: a heatmap of a network that knows nothing must look different.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (arXiv 1810.03292), section 3.1, the
cascade: weights are drawn anew from the head down to the stem, and after each step the heatmap is
compared with the original by Spearman's rank correlation and by SSIM. The lungs factor is left out:
it is the same for every network and would keep the maps alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pneumoscope.audit.outcome import Outcome, Row, intervals
from pneumoscope.audit.probe import Heat, Probe, WhiteBox, boxes, stacked
from pneumoscope.audit.sample import AuditFilm, Progress, counted
from pneumoscope.imaging import Letterbox
from pneumoscope.inference.torch_engine import TorchEngine
from pneumoscope.localize.randomise import block_names, cascade
from pneumoscope.models.classifier import Classifier

LIMIT = 0.5
"""Mean rank correlation with the original at full randomisation that must not be reached."""

MAX_STEPS = 8
_WINDOW = 11
# Maps are as coarse as the network's grid; more pixels to compare would only take time.
_SIDE = 96


def weight_randomisation(
    engine: WhiteBox,
    films: Sequence[AuditFilm],
    seed: int,
    progress: Progress | None = None,
    max_steps: int = MAX_STEPS,
) -> Outcome:
    """Compare heatmaps while the weights are drawn anew, block by block.

    Args:
        engine: the bundle.
        films: the sample; radiographs whose original map shows no evidence are left out of the
            means.
        seed: of the new weights.
        progress: called with (radiographs explained, in all).
        max_steps: compare at this many blocks, evenly chosen; the last is the stem.
    """
    probe = Probe(engine)
    pixels, letterboxes = stacked(films), [_reduced(box) for box in boxes(films)]
    originals = probe.see(pixels, letterboxes, probe.raw)[1]
    patients = [film.patient for film in films]
    rows: list[Row] = []
    for name, classifier, tick in _steps(engine.classifier, seed, max_steps, len(films), progress):
        drawn = Probe(TorchEngine(engine.info, classifier))
        heats = drawn.see(pixels, letterboxes, probe.raw, tick)[1]
        pairs = list(zip(originals, heats, strict=True))
        columns = {
            "rank_correlation": [rank_correlation(one, other) for one, other in pairs],
            "ssim": [similarity(one, other) for one, other in pairs],
        }
        rows.append(Row(name, intervals(columns, patients)))
    last = rows[-1].figures
    value = last["rank_correlation"].value
    passed = value < LIMIT
    warnings = []
    if math.isnan(value):
        warnings.append("No heatmap of the sample shows any evidence: there is nothing to compare.")
    elif not passed:
        warnings.append(
            "Heatmaps hardly change when all weights are randomised (rank correlation "
            f"{value:.2f}, limit {LIMIT:.2f}). They show the radiograph or the architecture, not "
            "what the network has learned."
        )
    known = sum(float(heat.max()) > 0 for heat in originals)
    return Outcome(passed, known, last, {"rank_correlation": LIMIT}, rows, warnings)


def _reduced(box: Letterbox) -> Letterbox:
    """The same radiograph, but with `_SIDE` pixels along its longer side if it has more."""
    scale = min(1.0, _SIDE / max(box.height, box.width))
    height, width = (max(1, round(side * scale)) for side in (box.height, box.width))
    return replace(box, height=height, width=width)


def rank_correlation(one: Heat, other: Heat) -> float:
    """Spearman's rank correlation of two heatmaps; NaN if the first shows nothing.

    A second map without evidence has nothing in common with the first: zero.
    """
    if one.max() == one.min():
        return math.nan
    if other.max() == other.min():
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def similarity(one: Heat, other: Heat) -> float:
    """Structural similarity (Wang et al. 2004) of two heatmaps in [0, 1].

    NaN if the first shows nothing, or for a radiograph narrower than the window of 11 pixels.
    """
    from skimage.metrics import structural_similarity

    if one.max() == one.min() or min(one.shape) < _WINDOW:
        return math.nan
    found = structural_similarity(  # type: ignore[no-untyped-call]
        one,
        other,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(found)


def chosen_steps(total: int, most: int) -> NDArray[np.intp]:
    """At most `most` of the steps 0..total - 1, evenly spaced, the last always among them."""
    return np.unique(np.linspace(total - 1, 0, min(most, total)).round().astype(np.intp))


def _steps(
    classifier: Classifier, seed: int, most: int, films: int, progress: Progress | None
) -> Iterator[tuple[str, Classifier, Callable[[int], None]]]:
    """The chosen blocks of the cascade, each with what counts the radiographs done in it."""
    names = block_names(classifier)
    wanted = [names[index] for index in chosen_steps(len(names), most)]
    for index, (name, copied) in enumerate(cascade(classifier, seed, wanted)):
        yield name, copied, counted(progress, len(wanted) * films, before=index * films)
