"""`MODEL_CARD.md`: what a model is for, what it was made of, and what it cannot do.

The parts are those of Mitchell et al. 2019, "Model cards for model reporting".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pneumoscope.report import tables
from pneumoscope.report.card_tables import card_tables
from pneumoscope.report.localization_view import ALL, ANNOTATED, TRUE_POSITIVES, headline_table
from pneumoscope.report.numbers import figure_text, metric_name, number_text
from pneumoscope.report.overlap import overlap_sentences
from pneumoscope.report.pages import render

_WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class ModelCard:
    """What the card says.

    Attributes:
        model: short identity, as in findings: backbone and digest of the weights.
        version: of Pneumoscope that trained it.
        labels: negative first.
        backbone, head: the architecture.
        size: side of the square input in pixels.
        mean, std: normalisation of the three channels.
        threshold: decision threshold on the calibrated probability.
        temperature, bias: of the calibration.
        review: the band of uncertain probabilities: `coverage`, `low`, `high`; None without one.
        weaknesses: where it was measured to be weak: `measured` and `n`, as findings quote them.
        site: the sample of a site that threshold, calibration and review band were fitted on, as of
            `bundles.SiteInfo`; None if they were fitted on val.
        weights: what training started from: `name`, `licence`, `sha256`, each perhaps null.
        model_sha256: of the trained weights' file, if known.
        data_digest: of the manifest.
        splits: split to counts (labels, patients).
        settings: of the training.
        selected_epoch: zero-based epoch whose weights these are, if known.
        versions: of the libraries.
        calibration: figures on val before and after calibration.
        metrics: content of `metrics.json` (see `tables`), if the model was evaluated.
        cohort: what the radiographs are and whose, in a sentence.
        limits: known limits beside those every model of this kind has.
        measured: figures on several cohorts (see `card_tables`), if the model was so evaluated.
        history: how the model was made and chosen, in sentences.
        commands: what made the model and its figures.
    """

    model: str
    version: str
    labels: tuple[str, str]
    backbone: str
    head: str
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    threshold: float
    temperature: float
    bias: float = 0.0
    review: Mapping[str, float] | None = None
    weaknesses: Sequence[Mapping[str, Any]] = ()
    site: Mapping[str, Any] | None = None
    weights: Mapping[str, object] = field(default_factory=dict)
    model_sha256: str | None = None
    data_digest: str | None = None
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    selected_epoch: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] | None = None
    cohort: str = ""
    limits: Sequence[str] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[str] = ()
    commands: Sequence[str] = ()

    @classmethod
    def from_bundle(
        cls,
        bundle: Mapping[str, Any],
        *,
        metrics: Mapping[str, Any] | None = None,
        cohort: str = "",
        limits: Sequence[str] = (),
        measured: Mapping[str, Any] | None = None,
        history: Sequence[str] = (),
        commands: Sequence[str] = (),
    ) -> Self:
        """The card of a bundle.

        Args:
            bundle: the content of `bundle.json`.
            metrics: the content of `metrics.json`, if the model was evaluated.
            cohort, limits, measured, history, commands: as the attributes.
        """
        architecture, training = bundle["architecture"], bundle["training"]
        digest = bundle["files"][_WEIGHTS_FILE]
        negative, positive = bundle["labels"]
        return cls(
            model=f"{architecture['backbone']}@{digest[:8]}",
            version=bundle["version"],
            labels=(negative, positive),
            backbone=architecture["backbone"],
            head=architecture["head"],
            size=architecture["size"],
            mean=architecture["mean"],
            std=architecture["std"],
            threshold=bundle["threshold"],
            temperature=bundle["temperature"],
            bias=bundle.get("bias", 0.0),
            review=bundle.get("review"),
            weaknesses=bundle.get("weaknesses", ()),
            site=bundle.get("site"),
            weights=training["weights"],
            model_sha256=digest,
            data_digest=training["data_digest"],
            splits=training["splits"],
            settings=training["settings"],
            selected_epoch=training["selected_epoch"],
            versions=training["versions"],
            calibration=bundle["calibration"],
            metrics=metrics,
            cohort=cohort,
            limits=limits,
            measured=measured or {},
            history=history,
            commands=commands,
        )


def render_model_card(card: ModelCard) -> str:
    """The card as Markdown (CommonMark with tables)."""
    metrics = card.metrics or {}
    columns, lines = tables.flow_table(card.splits)
    confusion = metrics.get("confusion")
    site = card.site or {}
    calibration = [
        (metric_name(key), number_text(value)) for key, value in card.calibration.items()
    ]
    return render(
        "model_card.md.j2",
        card=card,
        mean=", ".join(f"{value:g}" for value in card.mean),
        std=", ".join(f"{value:g}" for value in card.std),
        metrics=metrics,
        groups=tables.figure_groups(metrics),
        sentences=tables.confusion_sentences(confusion, card.labels) if confusion else [],
        overlap=overlap_sentences(metrics) if metrics else [],
        measured=card_tables(card.measured),
        localization=[headline_table(metrics, of) for of in (TRUE_POSITIVES, ANNOTATED, ALL)],
        flow_columns=columns,
        flow_lines=lines,
        calibration=calibration,
        site_numbers=[
            (metric_name(key), figure_text(each)) for key, each in site.get("intervals", {}).items()
        ],
        site_figures=[
            (metric_name(key), figure_text(each), figure_text(site["after"][key]))
            for key, each in site.get("before", {}).items()
        ],
    )
