"""From the logits of a site's labelled sample to the description of the calibrated bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from pneumoscope import __version__
from pneumoscope.bundles import BundleInfo, SiteInfo, WeaknessInfo
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    OperatingPoint,
    Predictions,
    Recalibration,
    ReviewBand,
    ThresholdRule,
    recalibrate,
)

_MEASURED_BEFORE = " (before site calibration)"
_NO_LIST = (
    "The bundle has no list of the radiographs that it was trained on. So such radiographs of the "
    "sample were not left out, and evaluate will not recognise the sample."
)


@dataclass(frozen=True, eq=False)
class SiteFit:
    """A bundle's description after calibration, and how it came about.

    Attributes:
        info: the description, for `write_calibrated`.
        fit: the operating point with intervals, and the figures before and after.
        left_out: radiographs of the sample that the model was trained on, and that were not used.
    """

    info: BundleInfo
    fit: Recalibration
    left_out: int


def fit_site(
    info: BundleInfo,
    manifest: Manifest,
    sample: Predictions,
    digests: Sequence[str],
    rule: ThresholdRule,
    *,
    name: str,
    prevalence: float | None = None,
    today: date | None = None,
) -> SiteFit:
    """Fit threshold, calibration and review band of a bundle to a site's labelled sample.

    Radiographs that the model was trained on are left out: on them it is surer than on others. The
    sample's radiographs join those that the bundle lists as used for threshold and calibration.

    Args:
        info: of the bundle.
        manifest: the sample's radiographs.
        sample: their logits and labels, in the same order.
        digests: hex SHA-256 of each file.
        rule: how the threshold is chosen.
        name: of the sample, in words.
        prevalence: the site's share of positives, if the sample was drawn by label.
        today: the day to note; None for today.

    Raises:
        EvaluationError: too few radiographs are left; see `evaluate.recalibrate`.
    """
    splits = [None] * len(sample) if info.seen is None else info.seen.splits_of_radiographs(digests)
    new = np.array([split != "train" for split in splits])
    if not new.any():
        raise EvaluationError(
            f"{info.model_id} was trained on all {new.size} radiographs of the sample",
            remedy="give radiographs of the site that the model was not trained on",
        )
    used, left_out = sample.only(new), int((~new).sum())
    try:
        fit = recalibrate(used, _point(info), rule, prevalence=prevalence)
    except EvaluationError as error:
        if not left_out:
            raise
        # Its counts are of what is left, and not those of the table that was given.
        raise EvaluationError(
            f"{error.problem}; {left_out} radiographs are left out: the model was trained on them",
            remedy=error.remedy,
        ) from error
    warnings = fit.warnings if info.seen is not None else [*fit.warnings, _NO_LIST]
    figures = fit.figures()
    site = SiteInfo(
        sample=name,
        data_digest=manifest.digest(),
        radiographs=fit.n,
        positives=fit.n_positive,
        patients=fit.n_patients,
        rule=str(rule),
        prevalence=prevalence,
        fitted=today or date.today(),
        version=__version__,
        from_model=info.model_copy(update={"site": None}).model_id,
        intervals={key: each.to_dict() for key, each in fit.intervals.items()},
        before=figures["before"],
        after=figures["after"],
        warnings=tuple(warnings),
    )
    seen = info.seen
    if seen is not None:
        keys = manifest.patient_keys()
        rows = [int(row) for row in np.flatnonzero(new)]
        seen = seen.with_tuned([digests[row] for row in rows], [keys[row] for row in rows])
    changes = {"seen": seen, "site": site, "weaknesses": tuple(map(_dated, info.weaknesses))}
    return SiteFit(_changed(info, fit, changes), fit, left_out)


def _point(info: BundleInfo) -> OperatingPoint:
    """What the bundle decides by."""
    review = info.review
    band = None if review is None else ReviewBand(review.coverage, review.low, review.high)
    return OperatingPoint(info.temperature, info.bias, info.threshold, band)


def _changed(info: BundleInfo, fit: Recalibration, changes: dict[str, Any]) -> BundleInfo:
    """The description with the fitted numbers."""
    point, band = fit.point, fit.point.band
    fields = {**info.model_dump(), **changes, "review": None if band is None else asdict(band)}
    fields |= {name: getattr(point, name) for name in ("threshold", "temperature", "bias")}
    return BundleInfo.model_validate(fields)


def _dated(weakness: WeaknessInfo) -> WeaknessInfo:
    """The weakness, marked as measured at the earlier threshold."""
    words = weakness.measured.removesuffix(_MEASURED_BEFORE) + _MEASURED_BEFORE
    return weakness.model_copy(update={"measured": words[:300]})
