"""What the commands share: the terminal, progress bars, tables of figures."""

from __future__ import annotations

import gc
import io
import logging
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
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

if TYPE_CHECKING:
    from pneumoscope.report.card_tables import CardTable

NOTHING_JUDGED = 3
"""Exit code of a command that could not judge any of the files it was given."""
NOT_FOR_DIAGNOSIS = "Research use only. Not a medical device; not for diagnosis."

_UNBOUNDED = 1000
_LUNG_SCORES = ("dice", "iou", "plausible")
_LOCALIZATION = (
    "peak_in_box", "area_matched", "mean_iou@0.5", "mean_iou", "energy_in_lungs", "peak_in_lungs",
)  # fmt: skip
# What fits beside a method's whole name in 80 columns.
_NARROW, _FIGURE = 3, 7


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


def figures_table(
    title: str, figures: Mapping[str, Mapping[str, Any]], names: Mapping[str, str] | None = None
) -> Table:
    """A table of figures with 95 % intervals; `names` replaces the metrics' friendly names."""
    names = names or {}
    from pneumoscope.report.numbers import figure_text, metric_name

    table = Table(header_style="dim")
    table.add_column(shown(title), header_style="bold")
    table.add_column("value (95 % interval)", justify="right")
    for name, interval in figures.items():
        table.add_row(names.get(name) or metric_name(name), figure_text(interval))
    return table


def confusion_line(confusion: Mapping[str, int]) -> str:
    """Confusion counts as one line."""
    return "  ".join(f"{key.upper()} {confusion[key]}" for key in ("tn", "fp", "fn", "tp"))


def show_metrics(title: str, metrics: Mapping[str, Any], *, wide: bool = False) -> None:
    """Print the figures of `metrics.json`."""
    console.print(figures_table(title, metrics["classification"]))
    console.print(
        f"{metrics['n']} radiographs of {metrics['n_patients']} patients   "
        f"{confusion_line(metrics['confusion'])}   threshold {metrics['threshold']:.3f}"
    )
    if metrics.get("localization"):
        table = localization_table(metrics, wide=wide)
        if wide:
            print_whole(table)
        else:
            console.print(table)


def show_overlap(metrics: Mapping[str, Any]) -> None:
    """Print what the cohort shares with the radiographs that the model was trained on."""
    from pneumoscope.report.overlap import overlap_sentences, overlap_table

    found = overlap_table(metrics)
    if found is not None:
        table = Table(header_style="dim")
        for column in found.columns:
            table.add_column(column, overflow="fold")
        for line in found.lines:
            table.add_row(*line)
        console.print(table)
    for sentence in overlap_sentences(metrics):
        errors.print(sentence, style="warning", markup=False)


def localization_table(metrics: Mapping[str, Any], *, wide: bool = False) -> Table:
    """Heatmap methods and baselines in lines, the main localization figures in columns.

    Args:
        metrics: the content of `metrics.json`.
        wide: all columns with their intervals; else the first three, as fit into 80 characters.
    """
    from pneumoscope.report.numbers import interval_text, method_name, metric_name, number_text

    localization, details = metrics["localization"], metrics["localization_details"]
    own = metrics["localization_method"]
    columns = [name for name in _LOCALIZATION if name in localization[own]]
    columns = columns if wide else columns[:_NARROW]
    caption = None if wide else "95 % intervals and further figures: --wide, or the report"
    table = Table(
        header_style="dim", box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left"
    )
    title = shown(f"Heatmap, {details['slice']}")
    table.add_column(title, header_style="bold", no_wrap=True)
    for name in columns:
        table.add_column(metric_name(name), justify="right", max_width=None if wide else _FIGURE)
    for method, figures in localization.items():
        title, baseline = method_name(method)
        style = "bold" if method == own else "dim" if baseline else ""
        found = (figures[name] for name in columns)
        texts = (interval_text(one) if wide else number_text(one["value"]) for one in found)
        table.add_row(shown(title), *texts, style=style)
    return table


def show_lung_figures(title: str, figures: dict[str, Any]) -> None:
    """Print the figures and those of their groups."""
    table = Table(title=shown(title), title_justify="left", header_style="dim")
    table.add_column("")
    for name in ("films", "patients", "Dice", "IoU", "plausible"):
        table.add_column(name, justify="right", no_wrap=True)
    groups: dict[str, Any] = next(iter(figures.get("by", {}).values()), {})
    for name, part in {"all": figures, **groups}.items():
        numbers = [_lung_text(part[score]) for score in _LUNG_SCORES]
        table.add_row(shown(name), str(part["n"]), str(part["n_patients"]), *numbers)
    console.print(table)


def _lung_text(interval: dict[str, float | None]) -> str:
    value, low, high = interval["value"], interval["low"], interval["high"]
    if low is None or high is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f}–{high:.3f})".replace("0.", ".")


def show_table(table: CardTable) -> None:
    """Print a table of the model card."""
    title, caption = shown(table.title), shown(table.words)
    printed = Table(title=title, caption=caption, header_style="dim", title_justify="left")
    for column in table.columns:
        printed.add_column(shown(column), overflow="fold")
    for line in table.lines:
        printed.add_row(*map(shown, line))
    console.print(printed)
