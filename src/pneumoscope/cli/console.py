"""What the commands share: the terminal, progress bars, tables of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

NOT_FOR_DIAGNOSIS = "Research use only. Not a medical device; not for diagnosis."

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


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
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=errors, transient=True)
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
    table.add_column(title, header_style="bold")
    table.add_column("value (95 % interval)", justify="right")
    for name, interval in figures.items():
        table.add_row(names.get(name) or metric_name(name), figure_text(interval))
    return table


def confusion_line(confusion: Mapping[str, int]) -> str:
    """Confusion counts as one line."""
    return "  ".join(f"{key.upper()} {confusion[key]}" for key in ("tn", "fp", "fn", "tp"))


def show_metrics(title: str, metrics: Mapping[str, Any]) -> None:
    """Print the figures of `metrics.json`."""
    console.print(figures_table(title, metrics["classification"]))
    console.print(
        f"{metrics['n']} radiographs of {metrics['n_patients']} patients   "
        f"{confusion_line(metrics['confusion'])}   threshold {metrics['threshold']:.3f}"
    )
    localization = metrics.get("localization")
    if localization:
        methods = {k: v["peak_in_lesion"] for k, v in localization.items() if isinstance(v, dict)}
        names = {"gradcam": "Peak of the Grad-CAM heatmap", "random": "Random point"}
        title = f"On the lesion, of {localization['n_true_positives']} true positives"
        console.print(figures_table(title, methods, names))
