"""`MODEL_CARD.md`: what a model is for, what it was made of, and what it cannot do.

The parts are those of Mitchell et al. 2019, "Model cards for model reporting".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pneumoscope.report import tables
from pneumoscope.report.card_tables import card_tables
from pneumoscope.report.localization_view import ALL, ANNOTATED, TRUE_POSITIVES, headline_table
from pneumoscope.report.numbers import figure_text, metric_name, number_text
from pneumoscope.report.overlap import overlap_sentences
from pneumoscope.report.pages import render

_WEIGHTS_FILE = "model.safetensors"


def render_model_card(
    bundle: Mapping[str, Any],
    *,
    metrics: Mapping[str, Any] | None = None,
    cohort: str = "",
    limits: Sequence[str] = (),
    measured: Mapping[str, Any] | None = None,
    history: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> str:
    """The card of a bundle as Markdown (CommonMark with tables).

    Args:
        bundle: the content of `bundle.json`, with its defaults.
        metrics: the content of `metrics.json` (see `tables`), if the model was evaluated.
        cohort: what the radiographs are and whose, in a sentence.
        limits: known limits beside those every model of this kind has.
        measured: figures on several cohorts (see `card_tables`), if the model was so evaluated.
        history: how the model was made and chosen, in sentences.
        commands: what made the model and its figures.
    """
    metrics = metrics or {}
    architecture, training = bundle["architecture"], bundle["training"]
    digest = bundle["files"][_WEIGHTS_FILE]
    columns, lines = tables.flow_table(training["splits"])
    confusion = metrics.get("confusion")
    site = bundle["site"] or {"intervals": {}, "before": {}}
    return render(
        "model_card.md.j2",
        bundle=bundle,
        training=training,
        model=f"{architecture['backbone']}@{digest[:8]}",
        model_sha256=digest,
        mean=", ".join(f"{value:g}" for value in architecture["mean"]),
        std=", ".join(f"{value:g}" for value in architecture["std"]),
        cohort=cohort,
        limits=limits,
        history=history,
        commands=commands,
        metrics=metrics,
        groups=tables.figure_groups(metrics),
        sentences=(tables.confusion_sentences(confusion, bundle["labels"]) if confusion else []),
        overlap=overlap_sentences(metrics) if metrics else [],
        measured=card_tables(measured or {}),
        localization=[headline_table(metrics, of) for of in (TRUE_POSITIVES, ANNOTATED, ALL)],
        flow_columns=columns,
        flow_lines=lines,
        calibration=[
            (metric_name(key), number_text(value)) for key, value in bundle["calibration"].items()
        ],
        site_numbers=[
            (metric_name(key), figure_text(each)) for key, each in site["intervals"].items()
        ],
        site_figures=[
            (metric_name(key), figure_text(each), figure_text(site["after"][key]))
            for key, each in site["before"].items()
        ],
    )
