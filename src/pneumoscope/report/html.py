"""`report.html`: one self-contained page about a training, an evaluation or a demonstration."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pneumoscope.report import subgroups, tables
from pneumoscope.report.localization_view import localization_view
from pneumoscope.report.overlap import fitted_on, optimistic, overlap_table
from pneumoscope.report.pages import render

Picture = tuple[str, str, bytes]
"""Title, caption, and the picture as PNG."""

_KINDS = {"evaluation": "Evaluation", "training": "Training", "demo": "Demonstration"}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class ReportContent:
    """What a page says.

    Attributes:
        title: of the page, for instance the model's name.
        subtitle: one line below it, for instance what was evaluated on what.
        kind: what the page is about.
        metrics: the content of `metrics.json` (see `tables`), if there is any.
        facts: (name, value): model, weights, data digest, seeds, versions, command.
        splits: split to counts, for instance `{"train": {"NORMAL": 3, "PNEUMONIA": 5,
            "patients": 6}}`: the patient flow.
        figures: curves and diagrams.
        localization_figures: charts of localization, wide; see `localization_figures`.
        gallery: overlays of single radiographs, chosen by a rule.
        gallery_rule: the rule that chose them, in a sentence.
        notes: warnings and remarks, shown before any figure.
        labels: negative first.
    """

    title: str
    subtitle: str
    kind: Literal["evaluation", "training", "demo"]
    metrics: Mapping[str, Any] | None = None
    facts: Sequence[tuple[str, str]] = ()
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    figures: Sequence[Picture] = ()
    localization_figures: Sequence[Picture] = ()
    gallery: Sequence[Picture] = ()
    gallery_rule: str = ""
    notes: Sequence[str] = ()
    labels: tuple[str, str] = ("NORMAL", "PNEUMONIA")


def render_report(content: ReportContent) -> str:
    """The page as HTML: pictures inside, no script, no request to anywhere.

    Raises:
        ValueError: a picture is not a PNG, or the gallery has no rule.
    """
    if content.gallery and not content.gallery_rule:
        raise ValueError("a gallery must say by which rule its radiographs were chosen")
    metrics = content.metrics or {}
    columns, lines = tables.flow_table(content.splits)
    confusion = metrics.get("confusion")
    return render(
        "report.html.j2",
        content=content,
        kind=_KINDS[content.kind],
        metrics=metrics,
        tiles=tables.headline_tiles(metrics),
        groups=tables.figure_groups(metrics),
        confusion=confusion,
        sentences=tables.confusion_sentences(confusion, content.labels) if confusion else [],
        optimistic=optimistic(metrics),
        fitted_on=fitted_on(metrics),
        given=fitted_on(metrics) is None,
        overlap=overlap_table(metrics),
        subgroups=subgroups.subgroup_lines(metrics),
        subgroup_columns=subgroups.COLUMNS,
        subgroup_words=subgroups.WORDS,
        localization=localization_view(metrics),
        localization_figures=[embedded(*picture) for picture in content.localization_figures],
        flow_columns=columns,
        flow_lines=lines,
        figures=[embedded(*picture) for picture in content.figures],
        gallery=[embedded(*picture) for picture in content.gallery],
    )


def embedded(title: str, caption: str, png: bytes) -> dict[str, str | int]:
    """A picture with its size, so that the page does not jump, and its bytes as a data URL."""
    if not png.startswith(_PNG_SIGNATURE) or len(png) < 24:
        raise ValueError(f"the picture '{title}' is not a PNG")
    width, height = struct.unpack(">II", png[16:24])
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return {"title": title, "caption": caption, "width": width, "height": height, "source": source}
