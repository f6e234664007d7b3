"""`pneumoscope weights`: what backbones start from, for machines without a network too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from pneumoscope.cli.console import console, errors, print_whole, shown
from pneumoscope.cli.quiet import with_quiet
from pneumoscope.errors import PneumoscopeError, SettingsError
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.training.starts import Start

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List, fetch and check the weights that backbones start from.",
)
_SOME_FAILED = 1

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Backbones, as of train; else the registered eight."),
]


def list_weights(
    names: NamesArgument = None,
    folder: Annotated[
        Path | None,
        typer.Option("--in", help="Look in this folder, not in the hub's cache."),
    ] = None,
) -> None:
    """List weights: source, licence, and whether they are on this machine.

    Nothing is downloaded. On a machine without a network, copy the missing files into a folder
    under the names shown and give it as [bold]--weights FOLDER[/bold].

    [dim]Examples:[/dim]
      pneumoscope weights list
      pneumoscope weights list convnext_tiny resnet34.a1_in1k --in weights
    """
    _require(names)
    from pneumoscope.training.starts import starts

    columns = ("backbone", "weights", "licence", "on this machine", "file in a folder")
    folded = (Column(name, overflow="fold") for name in columns)
    table = Table(*folded, header_style="dim", show_edge=False)
    for one in starts(names or (), folder):
        table.add_row(
            shown(one.backbone), shown(one.source), shown(one.licence), _where(one), one.file or "-"
        )
    print_whole(table)


def fetch(
    names: NamesArgument = None,
    to: Annotated[Path, typer.Option(help="Folder that the files are copied into.")] = Path(
        "weights"
    ),
    all_: Annotated[bool, typer.Option("--all", help="Every registered backbone.")] = False,
) -> None:
    """Download weights from the Hugging Face hub into a folder.

    Copy the folder to a machine without a network and give it as [bold]--weights FOLDER[/bold] to
    train or compare. If one cannot be fetched the others are, and the exit code is 1.

    [dim]Examples:[/dim]
      pneumoscope weights fetch --all --to weights
      pneumoscope weights fetch convnext_tiny vit_small_patch14_dinov2 --to weights
    """
    if not names and not all_:
        raise SettingsError("no backbone was given", remedy="name backbones, or give --all")
    _require(names)
    from pneumoscope.training.starts import fetch as fetch_one

    to.mkdir(parents=True, exist_ok=True)
    _each(names, lambda name: str(fetch_one(name, to)))


def check(
    place: Annotated[Path, typer.Argument(help="A file, or a folder of weights fetch.")],
    names: NamesArgument = None,
) -> None:
    """Check that weights can be read and fit their backbones; print each file's SHA-256.

    Exit code 1 if a file is missing or does not fit.

    [dim]Examples:[/dim]
      pneumoscope weights check weights
      pneumoscope weights check xray.safetensors densenet121
    """
    if not place.exists():
        raise SettingsError(
            "no such file or folder", path=place, remedy="check the path; `weights fetch` makes one"
        )
    if place.is_file() and not names:
        raise SettingsError(
            "a file is checked against a backbone", path=place, remedy="name the backbone after it"
        )
    _require(names)
    from pneumoscope.training.starts import check as check_one

    def checked(name: str) -> str:
        file, digest = check_one(name, place)
        return f"fits, {file}, SHA-256 {digest}"

    _each(names, checked)


app.command("list")(with_quiet(list_weights))
app.command()(with_quiet(fetch))
app.command()(with_quiet(check))


def _each(names: list[str] | None, task: Callable[[str], str]) -> None:
    """Do something for every backbone and print a line for each; a failure does not stop others."""
    from pneumoscope.bundles.backbones import BACKBONES

    failed = False
    for name in names or BACKBONES:
        try:
            console.print(f"{shown(name)}: {shown(task(name))}", soft_wrap=True)
        except PneumoscopeError as error:
            failed = True
            errors.print(f"[red]failed[/red] {shown(name)}: {shown(error)}")
    if failed:
        raise typer.Exit(_SOME_FAILED)


def _require(names: list[str] | None) -> None:
    """Check names before torch is imported, and that torch is there."""
    from pneumoscope.bundles.backbones import check_backbone

    for name in names or ():
        check_backbone(name)
    require("train", "weights")


def _where(start: Start) -> str:
    if start.place is not None:
        return "yes"
    return "missing" if start.file else "no known weights"
