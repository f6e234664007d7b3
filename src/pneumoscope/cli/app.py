"""The command `pneumoscope`: its subcommands, and how errors reach people."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import warnings
from typing import Annotated

import typer

from pneumoscope import __version__
from pneumoscope.cli.commands import Commands
from pneumoscope.cli.console import errors, let_print_anything, shown, warn
from pneumoscope.errors import PneumoscopeError
from pneumoscope.extras import missing_library

BAD_INPUT = 2
# What typer exits with after Ctrl-C.
_INTERRUPTED = 130

app = typer.Typer(
    name="pneumoscope",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Learns [bold]where[/bold] pneumonia is on a chest radiograph from labels that only say "
    "[bold]whether[/bold] it is there. Research software, not a medical device.",
    epilog="A first look: [bold]pneumoscope demo[/bold]. With your own radiographs: "
    "[bold]scan[/bold], [bold]train[/bold], [bold]evaluate[/bold], [bold]predict[/bold].",
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"pneumoscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command line; every foreseen problem is one line and exit code 2."""
    let_print_anything()
    warnings.showwarning = _show_warning
    # Looking for plugins of pydantic among all packages takes longer than loading a model.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Python looks for garbage when it ends, in all that dies with it anyway: a tenth of a second.
    atexit.register(gc.freeze)
    try:
        app()
    except PneumoscopeError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if (absent := missing_library(error)) is None:
            raise
        _fail(str(absent))
    except SystemExit as stop:
        if stop.code != _INTERRUPTED:
            raise
        _fail("interrupted; what was finished is kept")
    except OSError as error:
        # Whatever the system says of a file concerns the user; without one it may be a defect.
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        where = "output" if error.filename is None else error.filename
        _fail(f"{where}: {error.strerror or error}. Check the path, free space and permissions")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as people read it: one line, without the place in the code."""
    warn(message)


def _fail(message: str) -> None:
    errors.print(f"[bold red]error:[/bold red] {shown(message)}")
    sys.exit(BAD_INPUT)
