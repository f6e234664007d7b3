"""Files in, explained radiographs out: decoding, the engine and what follows overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.errors import ImageError
from pneumoscope.files import sha256_file
from pneumoscope.findings import Finding, Gate, completed
from pneumoscope.gate import InputGate
from pneumoscope.imaging import Letterbox, Radiograph, model_input, read_radiograph
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.explained import Explained, Failed, on_stored_pixels
from pneumoscope.inference.file_engine import available_cpus
from pneumoscope.inference.heatmaps import (
    NO_ANATOMY,
    Anatomy,
    RawOutput,
    anatomy_of,
    film_heatmap,
    on_film_scale,
    run_heatmaps,
    share_inside,
)
from pneumoscope.inference.pipeline import batches, in_order
from pneumoscope.lungs import LungSegmenter

Source = TypeVar("Source")
Made = TypeVar("Made")

# What counts as lung.
_LUNG = 0.5


@dataclass(frozen=True, slots=True)
class _Input:
    """A film with the square that the model sees; square and letterbox are of the upright film."""

    name: str
    radiograph: Radiograph
    digest: str | None
    pixels: NDArray[np.uint8]
    letterbox: Letterbox


_Decoded = _Input | Failed


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be done with each batch."""

    engine: Engine
    threshold: float
    own: HeatmapSpec
    others: tuple[HeatmapSpec, ...]
    segmenter: LungSegmenter | None
    gate: InputGate | None = None


@dataclass(frozen=True, slots=True)
class _Scored:
    """One film of a batch that the engine has seen."""

    task: _Task
    item: _Input
    output: RawOutput
    index: int


def explain_files(
    engine: Engine,
    files: Iterable[tuple[str, Path]],
    *,
    threshold: float | None = None,
    batch_size: int = 16,
    others: Sequence[str] = (),
    lungs: bool = False,
    gate: bool = False,
) -> Iterator[Explained | Failed]:
    """Explain radiographs in order; a bad file becomes a `Failed`, and the rest goes on.

    Args:
        engine: a loaded bundle.
        files: (name, path) pairs; the name appears in the finding.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
        others: further heatmaps to make, as `HeatmapSpec` reads them.
        lungs: segment the lungs even if no heatmap needs them.
        gate: ask the input gate of each film; not where the model itself is measured.

    Raises:
        SettingsError: a heatmap is not known.
    """
    task = _task(engine, threshold, others, lungs=lungs, gate=gate)
    return _stream(task, files, read_radiograph, _explained, batch_size)


def explain_in(
    engine: Engine,
    sources: Iterable[tuple[str, Source]],
    read: Callable[[Source], Radiograph],
    *,
    threshold: float | None = None,
    batch_size: int = 16,
    others: Sequence[str] = (),
    lungs: bool = False,
    gate: bool = False,
) -> Iterator[Explained | Failed]:
    """As `explain_files`, of anything that `read` makes radiographs of; see `find_in`."""
    task = _task(engine, threshold, others, lungs=lungs, gate=gate)
    return _stream(task, sources, read, _explained, batch_size)


def process_files(
    engine: Engine,
    files: Iterable[tuple[str, Path]],
    then: Callable[[Explained | Failed], Made],
    *,
    threshold: float | None = None,
    batch_size: int = 16,
    gate: bool = False,
) -> Iterator[Made]:
    """What `then` makes of each explained radiograph, in order.

    `then` runs in threads beside the engine, for several radiographs at once: the place to write
    pictures. Its exceptions end the stream. Otherwise as `explain_files`.
    """

    def work(entry: _Scored | Failed) -> Made:
        return then(_explained(entry))

    task = _task(engine, threshold, gate=gate)
    return _stream(task, files, read_radiograph, work, batch_size)


def find_in(
    engine: Engine,
    sources: Iterable[tuple[str, Source]],
    read: Callable[[Source], Radiograph],
    *,
    threshold: float | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    gate: bool = False,
    digest: Callable[[Source], str | None] | None = None,
) -> Iterator[Finding]:
    """Findings alone, in order: a film called negative has no regions, so it gets no heatmap.

    Args:
        engine: a loaded bundle.
        sources: (name, source) pairs; the name appears in the finding.
        read: from a source to a radiograph; runs in several threads, and an `ImageError` of it
            becomes the finding.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
        workers: threads beside the engine; None for one per available CPU, at least two.
        gate: ask the input gate of each film.
        digest: what identifies a source's content, asked before it is read; by default the SHA-256
            of a source that is a path.
    """
    task = _task(engine, threshold, gate=gate)
    return _stream(task, sources, read, _finding, batch_size, workers, digest)


def _task(
    engine: Engine,
    threshold: float | None,
    others: Sequence[str] = (),
    *,
    lungs: bool = False,
    gate: bool = False,
) -> _Task:
    own = HeatmapSpec.parse(engine.info.heatmap)
    further = tuple(HeatmapSpec.parse(text) for text in others)
    needed = lungs or any(spec.anatomical for spec in (own, *further))
    return _Task(
        engine,
        engine.info.threshold if threshold is None else threshold,
        own,
        further,
        _shipped_lungs() if needed else None,
        _shipped_gate() if gate else None,
    )


@cache
def _shipped_gate() -> InputGate:
    """The input gate of the package, loaded once."""
    return InputGate.load()


@cache
def _shipped_lungs() -> LungSegmenter:
    """The lung segmenter of the package, loaded once."""
    return LungSegmenter.load()


def _stream(
    task: _Task,
    sources: Iterable[tuple[str, Source]],
    read: Callable[[Source], Radiograph],
    finish: Callable[[_Scored | Failed], Made],
    batch_size: int,
    workers: int | None = None,
    digest: Callable[[Source], str | None] | None = None,
) -> Iterator[Made]:
    """Decode ahead in threads, run the engine, finish behind it in threads.

    One pool serves both sides, so that its threads are never idle while there is either to do. An
    engine that all CPUs share for a call runs in the caller's thread, beside the pool; one of
    several streams runs in the pool, a batch in a thread.
    """
    workers = workers or max(2, available_cpus())
    window = batch_size + workers
    pool = ThreadPoolExecutor(workers)
    try:
        decode, score = partial(_decode, task, read, digest or _digest), partial(_score, task)
        decoded = in_order(pool, decode, sources, window=window, pixels=_pixels)
        ready = batches(decoded, size=batch_size, pixels=_pixels)
        streams = task.engine.streams
        scored = in_order(pool, score, ready, window=streams) if streams > 1 else map(score, ready)
        yield from in_order(pool, finish, chain.from_iterable(scored), window=window)
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(
    task: _Task,
    read: Callable[[Source], Radiograph],
    digest: Callable[[Source], str | None],
    named: tuple[str, Source],
) -> _Decoded:
    name, source = named
    try:
        # Before it is read: a file that is replaced meanwhile is then known as changed.
        content = digest(source)
        radiograph = read(source)
    except ImageError as error:
        # The finding names the file already.
        reason = ImageError(error.problem, remedy=error.remedy)
        return Failed(name, Finding.from_error(name, reason, task.engine.info.model_id))
    size = task.engine.info.architecture.size
    return _Input(name, radiograph, content, *model_input(radiograph.upright(), size))


def _digest(source: object) -> str | None:
    if not isinstance(source, Path):
        return None
    with suppress(OSError):  # Reading it will say what is wrong.
        return sha256_file(source)
    return None


def _pixels(item: _Decoded) -> int:
    return item.radiograph.pixels.size if isinstance(item, _Input) else 0


def _score(task: _Task, batch: Sequence[_Decoded]) -> list[_Scored | Failed]:
    """Run the engine on what could be read.

    The lungs are segmented film by film later, beside the next batch.
    """
    inputs = [item for item in batch if isinstance(item, _Input)]
    if inputs:
        pixels = np.stack([item.pixels for item in inputs])
        output = run_heatmaps(task.engine, pixels, (task.own, *task.others), None)
        index = iter(range(len(inputs)))
    return [
        _Scored(task, item, output, next(index)) if isinstance(item, _Input) else item
        for item in batch
    ]


def _finding(entry: _Scored | Failed) -> Finding:
    if isinstance(entry, Failed):
        return entry.finding
    finding, gate = _decided(entry), _gate(entry)
    if _flagged(gate) or not finding.positive:
        return _completed(entry, finding, None, None, gate)
    anatomy = _anatomy(entry)
    heatmap = _heatmap(entry, entry.task.own, anatomy)
    found = _completed(entry, finding, heatmap, anatomy.lungs, gate)
    return on_stored_pixels(found, entry.item.radiograph)


def _explained(entry: _Scored | Failed) -> Explained | Failed:
    if isinstance(entry, Failed):
        return entry
    task, item, gate = entry.task, entry.item, _gate(entry)
    if _flagged(gate):
        return _not_judged(entry, gate)
    anatomy = _anatomy(entry)
    heatmap = _heatmap(entry, task.own, anatomy)
    finding = _completed(entry, _decided(entry), heatmap, anatomy.lungs, gate)
    stored = item.radiograph.orientation.stored
    return Explained(
        item.name,
        item.radiograph,
        float(entry.output.logits[entry.index]),
        stored(heatmap),
        on_stored_pixels(finding, item.radiograph),
        {str(spec): stored(_heatmap(entry, spec, anatomy)) for spec in task.others},
        None if anatomy.lungs is None else stored(anatomy.lungs),
    )


def _flagged(gate: Gate | None) -> bool:
    return gate is not None and gate.flagged


def _not_judged(entry: _Scored, gate: Gate | None) -> Explained:
    """What is left of a picture that the gate flagged: no score, no heat, no lungs."""
    film, task = entry.item.radiograph, entry.task
    nothing = np.zeros_like(film.pixels)
    return Explained(
        entry.item.name,
        film,
        float("nan"),
        nothing,
        _completed(entry, _decided(entry), None, None, gate),
        dict.fromkeys(map(str, task.others), nothing),
        None if task.segmenter is None else np.ones_like(film.pixels),
    )


def _decided(entry: _Scored) -> Finding:
    """The finding without regions."""
    info = entry.task.engine.info
    logit = float(entry.output.logits[entry.index])
    return Finding.from_prediction(
        entry.item.name,
        probability=calibrated_probability(logit, info.temperature, info.bias),
        threshold=entry.task.threshold,
        labels=info.labels,
        model=info.model_id,
        review=None if info.review is None else (info.review.low, info.review.high),
        notes=entry.item.radiograph.notes,
        digest=entry.item.digest,
    )


def _completed(
    entry: _Scored,
    finding: Finding,
    heatmap: NDArray[np.float32] | None,
    lungs: NDArray[np.float32] | None,
    gate: Gate | None,
) -> Finding:
    """The finding with regions, their zones and its plain line."""
    # One everywhere means that none were found.
    known = lungs is not None and bool(lungs.min() < _LUNG)
    mask = lungs >= _LUNG if lungs is not None and known else None
    inside = None
    if finding.positive and mask is not None:
        raw = entry.output.maps[entry.task.own][entry.index]
        inside = share_inside(raw, mask, entry.item.letterbox)
    info, film = entry.task.engine.info, entry.item.radiograph
    weak = [each.words for each in info.weaknesses if each.concerns(film.view, film.age)]
    return completed(
        finding,
        info.labels,
        gate=gate,
        heatmap=heatmap,
        lungs=mask,
        in_lungs=inside,
        region_threshold=info.region_threshold,
        weaknesses=weak,
    )


def _gate(entry: _Scored) -> Gate | None:
    """What the input gate says, if it is asked."""
    if entry.task.gate is None:
        return None
    verdict = entry.task.gate.judge(entry.item.pixels, entry.item.letterbox)
    return Gate(flagged=verdict.flagged, reason=verdict.reason)


def _anatomy(entry: _Scored) -> Anatomy:
    """Lungs and density of the film, if anything needs them."""
    if entry.task.segmenter is None:
        return NO_ANATOMY
    (grid,) = entry.task.segmenter.segment(entry.item.pixels[None])
    return anatomy_of(entry.item.pixels, grid, entry.item.letterbox)


def _heatmap(entry: _Scored, spec: HeatmapSpec, anatomy: Anatomy) -> NDArray[np.float32]:
    """A heatmap on the upright film, on the scale of the film's probability."""
    grid, letterbox = entry.output.maps[spec][entry.index], entry.item.letterbox
    relative = film_heatmap(spec, grid, letterbox, anatomy)
    info = entry.task.engine.info
    logit = float(entry.output.logits[entry.index])
    return on_film_scale(relative, calibrated_probability(logit, info.temperature, info.bias))


def calibrated_probability(logit: float, temperature: float, bias: float = 0.0) -> float:
    """Sigmoid of logit / temperature + bias, without overflow (Platt 1999)."""
    return float(0.5 * (1 + np.tanh(0.5 * (logit / temperature + bias))))
