"""Files in, explained radiographs out: decoding, the engine and what follows overlap."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import ImageError
from pneumoscope.files import sha256_file
from pneumoscope.findings import Finding
from pneumoscope.gate import InputGate
from pneumoscope.imaging import Radiograph, model_input, read_radiograph
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.explained import Explained, Failed
from pneumoscope.inference.finishing import Input, Scored, Task, explained_of, finding_of
from pneumoscope.inference.heatmaps import run_heatmaps
from pneumoscope.inference.pipeline import batches, in_order
from pneumoscope.lungs import LungSegmenter

Source = TypeVar("Source")
Asked_contra = TypeVar("Asked_contra", contravariant=True)
Made = TypeVar("Made")
_Decoded = Input | Failed


class Read(Protocol[Asked_contra]):
    """From a source to a radiograph, or to what a model's input of side `model` needs of it."""

    def __call__(self, source: Asked_contra, /, *, model: int | None = None) -> Radiograph:
        """As `imaging.read_radiograph`."""
        ...


# Of sources that are paths, which the type of a default cannot say.
_READ: Read[Any] = read_radiograph


def explain_in(
    engine: Engine,
    sources: Iterable[tuple[str, Source]],
    *,
    read: Read[Source] = _READ,
    threshold: float | None = None,
    batch_size: int = 16,
    others: Sequence[str] = (),
    lungs: bool = False,
    gate: bool = False,
) -> Generator[Explained | Failed, None, None]:
    """Explain radiographs in order; a bad one becomes a `Failed`, and the rest goes on.

    Args:
        engine: a loaded bundle.
        sources: (name, source) pairs; the name appears in the finding.
        read: from a source to a radiograph; by default a source is a file's path.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
        others: further heatmaps to make, as `HeatmapSpec` reads them.
        lungs: segment the lungs even if no heatmap needs them.
        gate: ask the input gate of each radiograph; not where the model itself is measured.

    Raises:
        SettingsError: a heatmap is not known.
    """
    task = _task(engine, threshold, others, lungs=lungs, gate=gate)
    return _stream(task, sources, read, explained_of, batch_size)


def process_in(
    engine: Engine,
    sources: Iterable[tuple[str, Source]],
    then: Callable[[Explained | Failed], Made],
    *,
    read: Read[Source] = _READ,
    threshold: float | None = None,
    batch_size: int = 16,
    gate: bool = False,
) -> Generator[Made, None, None]:
    """What `then` makes of each explained radiograph, in order; otherwise as `explain_in`.

    `then` runs in threads beside the engine, for several radiographs at once: the place to write
    pictures. Its exceptions end the stream.
    """

    def work(entry: Scored | Failed) -> Made:
        return then(explained_of(entry))

    task = _task(engine, threshold, gate=gate)
    return _stream(task, sources, read, work, batch_size)


def find_in(
    engine: Engine,
    sources: Iterable[tuple[str, Source]],
    *,
    read: Read[Source] = _READ,
    threshold: float | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    gate: bool = False,
    digest: Callable[[Source], str | None] | None = None,
) -> Generator[Finding, None, None]:
    """Findings alone, in order: a radiograph called negative has no regions, so it gets no heatmap.

    Args:
        engine: a loaded bundle.
        sources: (name, source) pairs; the name appears in the finding.
        read: from a source to a radiograph, of which no more is read than the model needs; by
            default a source is a file's path. Runs in several threads, and an `ImageError` of it
            becomes the finding.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
        workers: threads beside the engine; None for one per available CPU, at least two.
        gate: ask the input gate of each radiograph.
        digest: what identifies a source's content, asked before it is read; by default the SHA-256
            of a source that is a path.
    """
    task = _task(engine, threshold, gate=gate)
    return _stream(task, sources, read, finding_of, batch_size, workers, digest, whole=False)


def _task(
    engine: Engine,
    threshold: float | None,
    others: Sequence[str] = (),
    *,
    lungs: bool = False,
    gate: bool = False,
) -> Task:
    own = HeatmapSpec.parse(engine.info.heatmap)
    further = tuple(HeatmapSpec.parse(text) for text in others)
    needed = lungs or any(spec.anatomical for spec in (own, *further))
    return Task(
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
    task: Task,
    sources: Iterable[tuple[str, Source]],
    read: Read[Source],
    finish: Callable[[Scored | Failed], Made],
    batch_size: int,
    workers: int | None = None,
    digest: Callable[[Source], str | None] | None = None,
    *,
    whole: bool = True,
) -> Generator[Made, None, None]:
    """Decode ahead in threads, run the engine, finish behind it in threads.

    One pool serves both sides, so that its threads are never idle while there is either to do. An
    engine that all CPUs share for a call runs in the caller's thread, beside the pool; one of
    several streams runs in the pool, a batch in a thread.
    """
    workers = workers or max(2, available_cpus())
    window = batch_size + workers
    pool = ThreadPoolExecutor(workers)
    try:
        decode = partial(_decode, task, read, digest or _digest, whole)
        score = partial(_score, task)
        decoded = in_order(pool, decode, sources, window=window, pixels=_pixels)
        ready = batches(decoded, size=batch_size, pixels=_pixels)
        streams = task.engine.streams
        scored = in_order(pool, score, ready, window=streams) if streams > 1 else map(score, ready)
        yield from in_order(pool, finish, chain.from_iterable(scored), window=window)
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(
    task: Task,
    read: Read[Source],
    digest: Callable[[Source], str | None],
    whole: bool,
    named: tuple[str, Source],
) -> _Decoded:
    """The model's input, always of the same reading; and all pixels of the radiograph if wanted."""
    name, source = named
    size = task.engine.info.architecture.size
    try:
        # Before it is read: a file that is replaced meanwhile is then known as changed.
        content = digest(source)
        radiograph = read(source, model=size)
        pixels, letterbox = model_input(radiograph.upright(), size)
        if whole and radiograph.reduction > 1:
            radiograph = read(source)
    except ImageError as error:
        # The finding names the file already.
        reason = ImageError(error.problem, remedy=error.remedy)
        return Failed(name, Finding.from_error(name, reason, task.engine.info.model_id))
    return Input(name, radiograph, content, pixels, letterbox)


def _digest(source: object) -> str | None:
    # Reading it will say what is wrong. A pipe would be waited for.
    with suppress(OSError):
        return sha256_file(source) if isinstance(source, Path) and source.is_file() else None
    return None


def _pixels(item: _Decoded) -> int:
    return item.radiograph.pixels.size if isinstance(item, Input) else 0


def _score(task: Task, batch: Sequence[_Decoded]) -> list[Scored | Failed]:
    """Run the engine on what could be read.

    The lungs are segmented radiograph by radiograph later, beside the next batch.
    """
    inputs = [item for item in batch if isinstance(item, Input)]
    if inputs:
        pixels = np.stack([item.pixels for item in inputs])
        output = run_heatmaps(task.engine, pixels, (task.own, *task.others), None)
        index = iter(range(len(inputs)))
    return [
        Scored(task, item, output, next(index)) if isinstance(item, Input) else item
        for item in batch
    ]
