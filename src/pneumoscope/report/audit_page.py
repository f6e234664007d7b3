"""The page of an audit: what each test did, its verdict, its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.report.audit_figures import audit_figure
from pneumoscope.report.audit_words import COLUMNS, FIGURES, LIMITS, STEPS, WHAT
from pneumoscope.report.card_tables import CardTable
from pneumoscope.report.html import embedded
from pneumoscope.report.numbers import figure_text
from pneumoscope.report.pages import render
from pneumoscope.report.style import figure_png


@dataclass(frozen=True, slots=True)
class AuditSection:
    """One test on the page, all of it text but the picture."""

    title: str
    passed: bool
    what: str
    limit: str
    n: int
    warnings: Sequence[str]
    figures: Sequence[tuple[str, str, str]]
    columns: Sequence[str]
    lines: Sequence[tuple[str, Sequence[str]]]
    pictures: Sequence[Mapping[str, str | int]]


def render_audit(
    audit: Mapping[str, Any],
    facts: Sequence[tuple[str, str]] = (),
    tables: Sequence[CardTable] = (),
) -> str:
    """The page as HTML: pictures inside, no script, no request to anywhere.

    Args:
        audit: the content of `audit.json`.
        facts: (name, value): model, data, versions, command.
        tables: what the model's card says was measured.
    """
    sections = [_section(name, test) for name, test in audit["tests"].items()]
    return render("audit.html.j2", audit=audit, sections=sections, facts=facts, tables=tables)


def _section(name: str, test: Mapping[str, Any]) -> AuditSection:
    keys = list(test["rows"][0]["figures"]) if test["rows"] else []
    lines = [
        (row["label"], [figure_text(row["figures"][key]) for key in keys]) for row in test["rows"]
    ]
    drawn = audit_figure(name, test)
    pictures = [] if drawn is None else [embedded(drawn[0], drawn[1], figure_png(drawn[2]))]
    return AuditSection(
        title=test["title"],
        passed=test["passed"],
        what=WHAT[name],
        limit=LIMITS[name].format(**test["limits"]),
        n=test["n"],
        warnings=test["warnings"],
        figures=[
            (FIGURES[key][0], figure_text(value), FIGURES[key][1])
            for key, value in test["figures"].items()
        ],
        columns=[STEPS[name], *(COLUMNS[key] for key in keys)],
        lines=lines,
        pictures=pictures,
    )
