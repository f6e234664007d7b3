"""`pneumoscope dicom-node status`, `retry`, `drop`: what waits in the queue of a node."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from pneumoscope.cli.console import console, shown
from pneumoscope.errors import SettingsError

DEFAULT_QUEUE = Path("dicom-queue")
QueueOption = Annotated[Path, typer.Option(help="Folder of the queue.")]
WhatArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="WHAT...",
        help="A state (undeliverable, uncommitted, quarantine, results, accepted), or the first "
        "digits of a radiograph's key.",
    ),
]


def status(
    queue: QueueOption = DEFAULT_QUEUE,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what waits in a queue, and what is wrong with the destination.

    [dim]Example:[/dim]
      pneumoscope dicom-node status --queue /var/queue
    """
    from pneumoscope.dicom.node.survey import last_status

    now = last_status(queue)
    if as_json:
        console.print_json(data=now)
        return
    from rich.table import Column, Table

    from pneumoscope.dicom.node.page import WORDS, age

    numbers = (Column(name, justify="right") for name in ("films", "files", "oldest"))
    table = Table("state", *numbers, "what", header_style="dim")
    for state, value in now["waiting"].items():
        oldest = age(value["oldest_seconds"])
        table.add_row(state, str(value["films"]), str(value["files"]), oldest, WORDS[state])
    console.print(table)
    if "node" not in now:
        console.print("No node runs on this queue.")
        return
    console.print(f"{shown(now['node'])} runs since {age(time.time() - now['since'])}.")
    for problem in now["problems"]:
        console.print(f"[red]{shown(problem)}[/red]")
    trouble = now["trouble"]
    if trouble is not None:
        since = age(time.time() - trouble["since"])
        remedy = trouble["remedy"][:1].upper() + trouble["remedy"][1:]
        console.print(
            f"[red]{shown(now['destination'])}: {shown(trouble['problem'])}, for {since}.[/red] "
            f"{shown(remedy)}."
        )


def retry(what: WhatArgument, queue: QueueOption = DEFAULT_QUEUE) -> None:
    """Send again what was given up, or read a radiograph again that the model failed on.

    [dim]Examples:[/dim]
      pneumoscope dicom-node retry undeliverable --queue /var/queue
      pneumoscope dicom-node retry 3f9ac1 --queue /var/queue
    """
    _ask("retry", what, queue, "put back")


def drop(
    what: WhatArgument,
    queue: QueueOption = DEFAULT_QUEUE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete radiographs or objects from a queue. They are gone for good.

    [dim]Example:[/dim]
      pneumoscope dicom-node drop undeliverable --queue /var/queue
    """
    if not yes:
        typer.confirm(f"Delete {', '.join(what)} from {queue}?", abort=True)
    _ask("drop", what, queue, "deleted")


def _ask(action: Literal["retry", "drop"], what: list[str], queue: Path, done: str) -> None:
    from pneumoscope.dicom.node.clerk import ask

    number = ask(queue, action, what)
    console.print(f"{number} files {done}.")
    if not number:
        raise SettingsError(
            f"nothing to {action} that is called {', '.join(what)}",
            remedy="see `pneumoscope dicom-node status`; a key needs 6 digits or more",
        )
