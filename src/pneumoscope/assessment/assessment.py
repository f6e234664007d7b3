"""What was measured on a cohort, and the files that say so."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.gallery import gallery, rule
from pneumoscope.assessment.pictures import diagrams
from pneumoscope.assessment.subject import Subject
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import SettingsError
from pneumoscope.evaluate import Predictions
from pneumoscope.evaluate.classification import one_label
from pneumoscope.evaluate.localization import LocalizationEvaluator
from pneumoscope.files import new_folder, write_bytes, write_json, write_text
from pneumoscope.report.html import Picture, ReportContent, render_report
from pneumoscope.report.localization_figures import localization_pictures
from pneumoscope.report.overlap import overlap_sentences


@dataclass(frozen=True, repr=False)
class Assessment:
    """What was measured on one split.

    Attributes:
        subject: what was measured.
        manifest: the split's radiographs that could be read.
        predictions: their logits and probabilities.
        metrics: the content of `metrics.json`.
        annotations: what localization was measured by; None if it was not.
        unreadable: (image, reason).
        overlaps: of the reported true positives with lesions, image to area-matched overlap of the
            subject's own heatmap.
        lesions: scores of every heatmap and baseline on the annotated radiographs.
        changed: images whose file is not the one that the manifest names.
    """

    subject: Subject
    manifest: Manifest
    predictions: Predictions
    metrics: dict[str, Any]
    annotations: Annotations | None = None
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    overlaps: dict[str, float] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    lesions: LocalizationEvaluator | None = None

    def __repr__(self) -> str:
        n, split = self.metrics["n"], self.metrics["split"]
        return f"<Assessment of {self.subject.name} on {n} radiographs of split '{split}'>"

    @cached_property
    def figures(self) -> dict[str, Picture]:
        """The diagrams of classification by file name: title, caption, PNG."""
        return diagrams(self)

    @cached_property
    def localization_figures(self) -> dict[str, Picture]:
        """The diagrams of localization; empty if it was not measured."""
        return localization_pictures(self.metrics)

    def _repr_html_(self) -> str:
        """For notebooks: the figures with their intervals, warnings, and the caution."""
        from pneumoscope.assessment.notebook import assessment_html

        return assessment_html(self)

    def predictions_table(self) -> pd.DataFrame:
        """The content of `predictions.csv`."""
        return pd.read_csv(io.StringIO(self.predictions_csv()), dtype={"patient": str})

    def figures_table(self) -> pd.DataFrame:
        """Classification: a row for each figure, with value, low and high."""
        return pd.DataFrame(self.metrics["classification"]).T

    def localization_table(
        self, radiographs: Literal["true_positives", "annotated", "all"] = "true_positives"
    ) -> pd.DataFrame:
        """Localization: a row for each heatmap or baseline and figure, with value, low, high.

        Args:
            radiographs: of the reported half those called positive, all with lesions, or all.

        Raises:
            SettingsError: another choice was asked for.
        """
        if radiographs not in (known := ("true_positives", "annotated", "all")):
            raise SettingsError(
                f"there are no radiographs {radiographs!r}",
                remedy=f"choose among {', '.join(known)}",
            )
        key = {"true_positives": "localization"}.get(radiographs, f"localization_{radiographs}")
        rows = [
            {"heatmap": heatmap, "figure": name, **figure}
            for heatmap, figures in (self.metrics.get(key) or {}).items()
            for name, figure in figures.items()
        ]
        return pd.DataFrame(rows, columns=["heatmap", "figure", "value", "low", "high"])

    def warnings(self) -> list[str]:
        """Sentences on figures and heatmaps that are missing, and files not of the manifest."""
        notes = [*self._one_label(), *self.subject.notes()]
        if self.changed:
            notes.append(
                f"{len(self.changed)} file{'s' * (len(self.changed) > 1)} changed since the "
                "manifest was written (SHA-256 differs), so labels may be of other radiographs: "
                f"{', '.join(self.changed[:5])}. Scan the cohort again."
            )
        return notes

    def _one_label(self) -> list[str]:
        targets = self.predictions.targets
        if not one_label(targets):
            return []
        label = self.manifest.labels[int(targets[0])]
        stands = "sensitivity" if targets[0] else "specificity"
        return [
            f"All {targets.size:,} radiographs are labelled {label}. Of the classification figures "
            f"only {stands} is given; the others need both labels."
        ]

    def predictions_csv(self) -> str:
        """One line per radiograph: image, patient, label, split, logit, probability, decision."""
        table, labels = self.manifest.table, self.manifest.labels
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(("image", "patient", "label", "split", "logit", "probability", "decision"))
        for row, logit, probability in zip(
            table[["image", "patient", "label", "split"]].itertuples(index=False),
            self.predictions.logits,
            self.predictions.probabilities,
            strict=True,
        ):
            decision = labels[int(probability >= self.metrics["threshold"])]
            writer.writerow((*row, f"{logit:.6f}", f"{probability:.6f}", decision))
        return buffer.getvalue()

    def report(
        self,
        *,
        title: str | None = None,
        kind: Literal["evaluation", "training", "demo"] = "evaluation",
        first: tuple[Picture, ...] = (),
        films: bool = True,
    ) -> str:
        """The report, a self-contained HTML page.

        Args:
            title: of the page; by default the model's name.
            kind: what the page is about.
            first: figures to show before the others.
            films: show radiographs chosen by rule with their heatmaps.
        """
        metrics = self.metrics
        pictures = gallery(self) if films else []
        notes = [*overlap_sentences(metrics), *self.warnings()]
        if self.unreadable:
            named = ", ".join(image for image, _ in self.unreadable[:5])
            notes.append(f"{len(self.unreadable)} radiographs could not be read: {named}.")
        return render_report(
            ReportContent(
                title=title or self.subject.name,
                subtitle=f"Split '{metrics['split']}': {metrics['n']} radiographs of "
                f"{metrics['n_patients']} patients",
                kind=kind,
                metrics=metrics,
                facts=self.subject.facts(),
                splits=self.subject.splits,
                figures=[*first, *self.figures.values()],
                localization_figures=list(self.localization_figures.values()),
                gallery=pictures,
                gallery_rule=rule(self) if pictures else "",
                notes=notes,
                labels=self.manifest.labels,
            )
        )

    def write_figures(self, folder: Path) -> None:
        """Write `metrics.json`, `predictions.csv` and the diagrams in `figures/`."""
        write_json(folder / "metrics.json", self.metrics)
        write_text(folder / "predictions.csv", self.predictions_csv())
        for name, (_, _, png) in {**self.figures, **self.localization_figures}.items():
            write_bytes(folder / "figures" / f"{name}.png", png)

    def save(self, folder: str | Path) -> Path:
        """Write `metrics.json`, `predictions.csv`, `figures/` and `report.html`; the folder.

        Args:
            folder: new, or empty.

        Raises:
            OutputError: it holds something already, or cannot be written.
        """
        out = new_folder(Path(folder))
        self.write_figures(out)
        write_text(out / "report.html", self.report())
        return out
