"""Deletion: the score must fall when the hottest pixels go, and hardly when the coldest go.

ROAD, Rong et al., ICML 2022 (arXiv 2202.00449): the most relevant pixels first (MoRF) or the least
relevant first (LeRF) are removed and imputed; a good map has a low MoRF and a high LeRF curve.

The random order is not one of single pixels: holes of one pixel are filled almost perfectly by
their neighbours, so that any smooth map would beat them. It is the same heatmap rolled to a random
place, which removes the same shapes elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pneumoscope.audit.imputation import impute
from pneumoscope.audit.outcome import Outcome, Row, intervals
from pneumoscope.audit.probe import Heat, Pixels, Probe, boxes, stacked
from pneumoscope.audit.sample import AuditFilm, Progress
from pneumoscope.evaluate import Interval, calibrated

PERCENTAGES = (5, 10, 20, 30, 50)
"""Parts of the radiograph that are removed, in percent."""

MARGIN = 0.0
"""By how much hottest first must lower the log-odds more than random order, at the interval's
lower end."""

LEAST = 8
ORDERS = ("hottest", "coldest", "random")

Array = NDArray[np.float64]


def pixel_deletion(
    probe: Probe, films: Sequence[AuditFilm], seed: int, progress: Progress | None = None
) -> Outcome:
    """Remove pixels by heat on the radiographs called positive, and watch the score.

    Args:
        probe: the bundle, with a segmenter if its heatmap needs one.
        films: the sample, from `explained_films`.
        seed: of random order, ties and noise.
        progress: called with (radiographs done, in all).
    """
    before, heats = probe.see(stacked(films), boxes(films), probe.own)
    changes, patients = [], []
    for index, (film, heat) in enumerate(zip(films, heats, strict=True)):
        # A map without evidence has no hottest pixels.
        if heat.max() > heat.min():
            rng = np.random.default_rng((seed, index))
            changes.append(_changes(probe, film, heat, float(before[index]), rng))
            patients.append(film.patient)
        if progress is not None:
            progress(index + 1, len(films))
    if not patients:
        nothing = {"morf_advantage": Interval(math.nan, math.nan, math.nan)}
        warning = "No heatmap shows any evidence: there are no hottest pixels to remove."
        return Outcome(False, 0, nothing, {"morf_advantage": MARGIN}, (), (warning,))
    return _judged(np.array(changes), patients)


def explained_films(probe: Probe, films: Sequence[AuditFilm]) -> tuple[list[AuditFilm], int]:
    """The radiographs called positive, whose heatmaps people look at, in their order; and how many.

    Fewer than `LEAST` are filled up with those that come closest.
    """
    log_odds = probe.log_odds(stacked(films))
    called = int((calibrated(log_odds, 1.0) >= probe.engine.info.threshold).sum())
    highest = np.argsort(-log_odds, kind="stable")[: max(called, LEAST)]
    return [films[index] for index in sorted(highest.tolist())], called


def removal_order(heat: Heat, order: str, rng: np.random.Generator) -> NDArray[np.intp]:
    """Flat indices of all pixels, the one to be removed first coming first; ties at random."""
    if order == "random":
        down, right = (int(rng.integers(side)) for side in heat.shape)
        heat = np.roll(heat, (down, right), axis=(0, 1))
    key = heat.ravel() if order == "coldest" else -heat.ravel()
    return np.lexsort((rng.random(heat.size), key))


def _changes(
    probe: Probe, film: AuditFilm, heat: Heat, before: float, rng: np.random.Generator
) -> Array:
    """Change of log-odds and of probability, (2, orders, percentages)."""
    altered = np.concatenate(
        [_removed(film, removal_order(heat, order, rng), rng) for order in ORDERS]
    )
    after = probe.log_odds(altered)
    likely, first = calibrated(after, 1.0), calibrated(np.array([before]), 1.0)[0]
    return np.array([after - before, likely - first]).reshape(2, len(ORDERS), -1)


def _removed(film: AuditFilm, order: NDArray[np.intp], rng: np.random.Generator) -> Pixels:
    """The radiograph with each percentage of its pixels removed, (percentages, size, size)."""
    content = film.pixels[film.content].astype(np.float64) / 255
    results = np.repeat(film.pixels[None], len(PERCENTAGES), axis=0)
    for result, percentage in zip(results, PERCENTAGES, strict=True):
        missing = np.zeros(content.shape, dtype=np.bool_)
        missing.flat[order[: round(content.size * percentage / 100)]] = True
        filled = impute(content, missing, rng)
        result[film.content] = np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)
    return results


def _judged(changes: Array, patients: list[str]) -> Outcome:
    """The outcome from the changes (radiographs, 2, orders, percentages)."""
    tables, chances = (
        {order: changes[:, what, index] for index, order in enumerate(ORDERS)} for what in (0, 1)
    )
    columns = {
        "morf_advantage": (tables["random"] - tables["hottest"]).mean(axis=1),
        "road": (tables["coldest"] - tables["hottest"]).mean(axis=1),
        "road_probability": (chances["coldest"] - chances["hottest"]).mean(axis=1),
    }
    figures = intervals(columns, patients)
    rows = [
        Row(
            f"{percentage} %",
            intervals({order: tables[order][:, index] for order in ORDERS}, patients),
        )
        for index, percentage in enumerate(PERCENTAGES)
    ]
    advantage = figures["morf_advantage"]
    passed = advantage.low > MARGIN
    warnings = []
    if not passed:
        warnings.append(
            "Removing the hottest pixels is not shown to lower the score more than removing the "
            f"same shapes at random places (log-odds {advantage.value:.2f} lower, 95 % interval "
            f"{advantage.low:.2f} to {advantage.high:.2f}): the heatmap may not show what the "
            "decision rests on."
        )
    return Outcome(passed, len(patients), figures, {"morf_advantage": MARGIN}, rows, warnings)
