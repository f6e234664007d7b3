"""Command lines, run in this process: importing takes longer than most of them."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pneumoscope.cli import main


def pneumoscope(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `pneumoscope` does with the arguments: its exit code, and what it prints."""
    return called(main, "pneumoscope", *arguments, cwd=cwd)


def script(file: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What `python FILE` does with the arguments; it finds the modules beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(file.parent))
        return called(partial(runpy.run_path, str(file), run_name="__main__"), file, *arguments)


def called(
    program: Callable[[], object], *words: object, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What a program does that takes its arguments from `sys.argv`."""
    line = list(map(str, words))
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd or Path.cwd()),
        # Also puts back how warnings are shown.
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", line)
        patch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")  # As `main` does, for good.
        try:
            program()
        except SystemExit as stop:
            # As Python ends: a text is an error's, and is printed.
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            if isinstance(stop.code, str):
                err.write(stop.code)
        except Exception:
            traceback.print_exc()
            code = 1
    return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())
