"""`pneumoscope train-atlas`: the atlas of the density factor, from normal radiographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, progress, shown
from pneumoscope.extras import require


def train_atlas(
    cohort: Annotated[Path, typer.Argument(help="Manifest of scan or join.")],
    children: Annotated[
        list[str] | None,
        typer.Option(metavar="COHORT", help="A joined cohort of children; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    out: Annotated[Path, typer.Option(help="NPZ file to write.")] = Path("atlas.npz"),
    force: options.Force = False,
) -> None:
    """Make the atlas of normal lungs that the density factor compares radiographs with.

    It takes the negative radiographs of the train split, at most 500 of each source of adults and
    900 of children. Nothing is learned from positive radiographs or lesion annotations.

    [dim]Example:[/dim]
      pneumoscope train-atlas joint.csv --children kermany --out atlas.npz
    """
    require("train", "making the atlas")
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.density import write_atlases
    from pneumoscope.files import new_file
    from pneumoscope.training.atlas import make_atlases

    new_file(out, replace=force)
    manifest = Manifest.read(cohort)
    with progress("Decoding radiographs") as decoding, progress("Finding lungs") as lungs:
        atlases = make_atlases(manifest, children or [], seed=seed, decoding=decoding, lungs=lungs)
    write_atlases(out, atlases)
    console.print(f"Atlas of {' and '.join(atlases)}: [bold]{shown(out)}[/bold]")
