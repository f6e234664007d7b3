"""Files in, explained radiographs out: decoding runs ahead of the engine, memory stays flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.errors import ImageError
from pneumoscope.findings import Finding, find_regions
from pneumoscope.imaging import Letterbox, Radiograph, model_input, read_radiograph
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.heatmaps import (
    RawOutput,
    film_heatmap,
    film_lungs,
    run_heatmaps,
)
from pneumoscope.lungs import LungSegmenter

# Film-sized arrays are large; this many batches are decoded ahead at most.
_BATCHES_AHEAD = 2
_DECODERS = 2


@dataclass(frozen=True, slots=True)
class Explained:
    """A radiograph with its finding.

    Attributes:
        name: the radiograph's name as given.
        radiograph: what was read.
        logit: log-odds of the positive class before calibration.
        heatmap: (height, width) float32 in [0, 1] on the film's grid; all zero without evidence.
        finding: probability, decision, regions.
        others: heatmaps of further methods, as they were asked for.
        lungs: (height, width) float32 in [0, 1], probability of lung (one everywhere where none
            were found); None if nobody asked.
    """

    name: str
    radiograph: Radiograph
    logit: float
    heatmap: NDArray[np.float32]
    finding: Finding
    others: Mapping[str, NDArray[np.float32]]
    lungs: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that could not be used, with the reason as a finding."""

    name: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    radiograph: Radiograph
    pixels: NDArray[np.uint8]
    letterbox: Letterbox


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be done with each batch."""

    engine: Engine
    threshold: float
    own: HeatmapSpec
    others: tuple[HeatmapSpec, ...]
    segmenter: LungSegmenter | None


def explain_files(
    engine: Engine,
    files: Iterable[tuple[str, Path]],
    *,
    threshold: float | None = None,
    batch_size: int = 16,
    others: Sequence[str] = (),
    lungs: bool = False,
) -> Iterator[Explained | Failed]:
    """Explain radiographs in order; a bad file becomes a `Failed`, and the rest goes on.

    Args:
        engine: a loaded bundle.
        files: (name, path) pairs; the name appears in the finding.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
        others: further heatmaps to make, as `HeatmapSpec` reads them.
        lungs: segment the lungs even if no heatmap needs them.

    Raises:
        SettingsError: a heatmap is not known.
    """
    own = HeatmapSpec.parse(engine.info.heatmap)
    further = tuple(HeatmapSpec.parse(text) for text in others)
    needed = lungs or any(spec.lungs for spec in (own, *further))
    task = _Task(
        engine,
        engine.info.threshold if threshold is None else threshold,
        own,
        further,
        LungSegmenter.load() if needed else None,
    )
    decoded = _decode_ahead(files, engine.info.architecture.size, batch_size * _BATCHES_AHEAD)
    while batch := list(islice(decoded, batch_size)):
        inputs = [(name, item) for name, item in batch if isinstance(item, _Input)]
        results = iter(_explain_batch(task, [item for _, item in inputs]))
        for name, item in batch:
            if isinstance(item, _Input):
                yield next(results)
            else:
                problem = f"{item.problem}{'' if item.remedy is None else f'. {item.remedy}'}"
                yield Failed(name, Finding.from_error(name, problem, engine.info.model_id))


def _decode_ahead(
    files: Iterable[tuple[str, Path]], size: int, window: int
) -> Iterator[tuple[str, _Input | ImageError]]:
    def decode(name: str, path: Path) -> _Input | ImageError:
        try:
            radiograph = read_radiograph(path)
        except ImageError as error:
            return error
        pixels, letterbox = model_input(radiograph, size)
        return _Input(name, radiograph, pixels, letterbox)

    waiting: deque[tuple[str, Future[_Input | ImageError]]] = deque()
    with ThreadPoolExecutor(max_workers=_DECODERS) as pool:
        for name, path in files:
            waiting.append((name, pool.submit(decode, name, path)))
            if len(waiting) >= window:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


def _explain_batch(task: _Task, inputs: list[_Input]) -> list[Explained]:
    if not inputs:
        return []
    pixels = np.stack([item.pixels for item in inputs])
    output = run_heatmaps(task.engine, pixels, (task.own, *task.others), task.segmenter)
    return [_explained(task, item, output, index) for index, item in enumerate(inputs)]


def _explained(task: _Task, item: _Input, output: RawOutput, index: int) -> Explained:
    info, logit = task.engine.info, float(output.logits[index])
    lungs = None if output.lungs is None else film_lungs(output.lungs[index], item.letterbox)

    def heatmap_of(spec: HeatmapSpec) -> NDArray[np.float32]:
        return film_heatmap(spec, output.maps[spec][index], item.letterbox, lungs)

    heatmap = heatmap_of(task.own)
    finding = Finding.from_prediction(
        item.name,
        probability=calibrated_probability(logit, info.temperature),
        threshold=task.threshold,
        labels=info.labels,
        model=info.model_id,
    )
    # Regions say where the model sees what it found; a film called negative has none.
    if finding.label == info.labels[1]:
        finding = finding.model_copy(update={"regions": tuple(find_regions(heatmap))})
    others = {str(spec): heatmap_of(spec) for spec in task.others}
    return Explained(item.name, item.radiograph, logit, heatmap, finding, others, lungs)


def calibrated_probability(logit: float, temperature: float) -> float:
    """Sigmoid of logit / temperature, without overflow (Guo et al. 2017, arXiv 1706.04599)."""
    return float(0.5 * (1 + np.tanh(0.5 * logit / temperature)))
