"""Tables of a comparison: of models, costs, pairs and seeds, for the page, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pneumoscope.report.localization_view import headlines
from pneumoscope.report.localization_words import localization_name, spelt_out
from pneumoscope.report.numbers import (
    MISSING,
    finite,
    interval_text,
    metric_name,
    number_text,
)

if TYPE_CHECKING:
    from pneumoscope.evaluate import Interval, ModelRow, Pair
    from pneumoscope.report.comparison_content import ComparisonContent, CostColumns

HEADLINES = ("roc_auc", "pr_auc", "accuracy", "sensitivity", "specificity", "f1")
"""The figures shown first; the others follow in a second table."""

ALPHA = 0.05
"""Two models are told apart where Holm's p is below this."""

# field: (name with its unit, how it is written)
_COSTS: dict[str, tuple[str, str]] = {
    "parameters": ("Parameters, 10⁶", "{:.2f}"),
    "gmacs": ("GMACs", "{:.2f}"),
    "bundle_mb": ("Bundle, MB", "{:.1f}"),
    "train_seconds_per_1000": ("Training, s per 1000 radiographs and epoch", "{:.1f}"),
    "radiographs_per_second": ("Radiographs per s", "{:.1f}"),
    "heatmaps_per_second": ("Heatmaps per s", "{:.1f}"),
    "peak_memory_mb": ("Peak memory, MB", "{:,.0f}"),
}
_LEADING_ZERO = re.compile(r"(?<![\d.])0(?=\.\d)")


@dataclass(frozen=True)
class Table:
    """Models in lines (name and texts), anything in columns."""

    columns: list[str]
    lines: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Cell:
    """Two models in the matrix of pairs: p, their difference, and whether p tells them apart."""

    p: str
    difference: str
    apart: bool


def comparison_csv(content: ComparisonContent) -> str:
    """One line per model, in the order of the comparison; empty where something is unknown.

    A figure `x` has the columns `x`, `x_low`, `x_high` (95 % interval), `x_seed_sd` and
    `x_test_sd`; a cost has its field's name in `CostColumns`; a localization figure `y` has
    `localization_y`, `localization_y_low` and `localization_y_high`.
    """
    lines = [_csv_line(row, content) for row in content.comparison.rows]
    columns = list(dict.fromkeys(key for line in lines for key in line))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def figure_table(rows: Sequence[ModelRow], keys: Sequence[str]) -> Table:
    """Figures with their intervals; those no model has are left out."""
    keys = [key for key in keys if any(key in row.figures for row in rows)]
    lines = [(row.name, [figure(row.figures.get(key)) for key in keys]) for row in rows]
    return Table([metric_name(key) for key in keys], lines)


def further_keys(rows: Sequence[ModelRow]) -> list[str]:
    """The figures that are no headlines."""
    keys = dict.fromkeys(key for row in rows for key in row.figures)
    return [key for key in keys if key not in HEADLINES]


def cost_table(rows: Sequence[ModelRow], costs: Mapping[str, CostColumns]) -> Table:
    """What each model costs, in the order of the comparison; those without costs are left out."""
    lines = [(row.name, _cost_texts(costs[row.name])) for row in rows if row.name in costs]
    return Table([name for name, _ in _COSTS.values()], lines)


def localization_tables(
    rows: Sequence[ModelRow], localization: Mapping[str, Mapping[str, Interval]]
) -> tuple[Table, Table]:
    """Localization figures in the order of the comparison: those shown first, and the others."""
    keys = localization_keys(localization)
    first = [key for key in headlines(keys) if key in keys] or keys
    names = [row.name for row in rows if row.name in localization]
    return (
        _localization_table(names, first, localization),
        _localization_table(names, [key for key in keys if key not in first], localization),
    )


def localization_keys(localization: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    """The localization figures that some model has."""
    return list(dict.fromkeys(key for figures in localization.values() for key in figures))


def seed_table(rows: Sequence[ModelRow]) -> Table:
    """Spread between seeds beside spread between test sets, of the models with several seeds."""
    columns, keys = ["Seeds"], ("roc_auc", "accuracy")
    for key in keys:
        columns += [f"{metric_name(key)}: {what}" for what in ("seed SD", "test-set SD", "ratio")]
    lines = []
    for row in rows:
        if all(finite(row.seed_sd.get(key)) is None for key in keys):
            continue
        texts = [str(len(row.seeds))]
        for key in keys:
            seed, test = finite(row.seed_sd.get(key)), finite(row.test_sd.get(key))
            ratio = None if seed is None or not test else seed / test
            texts += [_small(seed), _small(test), MISSING if ratio is None else f"{ratio:.2f}"]
        lines.append((row.name, texts))
    return Table(columns, lines)


def pair_matrix(
    rows: Sequence[ModelRow], pairs: Sequence[Pair], what: str
) -> list[tuple[str, list[Cell | None]]]:
    """Each model against those below it: what it has more than they, and p after Holm.

    Args:
        rows: the models, best first.
        pairs: of them, each once, in either order; differences are the first's less the second's.
        what: `roc_auc` for DeLong's test, `accuracy` for McNemar's.

    Returns:
        For each model its name and a cell for each model; None on and below the diagonal, and
        for a pair that was not compared.
    """
    cells: dict[tuple[str, str], Cell] = {}
    for pair in pairs:
        auc = what == "roc_auc"
        p = pair.delong_p_holm if auc else pair.mcnemar_p_holm
        value = (pair.auc_difference if auc else pair.accuracy_difference).value
        apart = math.isfinite(p) and p < ALPHA
        written = short(p_text(p))
        cells[pair.first, pair.second] = Cell(written, _difference(value), apart)
        cells[pair.second, pair.first] = Cell(written, _difference(-value), apart)
    names = [row.name for row in rows]
    blank: list[Cell | None] = [None] * len(names)
    return [
        (name, blank[: line + 1] + [cells.get((name, other)) for other in names[line + 1 :]])
        for line, name in enumerate(names)
    ]


def pair_table(pairs: Sequence[Pair]) -> Table:
    """Every pair with its differences, p before and after Holm's correction, and discordance."""
    columns = [
        "ROC-AUC, difference", "DeLong p", "Holm", "Accuracy, difference", "McNemar p", "Holm",
        "Only one right",
    ]  # fmt: skip
    lines = []
    for pair in pairs:
        texts = [
            interval_text(pair.auc_difference.to_dict(), signed=True),
            p_text(pair.delong_p),
            p_text(pair.delong_p_holm),
            interval_text(pair.accuracy_difference.to_dict(), signed=True),
            p_text(pair.mcnemar_p),
            p_text(pair.mcnemar_p_holm),
            " : ".join(map(number_text, pair.discordant)),
        ]
        lines.append((f"{pair.first} less {pair.second}", texts))
    return Table(columns, lines)


def facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and texts; what is nested stands on one line."""
    return [(spelt_out(str(key)), _fact(value)) for key, value in values.items()]


def figure(value: Interval | None) -> str:
    """A figure with its interval; empty for none."""
    return "" if value is None else interval_text(value.to_dict())


def short(text: str) -> str:
    """Numbers below 1 without their leading zero: `.981 (.972 to .989)`."""
    return _LEADING_ZERO.sub("", text)


def shortened(table: Table) -> Table:
    """The table with `short` texts."""
    return Table(table.columns, [(name, [*map(short, texts)]) for name, texts in table.lines])


def p_text(p: float) -> str:
    """A p-value as people read it: `<0.001`, `0.042`, `n/a`."""
    if not math.isfinite(p):
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def seeds_text(row: ModelRow) -> str:
    """How many seeds, and which."""
    named = ", ".join(map(str, row.seeds))
    return f"{len(row.seeds)} ({named})" if named else MISSING


def _cost_texts(cost: CostColumns) -> list[str]:
    texts = []
    for key, (_, form) in _COSTS.items():
        value = finite(getattr(cost, key))
        scaled = value / 1e6 if value is not None and key == "parameters" else value
        texts.append(MISSING if scaled is None else form.format(scaled))
    return texts


def _localization_table(
    names: Sequence[str], keys: Sequence[str], localization: Mapping[str, Mapping[str, Interval]]
) -> Table:
    lines = [(name, [figure(localization[name].get(key)) for key in keys]) for name in names]
    return Table([localization_name(key) for key in keys], lines)


def _csv_line(row: ModelRow, content: ComparisonContent) -> dict[str, Any]:
    line: dict[str, Any] = {
        "model": row.name,
        "start": content.starts.get(row.name, ""),
        "seeds": " ".join(map(str, row.seeds)),
        "n": row.n,
        "n_patients": row.n_patients,
    }
    for key, interval in row.figures.items():
        line |= _csv_interval(key, interval)
        line[f"{key}_seed_sd"] = _csv_number(row.seed_sd.get(key))
        line[f"{key}_test_sd"] = _csv_number(row.test_sd.get(key))
    cost = content.costs.get(row.name)
    for key, value in asdict(cost).items() if cost is not None else ():
        line[key] = value if isinstance(value, str) else _csv_number(value)
    for key, interval in content.localization.get(row.name, {}).items():
        line |= _csv_interval(f"localization_{key}", interval)
    return line


def _csv_interval(key: str, interval: Interval) -> dict[str, Any]:
    values = {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
    return {name: _csv_number(value) for name, value in values.items()}


def _csv_number(value: float | None) -> float | str:
    return "" if value is None or not math.isfinite(value) else value


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)


def _small(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _difference(value: float) -> str:
    return short(interval_text(value, signed=True))
