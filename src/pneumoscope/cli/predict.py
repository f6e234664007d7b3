"""`pneumoscope predict`: findings, heatmaps and overlays for radiographs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pneumoscope.cli.console import (
    NOT_FOR_DIAGNOSIS,
    collect,
    console,
    end_unless_judged,
    errors,
    print_json,
    print_whole,
    progress,
    shortened,
    shown,
    starting,
)
from pneumoscope.cli.options import (
    BundleOption,
    EngineChoice,
    JsonOption,
    PrecisionOption,
    ThreadsOption,
    WideOption,
)
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.findings import Finding
    from pneumoscope.imaging import Limits
    from pneumoscope.inference import Engine, Explained, Failed
    from pneumoscope.inference.findings_folder import FindingsFolder

_SHOWN, _NAMED = 20, 5
# Of a line of findings: the probability; it with all gaps; the least that is left for words.
_DIGITS, _BESIDE, _SHORTEST = 5, 13, 10
# Beyond it Pillow takes any picture for an attack.
_MOST_PIXELS = 178_000_000


def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders or globs of radiographs; URIs with ray.")
    ],
    bundle: BundleOption = Path("default"),
    out: Annotated[
        str, typer.Option(metavar="<path>", help="Folder for findings, heatmaps, overlays.")
    ] = "findings",
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Decide at this probability instead of the bundle's."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Radiographs at a time.")] = 16,
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps/--no-heatmaps", help="Write heatmaps.")
    ] = True,
    overlays: Annotated[
        bool, typer.Option("--overlays/--no-overlays", help="Write pictures for people.")
    ] = True,
    engine: Annotated[
        Literal[EngineChoice, "ray"],
        typer.Option(
            help="onnxruntime or openvino for exported files, torch for folders; ray: several "
            "processes or machines, findings only."
        ),
    ] = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of --engine ray. Default: one per CPU.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster. Default: start Ray here.")
    ] = None,
    part_size: Annotated[
        int, typer.Option(min=1, help="Radiographs per Parquet file of --engine ray.")
    ] = 256,
    output: Annotated[
        Literal["findings", "dicom"],
        typer.Option(
            "--format", help="dicom: DICOM objects of each radiograph, beside the findings."
        ),
    ] = "findings",
    dicom_output: Annotated[
        str, typer.Option(help="Objects of --format dicom: sc, seg, regions, sr, gsps, or all.")
    ] = "sc,sr",
    gate: Annotated[
        bool,
        typer.Option("--gate/--no-gate", help="Assess frontal chest radiographs only."),
    ] = True,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1024,
            max=_MOST_PIXELS,
            help="Largest number of pixels of a radiograph.",
            show_default="80 million",
        ),
    ] = None,
    max_mb: Annotated[
        int | None,
        typer.Option(min=1, help="Largest file in MB.", show_default="200"),
    ] = None,
    deidentify: Annotated[
        Path | None,
        typer.Option(
            metavar="<key file>",
            help="With --format dicom: pseudonyms for patients, by a key; made if missing.",
        ),
    ] = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Find pneumonia on radiographs: probability, decision, heatmap, regions.

    Writes [bold]findings.jsonl[/bold] (one line each), [bold]heatmaps/[/bold] (16-bit PNG on the
    radiograph's own pixels) and [bold]overlays/[/bold]. A bad file becomes a line with an error.
    Run the same command again after an interruption: it continues, and reads changed files again.
    A run of several findings has a folder in [bold]--out[/bold] for each.

    The exit code is 0 if any file was assessed, 3 if none was, and 2 if the command cannot run.

    [dim]Examples:[/dim]
      pneumoscope predict film.png --bundle RUN
      pneumoscope predict films/ more/*.dcm --bundle RUN --out findings
      pneumoscope predict archive/ --bundle model.onnx --no-heatmaps --no-overlays
      pneumoscope predict archive/ --bundle model.onnx --engine openvino --precision bfloat16
      pneumoscope predict s3://archive/ --bundle model.onnx --engine ray --out s3://findings
      pneumoscope predict study/ --format dicom --dicom-output sc,sr --out objects
    """
    chosen = dict(locals())
    from pneumoscope.bundles import finding_folders

    if several := finding_folders(bundle):
        for finding in several:
            console.print(f"Finding: [bold]{shown(finding.name)}[/bold]")
            predict(**{**chosen, "bundle": finding, "out": f"{out.rstrip('/')}/{finding.name}"})
        return
    console.quiet = console.quiet or json
    if output == "dicom":
        from pneumoscope.dicom.objects import parse_kinds

        require("hospital", "DICOM output")
        parse_kinds(dicom_output)
    if engine == "ray":
        if output == "dicom":
            raise SettingsError(
                "--engine ray writes findings alone", remedy="leave --engine or --format out"
            )
        if json:
            raise SettingsError("--engine ray writes Parquet", remedy="leave --json out")
        if max_mb is not None or max_pixels is not None:
            raise SettingsError(
                "--engine ray has fixed limits for radiographs",
                remedy="leave --max-pixels and --max-mb out, or choose another --engine",
            )
        from pneumoscope.cli.archive import predict_archive

        predict_archive(
            paths,
            bundle,
            out,
            threshold=threshold,
            batch_size=batch_size,
            workers=workers,
            address=ray_address,
            part_size=part_size,
            precision=precision,
            threads=threads,
            gate=gate,
        )
        return
    with starting():
        from pneumoscope.inference import load_engine, streams_for

        files = collect(paths)
        runs = load_engine(
            bundle,
            engine=engine,
            precision=precision,
            threads=threads,
            batch_size=batch_size,
            expected=len(files),
            streams=streams_for(len(files), threads),
        )
    console.print(f"[dim]Computed by {runs.runtime}.[/dim]")
    if output == "dicom":
        from pneumoscope.dicom.films import predict_objects

        with progress("Reading radiographs") as update:
            folder = predict_objects(
                runs,
                files,
                Path(out),
                kinds=dicom_output,
                key=deidentify,
                threshold=threshold,
                batch_size=batch_size,
                gate=gate,
                limits=_limits(max_mb, max_pixels),
                begun=partial(_tell_reused, total=len(files)),
                progress=update,
            )
        objects = shown(folder.folder / "objects")
        console.print(f"Objects: [bold]{objects}[/bold] ({', '.join(parse_kinds(dicom_output))})")
        _show(folder, len(files), wide=wide, json=json)
        return
    folder = predict_files(
        runs,
        files,
        Path(out),
        threshold=threshold,
        batch_size=batch_size,
        heatmaps=heatmaps,
        overlays=overlays,
        gate=gate,
        limits=_limits(max_mb, max_pixels),
    )
    if overlays and folder.judged:
        console.print(f"Overlays: [bold]{shown(folder.folder / 'overlays')}[/bold]")
    _show(folder, len(files), wide=wide, json=json)


def _show(folder: FindingsFolder, total: int, *, wide: bool, json: bool) -> None:
    show_findings(folder.first(_SHOWN), total, folder.failed, wide=wide)
    if folder.flagged:
        reasons = ", ".join(f"{n} {reason}" for reason, n in folder.flagged.most_common())
        errors.print(
            f"[warning]{folder.flagged.total()} of {total} not assessed: not a frontal chest "
            f"radiograph ({reasons})[/warning]"
        )
    console.print(f"Findings: [bold]{shown(folder.folder / 'findings.jsonl')}[/bold]")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")
    if json:
        with (folder.folder / "findings.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                print_json(line)
    end_unless_judged(folder.judged, total)


def _limits(max_mb: int | None, max_pixels: int | None) -> Limits:
    from pneumoscope.imaging import DEFAULT_LIMITS, Limits

    return Limits(
        max_bytes=DEFAULT_LIMITS.max_bytes if max_mb is None else max_mb << 20,
        max_pixels=max_pixels or DEFAULT_LIMITS.max_pixels,
        options=("--max-mb", "--max-pixels"),
    )


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
    limits: Limits | None = None,
) -> FindingsFolder:
    """Explain files into a folder of findings, in the files' order, and return the folder."""
    from pneumoscope.imaging import DEFAULT_LIMITS, read_radiograph
    from pneumoscope.inference import Failed, find_in, process_in
    from pneumoscope.inference.findings_folder import FindingsFolder, digests_now

    used = engine.info.threshold if threshold is None else threshold
    settings = {"model": engine.info.model_id, "threshold": used, "gate": gate}
    folder = FindingsFolder(
        out, settings, heatmaps=heatmaps, overlays=overlays, now=digests_now(files)
    )
    folder.reuse(name for name, _ in files)
    _tell_reused(folder, total=len(files))
    todo = [(name, path) for name, path in files if name not in folder.finished]
    read = partial(read_radiograph, limits=limits or DEFAULT_LIMITS)

    def write(item: Explained | Failed) -> None:
        if isinstance(item, Failed):
            folder.add(item.finding)
        else:
            folder.add(item.finding, item.radiograph.pixels, item.heatmap)

    def written() -> Generator[object, None, None]:
        if heatmaps or overlays:
            yield from process_in(
                engine,
                todo,
                write,
                read=read,
                threshold=used,
                batch_size=batch_size,
                gate=gate,
            )
        else:
            found = find_in(
                engine,
                todo,
                read=read,
                threshold=used,
                batch_size=batch_size,
                gate=gate,
            )
            yield from map(folder.add, found)

    try:
        with progress("Reading radiographs") as update, closing(written()) as stream:
            for done, _ in enumerate(stream, start=1):
                update(done, len(todo))
    finally:
        folder.close()
    folder.finish(name for name, _ in files)
    return folder


def _tell_reused(folder: FindingsFolder, total: int) -> None:
    """Say which radiographs were finished by an earlier call, and which have changed since."""
    finished = "were finished before and have"
    if folder.reused:
        names = _some(folder.reused)
        console.print(f"{len(folder.reused)} of {total} {finished} not changed since: {names}")
    if folder.changed:
        names = _some(folder.changed)
        console.print(f"{len(folder.changed)} {finished} changed since; read again: {names}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(shown, names[:_NAMED])) + more


def _decision(finding: Finding) -> tuple[str, str]:
    """What is said of a radiograph in a line, and its probability, empty if there is none."""
    if finding.error is not None:
        return f"[red]error[/red]: {shown(finding.error)}", ""
    if finding.gate is not None and finding.gate.flagged:
        return f"[warning]not assessed[/warning]: {finding.gate.reason}", ""
    doubt = " [warning]indeterminate[/warning]" if finding.uncertain else ""
    zones = dict.fromkeys(region.zone for region in finding.regions if region.zone is not None)
    where = ", ".join(zone.replace("_", " ") for zone in zones)
    return f"{shown(finding.label)}{doubt} {where}".rstrip(), f"{finding.probability:.3f}"


def show_findings(first: Sequence[Finding], total: int, failed: int, *, wide: bool = False) -> None:
    """Print the first findings, a line each, and how many there are.

    Args:
        first: findings to print.
        total: how many there are.
        failed: how many radiographs could not be used.
        wide: whole names, and the finding in plain words with its notes.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(header_style="dim", box=SIMPLE_HEAD, pad_edge=False)
    names = [one.image if wide else shortened(one.image, console.width * 2 // 5) for one in first]
    # The last column alone gives way where the terminal is narrow.
    widest = max(map(len, names), default=0)
    table.add_column("radiograph", no_wrap=True, min_width=widest)
    table.add_column("prob.", justify="right", no_wrap=True, min_width=_DIGITS)
    left = None if wide else max(console.width - widest - _BESIDE, _SHORTEST)
    table.add_column("finding", no_wrap=True, overflow="ellipsis", max_width=left)
    for name, finding in zip(names, first, strict=True):
        decision, probability = _decision(finding)
        if wide and finding.summary is not None:
            decision = shown(" ".join([finding.summary, *finding.notes]))
        table.add_row(shown(name), probability, decision)
    if wide:
        print_whole(table)
    else:
        console.print(table)
    if total > len(first):
        console.print(f"... and {total - len(first)} more")
    if failed:
        errors.print(f"[warning]{failed} of {total} files could not be used[/warning]")
