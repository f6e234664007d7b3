"""What the commands share: the terminal, what it says in the same words, progress bars."""

from __future__ import annotations

import gc
import io
import logging
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from pneumoscope.names import plain

NOTHING_JUDGED = 3
"""Exit code of a command that could not judge any of the files it was given."""
NOT_FOR_DIAGNOSIS = "Research use only. Not a medical device; not for diagnosis."

_UNBOUNDED = 1000


class _Console(Console):
    """A console on which no text can move the cursor, ring the bell or turn the line around."""

    def render_str(self, text: str, **options: Any) -> Text:
        """As of rich, without the control characters that names of files may hold."""
        lines = (plain(line) for line in text.split("\n"))
        return super().render_str("\n".join(lines), **options)


# Yellow cannot be read on white.
_THEME = Theme({"warning": "dark_orange3"})
console = _Console(highlight=False, emoji=False, theme=_THEME)
errors = _Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, theme=_THEME)


def shortened(path: str, width: int) -> str:
    """A path of at most `width` characters: the end is kept, then the start, and `…` between."""
    if len(path) <= width:
        return path
    name = path.rpartition("/")[2]
    tail = min(max(len(name) + 1, width // 2), width - 1, max(width * 3 // 4, 1))
    return f"{path[: width - tail - 1]}…{path[-tail:]}"


def print_whole(table: Table) -> None:
    """Print a table as wide as it is, even where the terminal is narrower."""
    widest = console.options.update(max_width=_UNBOUNDED)
    width = max(console.measure(table, options=widest).maximum, console.width)
    wide = _Console(highlight=False, emoji=False, theme=_THEME, width=width, quiet=console.quiet)
    wide.print(table)


def print_json(text: str) -> None:
    """Print JSON on stdout, where nothing else goes then: no colour, no wrapping."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def shown(value: object) -> str:
    """A file's name, a path or an error inside text that may have markup: one line, taken as it is.

    For `markup=False`, `names.plain` does the same.
    """
    return escape(plain(value))


def quoted(path: object) -> str:
    """As `shown`, for a command that is to be copied: in quotes where a shell needs them."""
    return shown(shlex.quote(str(path)))


def warn(sentence: object) -> None:
    """Print a warning on stderr: one line, also with `--quiet`."""
    errors.print(f"[warning]warning:[/warning] {shown(sentence)}")


def tell_left_out(files: Iterable[tuple[str, str]]) -> None:
    """Print on stderr which files were left out, and why."""
    for name, reason in files:
        errors.print(f"[warning]left out[/warning] {shown(name)}: {shown(reason)}")


def tell_run(folder: Path) -> None:
    """Print where the bundle and the report of a run are."""
    bundle, report = shown(folder / "bundle"), shown(folder / "report.html")
    console.print(f"Bundle: [bold]{bundle}[/bold]   Report: {report}")


def tell_epoch(figures: Mapping[str, str], row: Mapping[str, float]) -> None:
    """Print the figures of an epoch on stderr.

    Args:
        figures: what each is called, and its name in the row.
        row: with the epoch, from 0, and its seconds.
    """
    said = ", ".join(f"{name} {row[key]:.4f}" for name, key in figures.items())
    report_progress(f"epoch {int(row['epoch']) + 1}: {said}, {row['seconds']:.0f} s")


def disclaim() -> None:
    """Print that this is research software, the last line of what a command found."""
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")


def let_print_anything() -> None:
    """Characters that the terminal's encoding lacks are printed as escapes, and end nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def log_to_terminal() -> None:
    """Our own messages from INFO on, other libraries' from WARNING on, to stderr with the time."""
    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING
    )
    logging.getLogger("pneumoscope").setLevel(logging.INFO)


def end_unless_judged(judged: int, files: int) -> None:
    """End with `NOTHING_JUDGED` if none of the files could be judged.

    Raises:
        typer.Exit: there is none.
    """
    if not judged:
        errors.print(f"[warning]None of {files} files could be assessed.[/warning]")
        raise typer.Exit(NOTHING_JUDGED)


def collect(paths: Iterable[str]) -> list[tuple[str, Path]]:
    """As `imaging.collecting.collect`; files that are no radiographs are counted on stderr."""
    from pneumoscope.imaging import collecting

    files, passed_over = collecting.collect(paths)
    if passed_over:
        errors.print(passed_over, markup=False, style="dim")
    return files


@contextmanager
def starting() -> Iterator[None]:
    """No search for garbage meanwhile: what is imported and loaded stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Rate(ProgressColumn):
    """How many are done in a second, or how long one takes."""

    def render(self, task: Task) -> Text:
        """`12.3/s` or `4.5 s each`; nothing at the start."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


def report_progress(line: str) -> None:
    """Print a line about a step that is done on stderr; nothing with `--quiet`."""
    if not console.quiet:
        errors.print(plain(line), markup=False)


@contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; yields a function of (done, total).

    It appears with the first call and goes when all is done, so that what follows inside the
    context may show a bar of its own.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=errors, transient=True, disable=console.quiet)
    task = bar.add_task(description, total=None)

    def update(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)
        if done >= total:
            bar.stop()

    try:
        yield update
    finally:
        bar.stop()
