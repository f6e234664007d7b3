"""What is made of a radiograph that the engine has seen: its finding, its heatmap, its regions.

All of it is made on the upright radiograph and then brought onto the pixels as they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.findings import Finding, Gate, completed
from pneumoscope.gate import InputGate
from pneumoscope.imaging import Letterbox, Radiograph
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.explained import Explained, Failed, enlarged, on_stored_pixels
from pneumoscope.inference.heatmaps import (
    NO_ANATOMY,
    Anatomy,
    RawOutput,
    anatomy_of,
    film_heatmap,
    on_film_scale,
    share_inside,
)
from pneumoscope.lungs import LungSegmenter

# Regions are found on at most so many pixels along a side for one of the model's input.
_REGION_PIXELS = 2


@dataclass(frozen=True, slots=True)
class Input:
    """A radiograph with the square that the model sees, which is of the upright radiograph."""

    name: str
    radiograph: Radiograph
    digest: str | None
    pixels: NDArray[np.uint8]
    letterbox: Letterbox


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done with each batch."""

    engine: Engine
    threshold: float
    own: HeatmapSpec
    others: tuple[HeatmapSpec, ...]
    segmenter: LungSegmenter | None
    gate: InputGate | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """One radiograph of a batch that the engine has seen."""

    task: Task
    item: Input
    output: RawOutput
    index: int


def finding_of(entry: Scored | Failed) -> Finding:
    """The finding; a heatmap is made only where its regions are needed."""
    if isinstance(entry, Failed):
        return entry.finding
    finding, gate = _decided(entry), _gate(entry)
    needed = finding.positive and not _flagged(gate)
    return _located(entry, finding, gate, _segmented(entry) if needed else None)


def explained_of(entry: Scored | Failed) -> Explained | Failed:
    """The radiograph with its finding and its heatmaps."""
    if isinstance(entry, Failed):
        return entry
    task, item, gate = entry.task, entry.item, _gate(entry)
    if _flagged(gate):
        return _not_judged(entry, gate)
    grid = _segmented(entry)
    anatomy = _anatomy(entry, grid, item.letterbox)
    heatmap = _heatmap(entry, task.own, anatomy, item.letterbox)
    stored = item.radiograph.orientation.stored
    others = {
        str(spec): stored(_heatmap(entry, spec, anatomy, item.letterbox)) for spec in task.others
    }
    return Explained(
        item.name,
        item.radiograph,
        float(entry.output.logits[entry.index]),
        stored(heatmap),
        _located(entry, _decided(entry), gate, grid, (anatomy, heatmap)),
        others,
        None if anatomy.lungs is None else stored(anatomy.lungs),
        lungs_found=anatomy.found,
    )


def _located(
    entry: Scored,
    finding: Finding,
    gate: Gate | None,
    grid: NDArray[np.float32] | None,
    known: tuple[Anatomy, NDArray[np.float32]] | None = None,
) -> Finding:
    """The finding with its regions on the stored pixels.

    Regions are found where a large radiograph has no more pixels than tell them apart. `known` are
    anatomy and heatmap on all pixels, if they were made; a radiograph that is not large needs no
    others.
    """
    if not finding.positive or _flagged(gate):
        return _completed(entry, finding, gate, entry.item.letterbox)
    whole = entry.item.letterbox
    coarse = whole.within(_REGION_PIXELS * whole.size)
    if known is not None and coarse is whole:
        anatomy, heatmap = known
    else:
        anatomy = _anatomy(entry, grid, coarse)
        heatmap = _heatmap(entry, entry.task.own, anatomy, coarse)
    found = _completed(entry, finding, gate, coarse, heatmap, anatomy.mask)
    return on_stored_pixels(enlarged(found, coarse, whole), entry.item.radiograph)


def _flagged(gate: Gate | None) -> bool:
    return gate is not None and gate.flagged


def _not_judged(entry: Scored, gate: Gate | None) -> Explained:
    """What is left of a picture that the gate flagged: no score, no heat, no lungs."""
    film, task = entry.item.radiograph, entry.task
    nothing = np.zeros_like(film.pixels)
    return Explained(
        entry.item.name,
        film,
        float("nan"),
        nothing,
        _completed(entry, _decided(entry), gate, entry.item.letterbox),
        dict.fromkeys(map(str, task.others), nothing),
        None if task.segmenter is None else np.ones_like(film.pixels),
        lungs_found=False,
    )


def _decided(entry: Scored) -> Finding:
    """The finding without regions."""
    info = entry.task.engine.info
    return Finding.from_prediction(
        entry.item.name,
        probability=_probability(entry),
        threshold=entry.task.threshold,
        labels=info.labels,
        model=info.model_id,
        review=None if info.review is None else (info.review.low, info.review.high),
        notes=entry.item.radiograph.notes,
        digest=entry.item.digest,
    )


def _completed(
    entry: Scored,
    finding: Finding,
    gate: Gate | None,
    letterbox: Letterbox,
    heatmap: NDArray[np.float32] | None = None,
    lungs: NDArray[np.bool_] | None = None,
) -> Finding:
    """The finding with regions on the pixels of `letterbox`, their zones and its plain line."""
    inside = None
    if finding.positive and lungs is not None:
        raw = entry.output.maps[entry.task.own][entry.index]
        inside = share_inside(raw, lungs, letterbox)
    info, film = entry.task.engine.info, entry.item.radiograph
    weak = [each.words for each in info.weaknesses if each.concerns(film.view, film.age)]
    return completed(
        finding,
        info.labels,
        gate=gate,
        heatmap=heatmap,
        lungs=lungs,
        in_lungs=inside,
        region_threshold=info.region_threshold,
        weaknesses=weak,
    )


def _gate(entry: Scored) -> Gate | None:
    """What the input gate says, if it is asked."""
    if entry.task.gate is None:
        return None
    verdict = entry.task.gate.judge(entry.item.pixels, entry.item.letterbox)
    return Gate(flagged=verdict.flagged, reason=verdict.reason)


def _segmented(entry: Scored) -> NDArray[np.float32] | None:
    """(g, g) probability of lung on the model's square, if anything needs it."""
    segmenter = entry.task.segmenter
    return None if segmenter is None else segmenter.segment(entry.item.pixels[None])[0]


def _anatomy(entry: Scored, grid: NDArray[np.float32] | None, letterbox: Letterbox) -> Anatomy:
    """Lungs on the pixels of `letterbox`, and the density factor if a heatmap needs it."""
    if grid is None:
        return NO_ANATOMY
    density = any(spec.density for spec in (entry.task.own, *entry.task.others))
    return anatomy_of(entry.item.pixels, grid, letterbox, density=density)


def _heatmap(
    entry: Scored, spec: HeatmapSpec, anatomy: Anatomy, letterbox: Letterbox
) -> NDArray[np.float32]:
    """A heatmap on the pixels of `letterbox`, on the scale of the radiograph's probability."""
    grid = entry.output.maps[spec][entry.index]
    return on_film_scale(film_heatmap(spec, grid, letterbox, anatomy), _probability(entry))


def _probability(entry: Scored) -> float:
    """The radiograph's calibrated probability."""
    info = entry.task.engine.info
    logit = float(entry.output.logits[entry.index])
    return calibrated_probability(logit, info.temperature, info.bias)


def calibrated_probability(logit: float, temperature: float, bias: float = 0.0) -> float:
    """Sigmoid of logit / temperature + bias, without overflow (Platt 1999)."""
    return float(0.5 * (1 + np.tanh(0.5 * (logit / temperature + bias))))
