"""`pneumoscope join`: several cohorts as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, quoted, shown
from pneumoscope.extras import require


def join(
    manifests: Annotated[list[Path], typer.Argument(help="Two or more manifests.")],
    out: Annotated[Path, typer.Option(help="Manifest to write.")] = Path("joint.csv"),
    force: options.ForceManifest = False,
) -> None:
    """Join cohorts into one manifest to train on; every radiograph keeps its split.

    Patients of different cohorts stay apart, unless they share a file. The column
    [bold]cohort[/bold] names the origin. A file that an earlier cohort holds already is excluded,
    and so are other radiographs of its patient that are in another split there.

    [dim]Examples:[/dim]
      pneumoscope join children.csv adults.csv --out joint.csv
      pneumoscope train joint.csv
    """
    require("evaluate", "join")
    from pneumoscope.cohort.join import join as run
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.cohort.sidecar import sidecar_path
    from pneumoscope.files import new_file

    # A JSON file of that name may hold boxes or metrics.
    for written in (out, sidecar_path(out)):
        new_file(written, replace=force)
    joined = run([(path.stem, Manifest.read(path)) for path in manifests])
    joined.write(out)
    counts = joined.table.value_counts(["cohort", "split"], sort=False).reset_index()
    for cohort, split, count in counts.itertuples(index=False):
        console.print(f"{shown(cohort)}  {split:<9}{count:>7}")
    console.print(f"Manifest: [bold]{shown(out)}[/bold]   Next: pneumoscope train {quoted(out)}")
