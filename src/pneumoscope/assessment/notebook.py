"""An assessment as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pneumoscope.findings.words import RESEARCH_ONLY
from pneumoscope.report.localization_view import TRUE_POSITIVES, headline_table
from pneumoscope.report.numbers import figure_text, metric_name

if TYPE_CHECKING:
    from pneumoscope.assessment.assessment import Assessment


def assessment_html(found: Assessment) -> str:
    """Figures of classification and localization, warnings, and the caution."""
    metrics: Mapping[str, Any] = found.metrics
    parts = [
        f"<div><b>{escape(found.subject.name)}</b>: {metrics['n']} radiographs of "
        f"{metrics['n_patients']} patients, split {escape(str(metrics['split']))}</div>",
        _table(
            ["figure", "value (95 % interval)"],
            [
                [metric_name(name), figure_text(value)]
                for name, value in metrics["classification"].items()
            ],
        ),
    ]
    if metrics.get("localization"):
        table = headline_table(metrics, TRUE_POSITIVES)
        rows = [[line.name, *line.texts] for line in table.lines]
        parts.append(_table([table.title, *table.columns], rows))
    parts += [f"<div>{escape(line)}</div>" for line in found.warnings()]
    parts.append(f"<div><b>{RESEARCH_ONLY}</b></div>")
    return "".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    titles = "".join(f"<th>{escape(text)}</th>" for text in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><tr>{titles}</tr>{lines}</table>"
