"""Files into a folder of findings, heatmaps and overlays."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

from pneumoscope.imaging import DEFAULT_LIMITS, Limits, read_radiograph
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.explain import find_in, process_in
from pneumoscope.inference.explained import Explained, Failed
from pneumoscope.inference.findings_folder import FindingsFolder, digests_now


def predict_files(
    engine: Engine,
    files: list[tuple[str, Path]],
    out: Path,
    *,
    threshold: float | None = None,
    batch_size: int = 16,
    heatmaps: bool = True,
    overlays: bool = True,
    gate: bool = True,
    limits: Limits = DEFAULT_LIMITS,
    begun: Callable[[FindingsFolder], object] = lambda _: None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> FindingsFolder:
    """Write the findings of files into a folder, in the files' order, and return the folder.

    Args:
        engine: a loaded bundle.
        files: (name, path) pairs.
        out: output folder; one left by an interrupted call with the same settings is continued.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
        heatmaps: write heatmaps.
        overlays: write pictures for people.
        gate: ask the input gate of each radiograph.
        limits: larger radiographs become an error.
        begun: called with the folder before the first radiograph.
        progress: called with (done, total) of the radiographs that were not finished before.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    used = engine.info.threshold if threshold is None else threshold
    settings = {"model": engine.info.model_id, "threshold": used, "gate": gate}
    folder = FindingsFolder(
        out, settings, heatmaps=heatmaps, overlays=overlays, now=digests_now(files)
    )
    folder.reuse(name for name, _ in files)
    begun(folder)
    todo = [(name, path) for name, path in files if name not in folder.finished]

    def write(item: Explained | Failed) -> None:
        if isinstance(item, Failed):
            folder.add(item.finding)
        else:
            folder.add(item.finding, item.radiograph.pixels, item.heatmap)

    read = partial(read_radiograph, limits=limits)
    stream: Generator[object, None, None]
    if heatmaps or overlays:
        stream = process_in(
            engine, todo, write, read=read, threshold=used, batch_size=batch_size, gate=gate
        )
    else:
        found = find_in(engine, todo, read=read, threshold=used, batch_size=batch_size, gate=gate)
        stream = (folder.add(finding) for finding in found)
    names = (name for name, _ in files)
    folder.fill(stream, names, lambda done: progress(done, len(todo)))
    return folder
