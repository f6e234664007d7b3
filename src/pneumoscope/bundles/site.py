"""The site calibration of a bundle: on which sample, by which rule, and what it changed."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Figures = dict[str, dict[str, float | None]]
"""By name, `value`, `low` and `high` of a figure; null where undefined."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Positive = Annotated[int, Field(gt=0)]


class SiteInfo(BaseModel):
    """How threshold, calibration and review band were fitted to a site's labelled sample.

    Attributes:
        sample: the sample's name, in words.
        data_digest: of the sample's manifest.
        radiographs, positives, patients: of the sample.
        rule: how the threshold was chosen, as `evaluate.ThresholdRule` reads it.
        prevalence: the site's share of positives if it was stated; None for that of the sample.
        fitted: the day.
        version: of Pneumoscope that fitted it.
        from_model: the bundle as it was shipped.
        intervals: 95 % intervals of threshold, temperature, bias and the band's limits.
        before: figures of the sample at the threshold and calibration that the bundle had.
        after: the same figures, cross-fitted by patient.
        warnings: what limits the fit, as sentences.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sample: Annotated[str, Field(min_length=1, max_length=200)]
    data_digest: _Digest
    radiographs: _Positive
    positives: _Positive
    patients: _Positive
    rule: Annotated[str, Field(min_length=1, max_length=40)]
    prevalence: Annotated[float, Field(gt=0, lt=1)] | None = None
    fitted: date
    version: str
    from_model: str
    intervals: Figures
    before: Figures
    after: Figures
    warnings: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """Eight hex digits that follow from sample, rule and prevalence alone."""
        text = f"{self.data_digest} {self.rule} {self.prevalence}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]
