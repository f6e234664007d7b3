"""Places: pneumonia is in the lungs, so a heatmap's peak and energy should be, and not at the edge.

Measured on the heatmap before the lungs factor, which would put the heat there by force, and
compared with what points drawn evenly over the radiograph would give: the share of its area.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pneumoscope.audit.outcome import Outcome, intervals
from pneumoscope.audit.probe import Heat, Probe, boxes, stacked
from pneumoscope.audit.sample import AuditFilm, Progress, counted
from pneumoscope.evaluate import score_lungs
from pneumoscope.lungs import LungSegmenter, plausible

BORDER = 0.05
"""Width of the border, relative to the side; as in `evaluate.score_lungs`."""

GAIN = 0.0
"""Heat in the lungs beyond their share of the radiograph's area, at the interval's lower end."""

_COLUMNS = (
    "peak_at_border",
    "border_share",
    "peak_in_lungs",
    "energy_in_lungs",
    "lungs_share",
    "energy_gain",
)


def heat_places(
    probe: Probe,
    films: Sequence[AuditFilm],
    segmenter: LungSegmenter | None,
    progress: Progress | None = None,
) -> Outcome:
    """Where heatmaps peak, and how much of their heat lies in the lungs.

    Args:
        probe: the bundle.
        films: the sample, from `explained_films`.
        segmenter: finds the lungs of radiographs whose lungs are not known.
        progress: called with (radiographs done, in all).
    """
    tick = counted(progress, len(films))
    heats = probe.see(stacked(films), boxes(films), probe.raw, tick)[1]
    table = [
        _scores(heat, find_lungs(film, segmenter)) for film, heat in zip(films, heats, strict=True)
    ]
    columns = {name: [row[name] for row in table] for name in _COLUMNS}
    figures = intervals(columns, [film.patient for film in films])
    border, random = figures["peak_at_border"], figures["border_share"]
    gain, energy, share = (
        figures[key] for key in ("energy_gain", "energy_in_lungs", "lungs_share")
    )
    without = sum(math.isnan(row["lungs_share"]) for row in table)
    warnings = []
    if math.isnan(border.value):
        warnings.append("No heatmap shows any evidence: there is no peak to look for.")
    elif border.value >= random.value:
        warnings.append(
            f"{border.value:.0%} of the heatmaps peak within {BORDER:.0%} of the radiograph's edge"
            f" (random points: {random.value:.0%})."
        )
    if without < len(films) and not gain.low > GAIN:
        warnings.append(
            "Heat is not shown to prefer the lungs: they hold "
            f"{energy.value:.0%} of it and cover {share.value:.0%} of the radiograph."
        )
    passed = not warnings
    if without:
        warnings.append(
            f"No lungs were found on {without} of {len(films)} radiographs. Figures about lungs "
            "leave them out."
        )
    known = sum(not math.isnan(row["peak_at_border"]) for row in table)
    # Every radiograph has its own exact share by rounding; it is no estimate.
    figures["border_share"] = replace(random, low=math.nan, high=math.nan)
    limits = {"peak_at_border": round(random.value, 4), "energy_gain": GAIN}
    return Outcome(passed, known, figures, limits, (), warnings)


def find_lungs(film: AuditFilm, segmenter: LungSegmenter | None) -> NDArray[np.bool_] | None:
    """(height, width) of the radiograph, true in the lungs; None where they are not found."""
    if film.lungs is not None:
        return film.lungs if film.lungs.any() else None
    if segmenter is None:
        return None
    found = film.letterbox.to_film(segmenter.segment(film.pixels[None])[0]) >= 0.5
    return found if plausible(found) else None


def _scores(heat: Heat, lungs: NDArray[np.bool_] | None) -> dict[str, float]:
    """The columns of one radiograph; NaN for what does not exist."""
    everywhere = np.ones(heat.shape, dtype=np.bool_)
    at_border = score_lungs(heat, everywhere).peak_at_border
    row = dict.fromkeys(_COLUMNS, math.nan) | {"peak_at_border": at_border}
    row["border_share"] = border_area(*heat.shape)
    if lungs is not None:
        row["lungs_share"] = float(lungs.mean())
        # A map without evidence is nowhere.
        if not math.isnan(at_border):
            scores = score_lungs(heat, lungs)
            row["peak_in_lungs"] = scores.peak_in_lungs
            row["energy_in_lungs"] = scores.energy_in_lungs
            row["energy_gain"] = scores.energy_in_lungs - scores.lungs_share
    return row


def border_area(height: int, width: int) -> float:
    """Share of pixels whose centres are in the border: what random points would score."""
    inner = [np.mean(np.abs((np.arange(side) + 0.5) / side - 0.5) <= 0.5 - BORDER)
             for side in (height, width)]  # fmt: skip
    return float(1 - inner[0] * inner[1])
