"""`pneumoscope predict`: findings, heatmaps and overlays for radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import (
    collect,
    console,
    disclaim,
    end_unless_judged,
    errors,
    print_json,
    print_whole,
    progress,
    shortened,
    shown,
    starting,
)
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.findings import Finding
    from pneumoscope.imaging import Limits
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
    bundle: options.Bundle = Path("default"),
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
        Literal[options.EngineChoice, "ray"],
        typer.Option(
            help="onnxruntime or openvino for exported files, torch for folders; ray: several "
            "processes or machines, findings only."
        ),
    ] = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
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
    wide: options.Wide = False,
    json: options.Json = False,
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
    from pneumoscope.bundles import finding_folders

    kinds = _kinds(dicom_output) if output == "dicom" else ()
    _check_belongs("--deidentify", deidentify, "--format dicom", wanted=bool(kinds))
    _check_belongs("--workers", workers, "--engine ray", wanted=engine == "ray")
    _check_belongs("--ray-address", ray_address, "--engine ray", wanted=engine == "ray")
    if engine == "ray":
        _check_for_ray(kinds=kinds, json=json, limited=max_mb is not None or max_pixels is not None)
    several = {f"{out.rstrip('/')}/{one.name}": one for one in finding_folders(bundle)}
    # Each finding of a run has a bundle of its own, which reads the radiographs anew.
    for folder, model in (several or {out: bundle}).items():
        if several:
            console.print(f"Finding: [bold]{shown(model.name)}[/bold]")
        if engine == "ray":
            from pneumoscope.cli.archive import predict_archive
            from pneumoscope.scale import ArchiveSettings

            settings = ArchiveSettings(
                workers=workers,
                threads=threads or 1,
                batch_size=batch_size,
                unit=part_size,
                address=ray_address,
                gate=gate,
            )
            predict_archive(
                paths, model, folder, threshold=threshold, precision=precision, settings=settings
            )
            continue
        with starting():
            from pneumoscope.inference import load_engine, streams_for

            files = collect(paths)
            runs = load_engine(
                model,
                engine=engine,
                precision=precision,
                threads=threads,
                batch_size=batch_size,
                expected=len(files),
                streams=streams_for(len(files), threads),
            )
            if kinds:
                from pneumoscope.dicom.predicting import predict_objects

                find = partial(predict_objects, kinds=dicom_output, key=deidentify)
            else:
                from pneumoscope.inference.predicting import predict_files

                find = partial(predict_files, heatmaps=heatmaps, overlays=overlays)
        console.print(f"[dim]Computed by {runs.runtime}.[/dim]")
        with progress("Reading radiographs") as update:
            found = find(
                runs,
                files,
                Path(folder),
                threshold=threshold,
                batch_size=batch_size,
                gate=gate,
                limits=_limits(max_mb, max_pixels),
                begun=partial(tell_reused, total=len(files)),
                progress=update,
            )
        if kinds:
            objects = shown(found.folder / "objects")
            console.print(f"Objects: [bold]{objects}[/bold] ({', '.join(kinds)})")
        elif overlays and found.judged:
            console.print(f"Overlays: [bold]{shown(found.folder / 'overlays')}[/bold]")
        _show(found, len(files), wide=wide, json=json)


def _kinds(text: str) -> tuple[str, ...]:
    """The kinds of DICOM objects to write; at least one."""
    require("hospital", "DICOM output")
    from pneumoscope.dicom.objects import parse_kinds

    return parse_kinds(text)


def _check_belongs(option: str, value: object, to: str, *, wanted: bool) -> None:
    """Refuse an option that would be passed over without a word."""
    if value is not None and not wanted:
        raise SettingsError(
            f"{option} does nothing without {to}", remedy=f"add {to}, or leave {option} out"
        )


def _check_for_ray(*, kinds: Sequence[str], json: bool, limited: bool) -> None:
    """See that Ray is there, and that nothing is asked for that its workers do not do.

    Raises:
        SettingsError: something is.
        MissingExtra: Ray is not installed.
    """
    if kinds:
        raise SettingsError(
            "--engine ray writes findings alone", remedy="leave --engine or --format out"
        )
    if json:
        raise SettingsError("--engine ray writes Parquet", remedy="leave --json out")
    if limited:
        raise SettingsError(
            "--engine ray has fixed limits for radiographs",
            remedy="leave --max-pixels and --max-mb out, or choose another --engine",
        )
    require("scale", "--engine ray")


def _limits(max_mb: int | None, max_pixels: int | None) -> Limits:
    from pneumoscope.imaging import DEFAULT_LIMITS, Limits

    return Limits(
        max_bytes=DEFAULT_LIMITS.max_bytes if max_mb is None else max_mb << 20,
        max_pixels=max_pixels or DEFAULT_LIMITS.max_pixels,
        options=("--max-mb", "--max-pixels"),
    )


def _show(folder: FindingsFolder, total: int, *, wide: bool, json: bool) -> None:
    """Print the findings of this call; end with `NOTHING_JUDGED` if no file could be judged."""
    # The folder's file begins with them; those of earlier calls follow.
    show_findings(folder.first(min(_SHOWN, total)), total, folder.failed, wide=wide)
    if folder.flagged:
        reasons = ", ".join(f"{n} {reason}" for reason, n in folder.flagged.most_common())
        errors.print(
            f"[warning]{folder.flagged.total()} of {total} not assessed: not a frontal chest "
            f"radiograph ({reasons})[/warning]"
        )
    console.print(f"Findings: [bold]{shown(folder.folder / 'findings.jsonl')}[/bold]")
    disclaim()
    if json:
        with (folder.folder / "findings.jsonl").open(encoding="utf-8") as lines:
            for line in islice(lines, total):
                print_json(line)
    end_unless_judged(folder.judged, total)


def tell_reused(folder: FindingsFolder, total: int) -> None:
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
    (print_whole if wide else console.print)(table)
    if total > len(first):
        console.print(f"... and {total - len(first)} more")
    if failed:
        errors.print(f"[warning]{failed} of {total} files could not be used[/warning]")
