"""Marker: a token in a corner of the radiograph must not move the decision.

Side markers, letters and tokens differ between hospitals and wards and give labels away (Zech et
al., PLOS Medicine 2018, doi 10.1371/journal.pmed.1002683). Here a bright disc and a letter are
stamped into each corner of every radiograph, negative or positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.audit.outcome import Outcome, Row, intervals
from pneumoscope.audit.probe import Heat, Pixels, Probe, boxes, stacked
from pneumoscope.audit.sample import AuditFilm, Progress, counted
from pneumoscope.evaluate import calibrated
from pneumoscope.evaluate.bootstrap import Interval
from pneumoscope.models.registry import backbone_record

FLIPS_LIMIT = 0.05
"""Share of decisions that one marker in one corner may flip."""

SHIFT_LIMIT = 0.5
"""Mean change of the log-odds it may cause, in standard deviations of the sample's log-odds."""

PEAK_LIMIT = 0.05
"""Share of heatmaps whose peak it may draw onto itself."""

_GRAY = 240
_CENTRE, _RADIUS = 0.055, 0.03

KINDS = ("disc", "letter")
CORNERS = {
    "upper left": (False, False),
    "upper right": (False, True),
    "lower left": (True, False),
    "lower right": (True, True),
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """The model's answer to all radiographs: calibrated log-odds, decisions, heatmaps."""

    log_odds: NDArray[np.float64]
    positive: NDArray[np.bool_]
    heats: list[Heat]


def marker_shortcut(
    probe: Probe, films: Sequence[AuditFilm], progress: Progress | None = None
) -> Outcome:
    """Stamp markers into the corners and watch logits, decisions and the heatmaps' peaks.

    Heatmaps are those before the lungs factor, which would hide a peak on the marker.

    Args:
        probe: the bundle.
        films: the sample.
        progress: called with (radiographs explained, in all).
    """
    places = [(kind, corner) for kind in KINDS for corner in CORNERS]
    before = _ask(probe, films, stacked(films))
    spread = float(before.log_odds.std())
    info = probe.engine.info
    networks = [each.architecture for each in info.members] or [info.architecture]
    cell = max(backbone_record(each.backbone, each.options).stride for each in networks)
    rows: list[Row] = []
    for index, (kind, corner) in enumerate(places):
        pixels = np.stack([stamped(film, kind, corner) for film in films])
        tick = counted(progress, len(places) * len(films), before=index * len(films))
        after = _ask(probe, films, pixels, tick)
        columns = _columns(films, before, after, corner, spread, cell)
        rows.append(Row(f"{kind}, {corner}", intervals(columns, [film.patient for film in films])))
    warnings = [sentence for row in rows for sentence in _sentences(row)]
    if math.isnan(rows[0].figures["shift_relative"].value):
        warnings.append("All radiographs have the same score: the model answers nothing.")
    worst = {
        "worst_flips": _worst(rows, "flips", float),
        "worst_shift_relative": _worst(rows, "shift_relative", abs),
        "worst_peak_gain": _worst(rows, "peak_gain", float),
    }
    limits = {"flips": FLIPS_LIMIT, "shift_relative": SHIFT_LIMIT, "peak_gain": PEAK_LIMIT}
    return Outcome(not warnings, len(films), worst, limits, rows, warnings)


def _worst(rows: Sequence[Row], name: str, size: Callable[[float], float]) -> Interval:
    """A figure of the marker with which it is largest."""
    return max((row.figures[name] for row in rows), key=lambda figure: size(figure.value))


def stamped(film: AuditFilm, kind: str, corner: str) -> Pixels:
    """The radiograph's pixels (size, size) with a marker in one of its corners."""
    pixels = film.pixels.copy()
    content = pixels[film.content]
    down, right = CORNERS[corner]
    mark = _mark(kind, *content.shape)[:: -1 if down else 1, :: -1 if right else 1]
    pixels[film.content] = np.maximum(content, mark * np.uint8(_GRAY))
    return pixels


def on_marker(heat: Heat, corner: str, cell: float) -> float:
    """Share of a heatmap's maxima on the marker, or within half a cell of it.

    A heatmap is as coarse as the network's grid; its peak is somewhere in the cell of what is
    meant. NaN for a map without evidence.

    Args:
        heat: (height, width) on the radiograph's part of the model's square.
        corner: one of `CORNERS`.
        cell: side of a cell of the network's grid, in pixels.
    """
    if heat.max() == heat.min():
        return math.nan
    height, width = heat.shape
    reach = (_CENTRE + _RADIUS) * height + cell / 2
    down, right = CORNERS[corner]
    row, column = np.nonzero(heat == heat.max())
    y = height - row - 0.5 if down else row + 0.5
    x = width - column - 0.5 if right else column + 0.5
    return float(np.mean((y <= reach) & (x <= reach)))


def _mark(kind: str, height: int, width: int) -> NDArray[np.uint8]:
    """1 where the marker is, in the upper left corner; sizes are in heights of the radiograph."""
    y = (np.arange(height)[:, None] + 0.5) / height - _CENTRE
    x = (np.arange(width)[None] + 0.5) / height - _CENTRE
    if kind == "disc":
        return (y**2 + x**2 <= _RADIUS**2).astype(np.uint8)
    # A letter L: an upright and a foot.
    stroke = 2 * _RADIUS / 4
    frame = (np.abs(y) <= _RADIUS) & (np.abs(x) <= _RADIUS)
    letter = frame & ((x <= stroke - _RADIUS) | (y >= _RADIUS - stroke))
    return letter.astype(np.uint8)


def _ask(
    probe: Probe,
    films: Sequence[AuditFilm],
    pixels: Pixels,
    tick: Callable[[int], None] | None = None,
) -> _Asked:
    log_odds, heats = probe.see(pixels, boxes(films), probe.raw, tick)
    return _Asked(log_odds, calibrated(log_odds, 1.0) >= probe.engine.info.threshold, heats)


def _columns(
    films: Sequence[AuditFilm],
    before: _Asked,
    after: _Asked,
    corner: str,
    spread: float,
    cell: float,
) -> Mapping[str, NDArray[np.float64]]:
    shift = after.log_odds - before.log_odds
    target = np.array([film.target for film in films])
    there = np.array([on_marker(heat, corner, cell) for heat in after.heats])
    earlier = np.array([on_marker(heat, corner, cell) for heat in before.heats])
    return {
        "flips": (after.positive != before.positive).astype(np.float64),
        "shift": shift,
        "shift_relative": shift / spread if spread > 0 else np.full(shift.shape, math.nan),
        "shift_negative": np.where(target == 0, shift, math.nan),
        "shift_positive": np.where(target == 1, shift, math.nan),
        "peak_on_marker": there,
        "peak_there_before": earlier,
        "peak_gain": there - earlier,
    }


def _sentences(row: Row) -> list[str]:
    """What is wrong with one marker, where the interval leaves no doubt about its limit."""
    flips, shift, peak = (row.figures[key] for key in ("flips", "shift_relative", "peak_gain"))
    found = []
    if flips.low > FLIPS_LIMIT:
        found.append(f"flips {flips.value:.0%} of the decisions (limit {FLIPS_LIMIT:.0%})")
    if shift.low > SHIFT_LIMIT or shift.high < -SHIFT_LIMIT:
        found.append(
            f"moves the log-odds by {shift.value:+.2f} standard deviations (limit {SHIFT_LIMIT:g})"
        )
    if peak.low > PEAK_LIMIT:
        found.append(
            f"draws the heatmap's peak onto itself on {peak.value:.0%} of the radiographs "
            f"(limit {PEAK_LIMIT:.0%})"
        )
    if not found:
        return []
    what = f"A bright {row.label.replace(', ', ' in the ')} corner"
    return [f"{what} {' and '.join(found)}: the model may have learnt a marker."]
