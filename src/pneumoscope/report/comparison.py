"""The report of a comparison of models: `table.csv`, `table.md`, `report.html` and two figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope import __version__
from pneumoscope.files import write_bytes, write_text
from pneumoscope.report import comparison_tables as tables
from pneumoscope.report.comparison_content import BUSY, ComparisonContent
from pneumoscope.report.comparison_figures import (
    has_costs,
    is_ensemble,
    pareto_figure,
    ranking_figure,
)
from pneumoscope.report.html import Picture, embedded
from pneumoscope.report.localization_words import localization_meaning, localization_name
from pneumoscope.report.numbers import metric_meaning, metric_name
from pneumoscope.report.pages import render
from pneumoscope.report.style import figure_png
from pneumoscope.report.tables import Tile

if TYPE_CHECKING:
    from pneumoscope.evaluate import Pair

LOCALIZATION_NOTE = (
    "Each backbone is measured on its own true positives, so that not all are measured on the very "
    "same radiographs. With several seeds: their mean, and the widest reach of their intervals. "
    "Lesion annotations were never used in training."
)

# A verdict of more sentences is folded: the first are on the best models, the last are cautions.
_LONG_VERDICT, _FIRST, _LAST = 8, 3, 2


def write_comparison(folder: Path, content: ComparisonContent) -> None:
    """Write `table.csv`, `table.md`, `report.html`, `ranking.png` and `pareto.png` into a folder.

    `pareto.png` is left out where no model has costs.

    Args:
        folder: is created if need be; files of these names are replaced.
        content: what to say.

    Raises:
        EvaluationError: the comparison has no model.
        OutputError: a file cannot be written.
        ValueError: the sheet is not a PNG.
    """
    pictures = _pictures(content)
    page = render_comparison(content, pictures)
    for name, (_, _, png) in pictures.items():
        write_bytes(folder / f"{name}.png", png)
    write_text(folder / "table.csv", tables.comparison_csv(content))
    write_text(folder / "table.md", comparison_markdown(content))
    write_text(folder / "report.html", page)


def render_comparison(content: ComparisonContent, pictures: Mapping[str, Picture]) -> str:
    """The page as HTML: pictures inside, no script, no request to anywhere."""
    rows, pairs = content.comparison.rows, content.comparison.pairs
    further = tables.further_keys(rows)
    keys = [*tables.HEADLINES, *further]
    spots = tables.localization_keys(content.localization)
    return render(
        "comparison.html.j2",
        content=content,
        rows=rows,
        tiles=_tiles(content),
        verdict=_folded(content.comparison.verdict),
        notes=comparison_notes(content),
        headline=tables.figure_table(rows, tables.HEADLINES),
        further=tables.figure_table(rows, further),
        seeds={row.name: tables.seeds_text(row) for row in rows},
        glossary=[(metric_name(key), metric_meaning(key)) for key in keys],
        pictures={
            name: embedded(*picture) for name, picture in {**pictures, **_sheet(content)}.items()
        },
        costs=tables.cost_table(rows, content.costs),
        machines=_machines(content),
        matrices=[
            (title, test, tables.pair_matrix(rows, pairs, key))
            for key, title, test in (
                ("roc_auc", "ROC-AUC", "DeLong's test, patients as clusters"),
                ("accuracy", "Accuracy", "McNemar's test, patients as clusters"),
            )
            if pairs
        ],
        pairs=tables.pair_table(pairs),
        spread=tables.seed_table(rows),
        localization=tables.localization_tables(rows, content.localization),
        localization_glossary=[
            (localization_name(key), localization_meaning(key)) for key in spots
        ],
        cohort=tables.facts(content.cohort),
        settings=tables.facts(content.settings),
        localization_note=LOCALIZATION_NOTE,
        alpha=tables.ALPHA,
        version=__version__,
    )


def comparison_markdown(content: ComparisonContent) -> str:
    """Verdict and tables in Markdown."""
    rows = content.comparison.rows
    further = tables.further_keys(rows)
    return render(
        "comparison.md.j2",
        content=content,
        seeds={row.name: tables.seeds_text(row) for row in rows},
        notes=comparison_notes(content),
        tables=[
            ("Figures", tables.shortened(tables.figure_table(rows, tables.HEADLINES))),
            ("Further figures", tables.shortened(tables.figure_table(rows, further))),
        ],
        costs=tables.cost_table(rows, content.costs),
        machines=_machines(content),
        localization=tables.shortened(tables.localization_tables(rows, content.localization)[0]),
        n=rows[0].n,
        n_patients=rows[0].n_patients,
        localization_note=LOCALIZATION_NOTE,
    )


def comparison_notes(content: ComparisonContent) -> list[str]:
    """What a reader has to know before comparing; empty if there is nothing."""
    backbones = [row.name for row in content.comparison.rows if not is_ensemble(row.name)]
    notes = []
    if content.failures:
        names = ", ".join(content.failures)
        notes.append(f"Failed, and therefore in no figure: {names}. See Failures below.")
    kinds = {
        content.starts[name].partition(" (")[0] for name in backbones if name in content.starts
    }
    if len(kinds) > 1:
        notes.append(
            "Not all backbones start from the same kind of weights: their differences are of the "
            "start as well as of the architecture."
        )
    machines = _machines(content)
    if len({machine.removesuffix(BUSY) for machine in machines}) > 1:
        notes.append("Costs were measured on several machines: speeds cannot be compared.")
    if busy := [name for name, cost in content.costs.items() if cost.machine.endswith(BUSY)]:
        notes.append(
            f"The machine was busy with other work while the speed of {', '.join(busy)} was "
            "measured: it is too low."
        )
    unmeasured = [name for name in backbones if name not in content.costs]
    if unmeasured:
        notes.append(f"Costs were not measured of: {', '.join(unmeasured)}.")
    return notes


def _pictures(content: ComparisonContent) -> dict[str, Picture]:
    rows, groups = content.comparison.rows, content.comparison.groups
    caption = ["Dots with 95 % intervals; diamonds are ensembles."]
    if groups:
        caption.append("Black bars join models that cannot be told apart at a Holm-corrected .05.")
    if len(rows) > 1:
        caption.append(
            "Intervals of two models may overlap although the models are told apart: they are "
            "compared on the same radiographs."
        )
    drawn = figure_png(ranking_figure(rows, groups))
    pictures = {"ranking": ("Ranking by ROC-AUC.", " ".join(caption), drawn)}
    if has_costs(rows, content.costs):
        pictures["pareto"] = (
            "ROC-AUC against cost.",
            "Filled marks on the green line are the Pareto front: no other model has both a larger "
            "ROC-AUC and a lower cost. It goes by the values alone; where intervals overlap, it "
            "may be chance. Scales of cost are logarithmic.",
            figure_png(pareto_figure(rows, content.costs)),
        )
    return pictures


def _sheet(content: ComparisonContent) -> dict[str, Picture]:
    if content.sheet is None:
        return {}
    caption = (
        "The same radiographs for every backbone. Colour shows evidence for the classifier's "
        "decision, from dark purple (little) to yellow (most); it is not the outline of a lesion."
    )
    return {"sheet": ("Heatmaps by backbone.", caption, content.sheet)}


def _folded(sentences: list[str]) -> tuple[list[str], list[str], list[str]]:
    """What is said first, what is folded away, what is said last."""
    if len(sentences) <= _LONG_VERDICT:
        return sentences, [], []
    return sentences[:_FIRST], sentences[_FIRST:-_LAST], sentences[-_LAST:]


def _tiles(content: ComparisonContent) -> list[Tile]:
    """The best model, how many are not told apart from it, and the leanest of these."""
    rows, pairs = content.comparison.rows, content.comparison.pairs
    best = rows[0]
    value, _, interval = tables.figure(best.figures.get("roc_auc")).partition(" ")
    if len(rows) == 1:
        return [Tile(f"ROC-AUC: {best.name}", value, interval.strip("()"))]
    tiles = [Tile(f"Largest ROC-AUC: {best.name}", value, interval.strip("()"))]
    level = [best.name, *_not_told_apart(best.name, pairs)]
    others = len(rows) - 1
    tiles.append(Tile("Not told apart from it", f"{len(level) - 1} of {others}", "other models"))
    lean = min(
        (name for name in level if name in content.costs),
        key=lambda name: content.costs[name].gmacs,
        default=None,
    )
    if lean is not None:
        gmacs = f"{content.costs[lean].gmacs:.2f}"
        tiles.append(Tile(f"Fewest GMACs among these: {lean}", gmacs, "per radiograph"))
    return tiles


def _not_told_apart(name: str, pairs: list[Pair]) -> list[str]:
    """Models whose ROC-AUC cannot be told from that of `name`; those not tested are not in it."""
    return [
        pair.second if pair.first == name else pair.first
        for pair in pairs
        if name in (pair.first, pair.second) and pair.delong_p_holm >= tables.ALPHA
    ]


def _machines(content: ComparisonContent) -> list[str]:
    return list(dict.fromkeys(cost.machine for cost in content.costs.values()))
