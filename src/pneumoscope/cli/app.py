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
from pneumoscope.cli import (
    audit,
    average,
    benchmark,
    calibrate,
    card,
    check_gate,
    check_lungs,
    compare,
    demo,
    dicom_fetch,
    dicom_node,
    ensemble,
    evaluate,
    explain,
    export,
    join,
    phantom,
    predict,
    scan,
    serve,
    train,
    train_atlas,
    train_gate,
    train_lungs,
    weights,
)
from pneumoscope.cli.console import errors, let_print_anything, shown
from pneumoscope.cli.quiet import with_quiet
from pneumoscope.errors import PneumoscopeError
from pneumoscope.extras import missing_library

BAD_INPUT = 2
# What typer exits with after Ctrl-C.
_INTERRUPTED = 130

app = typer.Typer(
    name="pneumoscope",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Learns [bold]where[/bold] pneumonia is on a chest radiograph from labels that only say "
    "[bold]whether[/bold] it is there. Research software, not a medical device.",
    epilog="A first look: [bold]pneumoscope demo[/bold]. With your own radiographs: "
    "[bold]scan[/bold], [bold]train[/bold], [bold]evaluate[/bold], [bold]predict[/bold].",
)
for _panel, _commands in (
    (
        "Your radiographs",
        (
            scan.scan,
            join.join,
            train.train,
            average.average,
            ensemble.ensemble,
            evaluate.evaluate,
            calibrate.calibrate,
            compare.compare,
            predict.predict,
            serve.serve,
            export.export,
            dicom_fetch.dicom_fetch,
        ),
    ),
    ("Can it be trusted?", (explain.explain, audit.audit, card.card)),
    ("Without data", (demo.demo, phantom.phantom, benchmark.benchmark)),
    (
        "Lungs and their density",
        (train_lungs.train_lungs, check_lungs.check_lungs, train_atlas.train_atlas),
    ),
    ("The input gate", (train_gate.train_gate, check_gate.check_gate)),
):
    for _command in _commands:
        app.command(rich_help_panel=_panel)(with_quiet(_command))


app.add_typer(dicom_node.app, name="dicom-node", rich_help_panel="Your radiographs")
app.add_typer(weights.app, name="weights", rich_help_panel="Your radiographs")


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
    errors.print(f"[warning]warning:[/warning] {shown(message)}")


def _fail(message: str) -> None:
    errors.print(f"[bold red]error:[/bold red] {shown(message)}")
    sys.exit(BAD_INPUT)
