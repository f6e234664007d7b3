"""The groups of radiographs that `evaluate --by` asks for: lines for terminal, page and card.

`metrics.json` holds `subgroups`: by column, by group, `n`, `n_positive` and figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pneumoscope.report.numbers import figure_text, metric_name, number_text

FIGURES = ("roc_auc", "sensitivity", "specificity")
COLUMNS = ["Group", "Radiographs", "Positive", *map(metric_name, FIGURES)]
WORDS = "Groups of fewer than 20 radiographs, or of one label, are counted and not measured."


def subgroup_lines(metrics: Mapping[str, Any], *, intervals: bool = True) -> list[list[str]]:
    """The text of `COLUMNS` for each group; empty where none was asked for.

    Args:
        metrics: the content of `metrics.json`.
        intervals: beside the figures; without them a line fits into 80 characters.
    """
    return [
        [
            f"{column}: {kind}",
            number_text(group["n"]),
            number_text(group["n_positive"]),
            *(
                figure_text(group[name] if intervals else (group[name] or {}).get("value"))
                for name in FIGURES
            ),
        ]
        for column, groups in (metrics.get("subgroups") or {}).items()
        for kind, group in groups.items()
    ]
