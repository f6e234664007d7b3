"""`pneumoscope predict`: findings, heatmaps and overlays for radiographs."""

from __future__ import annotations

from collections.abc import Iterable
from glob import glob
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoscope.cli.console import NOT_FOR_DIAGNOSIS, console, errors, progress
from pneumoscope.errors import PneumoscopeError

_SHOWN = 20


def predict(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or globs of radiographs.")],
    bundle: Annotated[Path, typer.Option(help="A bundle, or a run whose training has finished.")],
    out: Annotated[Path, typer.Option(help="Folder for findings, heatmaps, overlays.")] = Path(
        "findings"
    ),
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Decide at this probability instead.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Radiographs at a time.")] = 16,
) -> None:
    """Find pneumonia on radiographs: probability, decision, heatmap, regions.

    Writes [bold]findings.jsonl[/bold] (one line each), [bold]heatmaps/[/bold] (16-bit PNG on the
    film's own pixels) and [bold]overlays/[/bold]. A bad file becomes a line with an error. Repeated
    after an interruption, it continues where it stopped.

    [dim]Examples:[/dim]
      pneumoscope predict film.png --bundle RUN
      pneumoscope predict films/ more/*.dcm --bundle RUN --out findings
    """
    from pneumoscope.inference import load_engine

    files = collect(paths)
    engine = load_engine(bundle)
    findings = predict_files(engine, files, out, threshold=threshold, batch_size=batch_size)
    show_findings(findings, out)


def collect(paths: Iterable[str]) -> list[tuple[str, Path]]:
    """Files meant by files, folders (searched for radiographs) and globs, in order, each once.

    Raises:
        PneumoscopeError: a path matches nothing.
    """
    from pneumoscope.imaging import is_radiograph_file

    found: dict[str, Path] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and is_radiograph_file(p))
        elif path.exists():
            inside = [path]
        else:
            inside = sorted(Path(match) for match in glob(text, recursive=True))  # noqa: PTH207
        if not inside:
            raise PneumoscopeError(
                "no radiograph there", path=path, remedy="give PNG, JPEG, TIFF or DICOM files"
            )
        found.update({member.as_posix(): member for member in inside if member.is_file()})
    return list(found.items())


def predict_files(
    engine: Any,
    files: list[tuple[str, Path]],
    out: Path,
    *,
    threshold: float | None = None,
    batch_size: int = 16,
) -> list[Any]:
    """Explain files into a folder of findings and return all findings, in the files' order."""
    from pneumoscope.inference import Failed, explain_files
    from pneumoscope.report.findings_folder import FindingsFolder

    used = engine.info.threshold if threshold is None else threshold
    folder = FindingsFolder(out, {"model": engine.info.model_id, "threshold": used})
    todo = [(name, path) for name, path in files if name not in folder.finished]
    if len(todo) < len(files):
        console.print(f"{len(files) - len(todo)} of {len(files)} were finished before.")
    findings = dict(folder.finished)
    try:
        with progress("Reading films") as update:
            stream = explain_files(engine, todo, threshold=used, batch_size=batch_size)
            for done, item in enumerate(stream, start=1):
                if isinstance(item, Failed):
                    findings[item.name] = folder.add(item.finding)
                else:
                    findings[item.name] = folder.add(
                        item.finding, item.radiograph.pixels, item.heatmap
                    )
                update(done, len(todo))
    except BaseException:
        folder.close()
        raise
    folder.finish([name for name, _ in files])
    return [findings[name] for name, _ in files]


def show_findings(findings: list[Any], out: Path) -> None:
    """Print a table of the first findings and where the rest is."""
    from rich.table import Table

    table = Table(header_style="dim")
    for column in ("radiograph", "finding", "probability", "regions"):
        table.add_column(column, overflow="fold")
    for finding in findings[:_SHOWN]:
        if finding.error is not None:
            table.add_row(finding.image, "[red]error[/red]", "", finding.error)
        else:
            boxes = ", ".join(f"{r.width}x{r.height} at {r.x},{r.y}" for r in finding.regions)
            table.add_row(finding.image, finding.label, f"{finding.probability:.3f}", boxes)
    console.print(table)
    if len(findings) > _SHOWN:
        console.print(f"... and {len(findings) - _SHOWN} more")
    failed = sum(finding.error is not None for finding in findings)
    if failed:
        errors.print(f"[yellow]{failed} of {len(findings)} files could not be used[/yellow]")
    console.print(f"Findings: [bold]{out / 'findings.jsonl'}[/bold], overlays: {out / 'overlays'}")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")
