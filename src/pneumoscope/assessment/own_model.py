"""A bundle of Pneumoscope as what is assessed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pneumoscope.assessment.overlap import overlap_figures, shared
from pneumoscope.assessment.subject import Film
from pneumoscope.bundles import BundleInfo, HeatmapSpec
from pneumoscope.cohort.formats.words import NEGATIVE, POSITIVE
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import read_film
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Predictions, ReviewBand, abstention_report, risk_curve
from pneumoscope.evaluate.bootstrap import figures_json
from pneumoscope.evaluate.calibration import (
    calibrated,
    chance_calibration_error,
    expected_calibration_error,
)
from pneumoscope.imaging import Radiograph
from pneumoscope.inference import RANDOMISED, Engine, Explained, Failed, explain_in

PLAIN = "gradcam"


class OwnModel:
    """A loaded bundle; radiographs go through the same path as in `predict`.

    So what is measured is what is delivered. It has the members of `Subject`.

    Args:
        engine: of the bundle.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.info: BundleInfo = engine.info
        self.name = self.info.model_id
        self.threshold = self.info.threshold
        self.heatmap = self.info.heatmap
        self.region_threshold = self.info.region_threshold
        self.splits: Mapping[str, Mapping[str, int]] = self.info.training.splits

    def labelled(self, manifest: Manifest) -> Manifest:
        """The cohort with the bundle's labels, which may be a column of one of several findings.

        Raises:
            EvaluationError: it has other labels.
        """
        own = self.info.labels
        found = manifest.labelled(own)
        if found.labels != own:
            remedy = "rename the cohort's labels"
            if own == (NEGATIVE, POSITIVE):
                remedy += (
                    ", or say with --positive and --negative of scan which of them mean "
                    f"{own[1]} and {own[0]}"
                )
            raise EvaluationError(
                f"the cohort's labels {found.labels} are not the bundle's {own}", remedy=remedy
            )
        return found

    def beside(self, methods: Sequence[str]) -> tuple[str, ...]:
        """See `compared`; engines without torch explain by the bundle's own method alone."""
        possible = None if self.engine.runtime.engine == "torch" else self.engine.methods
        return compared(HeatmapSpec.parse(self.heatmap), methods, possible)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Its own heatmap with plain Grad-CAM and two maps that do not look at the model."""
        return tuple((self.heatmap, rival) for rival in (PLAIN, "usual_location", "lungs"))

    def explain(
        self, films: Sequence[Film], others: Sequence[str] = (), *, lungs: bool = False
    ) -> Iterator[Explained | Failed]:
        """Explain radiographs in the proportions they had at first."""
        return explain_in(self.engine, films, read=_read, others=others, lungs=lungs)

    def fitted(self, predictions: Predictions) -> dict[str, Any]:
        """What calibration and review band, fitted on val, do here."""
        before, probabilities = calibrated(predictions.logits, 1.0), predictions.probabilities
        calibration = {
            "temperature": self.info.temperature,
            "bias": self.info.bias,
            "ece_before": expected_calibration_error(before, predictions.targets),
            "ece_after": expected_calibration_error(probabilities, predictions.targets),
            "ece_of_chance": chance_calibration_error(probabilities).to_dict(),
            "fitted_on": self.info.fitted_on,
        }
        return {"calibration": calibration, "abstention": self._abstention(predictions)}

    def _abstention(self, predictions: Predictions) -> dict[str, Any] | None:
        review, threshold = self.info.review, self.threshold
        if review is None:
            return None
        band = ReviewBand(review.coverage, review.low, review.high)
        figures = abstention_report(predictions, threshold, band)
        curve = risk_curve(predictions.probabilities, predictions.targets, threshold)
        return {
            "promised": review.coverage,
            "band_low": review.low,
            "band_high": review.high,
            **figures_json(figures),
            "risk_area": curve.area,
        }

    def known(
        self, manifest: Manifest, part: Manifest, digests: Sequence[str], predictions: Predictions
    ) -> dict[str, Any]:
        """What the cohort shares with the radiographs that the bundle was made with."""
        seen = shared(self.info, part, digests)
        return {
            "overlap": overlap_figures(seen, predictions, self.threshold),
            "trained_on_this_cohort": manifest.digest() == self.info.training.data_digest,
        }

    def facts(self) -> list[tuple[str, str]]:
        """What the model is and where it comes from."""
        return model_facts(self.info)

    def notes(self) -> list[str]:
        """Nothing."""
        return []


def compared(
    own: HeatmapSpec, methods: Sequence[str], possible: Collection[str] | None = None
) -> tuple[str, ...]:
    """Heatmaps beside the bundle's own: plain Grad-CAM, its own without each factor of anatomy,
    randomised weights.

    Lungs and density would help any map; without them one sees what the model itself knows.

    Args:
        own: the bundle's heatmap.
        methods: further heatmaps.
        possible: methods that the engine knows; None for all.
    """
    beside = (
        HeatmapSpec(PLAIN),
        HeatmapSpec(own.method, own.mirror),
        HeatmapSpec(own.method, own.mirror, own.lungs),
        HeatmapSpec(own.method, own.mirror, own.lungs, own.density),
        HeatmapSpec(RANDOMISED, own.mirror, own.lungs, own.density, own.smooth),
    )
    wanted = [str(spec) for spec in beside if possible is None or spec.method in possible]
    wanted += [str(HeatmapSpec.parse(name)) for name in methods]
    return tuple(name for name in dict.fromkeys(wanted) if name != str(own))


def model_facts(info: BundleInfo) -> list[tuple[str, str]]:
    """What the model is and where it comes from."""
    architecture, training = info.architecture, info.training
    settings = training.settings
    return [
        ("Model", info.model_id),
        (
            "Architecture",
            f"{architecture.backbone}, {architecture.head} head, input {architecture.size} px",
        ),
        *(("Member", each.model_id) for each in info.members),
        ("Start weights", f"{training.weights['name']} ({training.weights['licence']})"),
        ("Start weights' SHA-256", str(training.weights["sha256"] or "none")),
        ("Training", f"preset {settings['preset']}, seed {settings['seed']}, {_epoch(info)}"),
        (
            "Threshold",
            f"{info.threshold:.4f} on the calibrated probability, fitted on {info.fitted_on}",
        ),
        (
            "Temperature, bias",
            f"{info.temperature:.4f}, {info.bias:.4f}, fitted on {info.fitted_on}",
        ),
        ("Training data's digest", training.data_digest),
        ("Versions", ", ".join(f"{k} {v}" for k, v in training.versions.items())),
        ("Pneumoscope", info.version),
    ]


def _epoch(info: BundleInfo) -> str:
    """Which epoch's weights they are; of several runs each has its own."""
    if info.members or info.training.weights.get("choice") == "average":
        return "as of the first of several runs"
    best = info.training.selected_epoch + 1
    return f"best of {info.training.settings['epochs']} epochs: {best}"


def _read(film: tuple[Path, tuple[int, int] | None], /, *, model: int | None = None) -> Radiograph:
    return read_film(*film, model=model)
