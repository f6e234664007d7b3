"""Command line: one file per command, the only place where the rooms are wired together.

Enters: arguments. Leaves: files, and tables in the terminal.
May import: every room but models and localize; typer, rich. Heavy rooms are imported inside the
commands: `--help` is quick.
"""

from pneumoscope.cli.app import app, main

__all__ = ["app", "main"]
