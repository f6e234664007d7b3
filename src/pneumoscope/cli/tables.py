"""Tables of figures in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from pneumoscope.cli.console import console, errors, print_whole, shown

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.report.card_tables import CardTable

_LUNG_SCORES = ("dice", "iou", "plausible")
_LOCALIZATION = (
    "peak_in_box", "area_matched", "mean_iou@0.5", "mean_iou", "energy_in_lungs", "peak_in_lungs",
)  # fmt: skip
# What fits beside a method's whole name in 80 columns.
_NARROW, _FIGURE = 3, 7
_MORE = "95 % intervals and further figures: --wide, or the report"


def show_metrics(title: str, metrics: Mapping[str, Any], *, wide: bool = False) -> None:
    """Print the figures of `metrics.json`."""
    from pneumoscope.report.numbers import figure_text, metric_name
    from pneumoscope.report.subgroups import COLUMNS, WORDS, subgroup_lines

    value = Column("value (95 % interval)", justify="right")
    table = Table(Column(shown(title), header_style="bold"), value, header_style="dim")
    for name, interval in metrics["classification"].items():
        table.add_row(metric_name(name), figure_text(interval))
    console.print(table)
    counts = (f"{key.upper()} {metrics['confusion'][key]}" for key in ("tn", "fp", "fn", "tp"))
    console.print(
        f"{metrics['n']} radiographs of {metrics['n_patients']} patients   "
        f"{'  '.join(counts)}   threshold {metrics['threshold']:.3f}"
    )
    if lines := subgroup_lines(metrics, intervals=wide):
        caption = WORDS if wide else f"{WORDS} {_MORE}"
        groups = Table(header_style="dim", caption=caption, caption_justify="left")
        _print_lines(groups, COLUMNS, lines)
    if metrics.get("localization"):
        (print_whole if wide else console.print)(localization_table(metrics, wide=wide))


def runs_table(
    title: str, rows: Iterable[tuple[str, Mapping[str, Any]]], names: Sequence[str]
) -> Table:
    """A line for each run (its name and its figures), with the figures `names` in columns."""
    from pneumoscope.report.numbers import interval_text, metric_name

    columns = (Column(metric_name(name), justify="right") for name in names)
    table = Table(Column(title, header_style="bold"), *columns, header_style="dim")
    for name, figures in rows:
        table.add_row(shown(name), *(interval_text(figures[one]) for one in names))
    return table


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
    caption = None if wide else _MORE
    table = Table(
        header_style="dim", box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left"
    )
    table.add_column(_measured_on(details, own), header_style="bold", no_wrap=True)
    for name in columns:
        table.add_column(metric_name(name), justify="right", max_width=None if wide else _FIGURE)
    for method, figures in localization.items():
        title, baseline = method_name(method)
        style = "bold" if method == own else "dim" if baseline else ""
        found = (figures[name] for name in columns)
        texts = (interval_text(one) if wide else number_text(one["value"]) for one in found)
        table.add_row(shown(title), *texts, style=style)
    return table


def _measured_on(details: Mapping[str, Any], own: str) -> str:
    """How many true positives the figures are of; none explains why there are none."""
    report = details["methods"][own]
    # Where only lungs were measured there is one slice, and the counts stand by themselves.
    n = report.get("slices", {}).get("true_positives", report)["n"]
    half = f", {details['slice']}" if details["slice"] == "test half" else ""
    return f"{n:,} true positive{'s' * (n != 1)}{half}"


def show_overlap(metrics: Mapping[str, Any]) -> None:
    """Print what the cohort shares with the radiographs that the model was trained on."""
    from pneumoscope.report.overlap import overlap_sentences, overlap_table

    found = overlap_table(metrics)
    if found is not None:
        _print_lines(Table(header_style="dim"), found.columns, found.lines)
    for sentence in overlap_sentences(metrics):
        errors.print(sentence, style="warning", markup=False)


def show_card(tables: Iterable[CardTable]) -> None:
    """Print the tables of a model card."""
    for one in tables:
        title, caption = shown(one.title), shown(one.words)
        table = Table(title=title, caption=caption, header_style="dim", title_justify="left")
        _print_lines(table, one.columns, one.lines)


def _print_lines(table: Table, columns: Iterable[str], lines: Iterable[Iterable[str]]) -> None:
    for column in columns:
        table.add_column(shown(column), overflow="fold")
    for line in lines:
        table.add_row(*map(shown, line))
    console.print(table)


def show_lung_figures(title: str, figures: dict[str, Any]) -> None:
    """Print the figures and those of their groups."""
    table = Table("", title=shown(title), title_justify="left", header_style="dim")
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
