"""`pneumoscope predict --engine ray`: findings of an archive, as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.scale import ArchiveSettings


def predict_archive(
    paths: Iterable[str],
    bundle: Path,
    out: str,
    *,
    threshold: float | None,
    precision: PrecisionChoice,
    settings: ArchiveSettings,
) -> None:
    """Find in all radiographs that paths, folders, globs and URIs mean, and say what was done.

    Raises:
        PneumoscopeError: no radiograph is there, the bundle is none, or Ray fails.
    """
    from pneumoscope import scale
    from pneumoscope.inference import load_engine

    names = list(dict.fromkeys(_names(paths)))
    engine = load_engine(bundle, precision=precision, threads=settings.threads, expected=len(names))
    with progress("Reading radiographs") as update:
        done = scale.predict_archive(
            engine, names, out, threshold=threshold, settings=settings, progress=update
        )
    # Only how many: logs of a cluster name no radiograph.
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
