"""A finding as HTML, for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pneumoscope.findings.words import RESEARCH_ONLY

if TYPE_CHECKING:
    from pneumoscope.findings.finding import Finding, Region


def finding_html(finding: Finding) -> str:
    """The image's name, the line in plain words, probability, regions, and the caution."""
    said = finding.error or finding.summary or finding.label or ""
    lines = [f"<b>{escape(finding.image)}</b>", escape(said)]
    if finding.probability is not None and finding.threshold is not None:
        doubt = ", indeterminate" if finding.uncertain else ""
        lines.append(
            f"{escape(str(finding.label))}: probability {finding.probability:.3f}, threshold "
            f"{finding.threshold:.3f}{doubt}"
        )
    lines += [escape(note) for note in (*finding.weaknesses, *finding.notes)]
    if finding.regions:
        lines.append(_table(finding.regions))
    lines.append(f"<b>{RESEARCH_ONLY}</b> {escape(finding.model)}")
    return "".join(f"<div>{line}</div>" for line in lines)


def _table(regions: tuple[Region, ...]) -> str:
    rows = [
        f"<tr><td>{escape((each.zone or '').replace('_', ' '))}</td><td>{each.score:.2f}</td>"
        f"<td>{each.x}, {each.y}, {each.width}, {each.height}</td></tr>"
        for each in regions
    ]
    head = "<tr><th>region</th><th>heat</th><th>x, y, width, height</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"
