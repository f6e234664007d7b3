"""Files in, explained radiographs out: decoding runs ahead of the engine, memory stays flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo
from pneumoscope.errors import ImageError
from pneumoscope.findings import Finding, find_regions
from pneumoscope.imaging import Letterbox, Radiograph, model_input, read_radiograph
from pneumoscope.inference.engine import Engine

# Film-sized arrays are large; this many batches are decoded ahead at most.
_BATCHES_AHEAD = 2
_DECODERS = 2
# Below this share of a logit a map is rounding noise, and stretching it to [0, 1] would paint it.
_NO_EVIDENCE = 1e-6


@dataclass(frozen=True, slots=True)
class Explained:
    """A radiograph with its finding.

    Attributes:
        name: the radiograph's name as given.
        radiograph: what was read.
        logit: log-odds of the positive class before calibration.
        heatmap: (height, width) float32 in [0, 1] on the film's grid; all zero without evidence.
        finding: probability, decision, regions.
    """

    name: str
    radiograph: Radiograph
    logit: float
    heatmap: NDArray[np.float32]
    finding: Finding


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


def explain_files(
    engine: Engine,
    files: Iterable[tuple[str, Path]],
    *,
    threshold: float | None = None,
    batch_size: int = 16,
) -> Iterator[Explained | Failed]:
    """Explain radiographs in order; a bad file becomes a `Failed`, and the rest goes on.

    Args:
        engine: a loaded bundle.
        files: (name, path) pairs; the name appears in the finding.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
    """
    decoded = _decode_ahead(files, engine.info.architecture.size, batch_size * _BATCHES_AHEAD)
    while batch := list(islice(decoded, batch_size)):
        inputs = [(name, item) for name, item in batch if isinstance(item, _Input)]
        results = iter(_explain_batch(engine, [item for _, item in inputs], threshold))
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


def _explain_batch(
    engine: Engine, inputs: list[_Input], threshold: float | None
) -> list[Explained]:
    if not inputs:
        return []
    output = engine.run(np.stack([item.pixels for item in inputs]))
    return [
        _explained(engine.info, item, float(logit), grid, threshold)
        for item, logit, grid in zip(inputs, output.logits, output.maps, strict=True)
    ]


def _explained(
    info: BundleInfo,
    item: _Input,
    logit: float,
    grid: NDArray[np.float32],
    threshold: float | None,
) -> Explained:
    heatmap = film_heatmap(grid, item.letterbox)
    finding = Finding.from_prediction(
        item.name,
        probability=calibrated_probability(logit, info.temperature),
        threshold=info.threshold if threshold is None else threshold,
        labels=info.labels,
        model=info.model_id,
    )
    # Regions say where the model sees what it found; a film called negative has none.
    if finding.label == info.labels[1]:
        finding = finding.model_copy(update={"regions": tuple(find_regions(heatmap))})
    return Explained(item.name, item.radiograph, logit, heatmap, finding)


def calibrated_probability(logit: float, temperature: float) -> float:
    """Sigmoid of logit / temperature, without overflow (Guo et al. 2017, arXiv 1706.04599)."""
    return float(0.5 * (1 + np.tanh(0.5 * logit / temperature)))


def film_heatmap(grid: NDArray[np.float32], letterbox: Letterbox) -> NDArray[np.float32]:
    """A raw map on the model's grid to a heatmap in [0, 1] on the film's grid.

    Divided by its maximum on the film, never stretched from its minimum; a map without evidence
    stays zero.
    """
    film = letterbox.to_film(np.asarray(grid, dtype=np.float32))
    peak = float(film.max())
    if not np.isfinite(peak) or peak <= _NO_EVIDENCE:
        return np.zeros_like(film)
    scaled: NDArray[np.float32] = np.clip(film / peak, 0, 1)
    return scaled
