"""`pneumoscope predict --engine ray`: findings of an archive, as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pneumoscope.cli.console import (
    collect,
    console,
    disclaim,
    end_unless_judged,
    errors,
    progress,
    shown,
)
from pneumoscope.cli.options import PrecisionChoice
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require


def predict_archive(
    paths: Iterable[str],
    bundle: Path,
    out: str,
    *,
    threshold: float | None,
    batch_size: int,
    workers: int | None,
    address: str | None,
    part_size: int,
    precision: PrecisionChoice,
    threads: int | None = None,
    gate: bool = True,
) -> None:
    """Find in all radiographs that paths, folders, globs and URIs mean, and say what was done.

    `threads` are of each worker: one, if not given.

    Raises:
        PneumoscopeError: no radiograph is there, the bundle is none, or Ray fails.
    """
    from pneumoscope import scale
    from pneumoscope.inference import load_engine
    from pneumoscope.inference.file_engine import FileEngine

    require("scale", "--engine ray")
    names = list(dict.fromkeys(_names(paths)))
    each = threads or 1
    engine = load_engine(bundle, precision=precision, threads=each, expected=len(names))
    if not isinstance(engine, FileEngine):
        raise SettingsError(
            "ray runs exported files alone", remedy="write one with pneumoscope export"
        )
    used = engine.info.threshold if threshold is None else threshold
    settings = scale.ArchiveSettings(
        workers=workers,
        threads=each,
        batch_size=batch_size,
        unit=part_size,
        address=address,
        gate=gate,
    )
    with progress("Reading radiographs") as update:
        done = scale.predict_archive(
            engine.path,
            engine.runtime,
            names,
            out,
            identity={"model": engine.info.model_id, "threshold": used, "gate": gate},
            threshold=used,
            settings=settings,
            progress=update,
        )
    # Only how many: logs of a cluster name no film.
    if done.kept:
        console.print(
            f"{len(done.kept)} of {len(names)} were finished before and have not changed since; "
            f"their names: {shown(out)}/reused.txt"
        )
    if done.changed:
        console.print(
            f"{len(done.changed)} were finished before and have changed since; they are read again."
        )
    if done.failed:
        errors.print(f"[warning]{done.failed} of {len(names)} files could not be used[/warning]")
    console.print(
        f"Findings of {len(names)} radiographs: [bold]{shown(out)}/findings[/bold] (Parquet)"
    )
    judged = scale.count_judged(out, names)
    if judged < len(names):
        left = f"{len(names) - judged} of {len(names)}"
        errors.print(f"[warning]{left} not assessed: see the columns gate and error[/warning]")
    disclaim()
    end_unless_judged(judged, len(names))


def _names(paths: Iterable[str]) -> Iterator[str]:
    from pneumoscope.scale import is_uri, list_radiographs

    for text in paths:
        if is_uri(text):
            yield from list_radiographs(text)
        else:
            yield from (name for name, _ in collect([text]))
