"""`--quiet`, which every command has: results go to files, and only problems to the terminal."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from pneumoscope.cli.console import console

_Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print warnings and errors alone, and no progress."),
]


def with_quiet(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option `--quiet`, which it need not know of."""
    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(
        "quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Quiet
    )
    options = [*signature.parameters.values(), option]

    @functools.wraps(command)
    def run(*arguments: Any, quiet: bool = False, **others: Any) -> None:
        # With `--json` stdout holds the result alone.
        console.quiet = quiet or bool(others.get("json"))
        try:
            command(*arguments, **others)
        finally:
            # Whoever calls commands from Python hears the next one.
            console.quiet = False

    # What typer reads.
    run.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in options} | {"return": None}
    return run
