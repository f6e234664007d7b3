"""What is said about one radiograph, and how it is written down.

A `Finding` is one line of `findings.jsonl`, the same from the command line and from Python. It has
one of three states: judged; not judged, because the input gate flagged the picture (`gate` says
why, and there is neither label nor probability); or in error, because it could not be read or
scored (`error` says why, and all results are null). An archive's output has as many lines as its
input.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.names import is_unicode, json_text, plain, written

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_CONFIG = ConfigDict(
    strict=True,
    frozen=True,
    extra="forbid",
    allow_inf_nan=False,
    # A finding that is written has every key, those with a default, too.
    json_schema_serialization_defaults_required=True,
)


Zone = Literal[
    "right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower",
    "outside_lungs",
]  # fmt: skip
"""A third of one of the patient's lungs, by PatientOrientation or by the usual hanging; or none."""

GateReason = Literal["blank", "inverted", "rotated", "cropped", "lateral", "ct", "not_chest"]
"""Why a picture is no upright frontal chest radiograph that the model could judge."""


class Gate(BaseModel):
    """Whether a picture looks like what the model was made for."""

    model_config = _CONFIG

    flagged: bool = Field(description="Whether it does not look like a frontal chest radiograph")
    reason: GateReason | None = Field(description="What it seems to be instead, if flagged")

    @model_validator(mode="after")
    def _reason_where_flagged(self) -> Self:
        if self.flagged != (self.reason is not None):
            raise ValueError("a gate has a reason where it is flagged, and only there")
        return self


class Region(BaseModel):
    """A box derived from a heatmap, in pixels of the radiograph.

    The origin is the top-left corner of the radiograph's top-left pixel; the box covers the columns
    `x` to `x + width - 1` and the rows `y` to `y + height - 1`, that is the area
    [x, x + width] x [y, y + height] between pixel edges.
    """

    model_config = _CONFIG

    x: int = Field(ge=0, description="Left edge in pixels of the radiograph")
    y: int = Field(ge=0, description="Top edge in pixels of the radiograph")
    width: int = Field(ge=1, description="Width in pixels of the radiograph")
    height: int = Field(ge=1, description="Height in pixels of the radiograph")
    score: float = Field(ge=0, le=1, description="Highest heat inside the region, 0 to 1")
    zone: Zone | None = Field(
        default=None, description="Where its centre is: a third of a lung; null if nobody looked"
    )


class Finding(BaseModel):
    """The prediction for a radiograph, or why there is none.

    A judged radiograph has `label`, `probability` and `threshold`. One that the gate flagged was
    not judged: `label`, `probability`, `in_lungs` and `heatmap` are null, `regions` is empty. If
    `error` is a message, everything but `image` and `model` is null or empty.
    """

    model_config = _CONFIG | ConfigDict(title="Finding")

    image: str = Field(
        min_length=1,
        description="The radiograph's file, as it was given; a byte that is not UTF-8 is written "
        "\\xHH, and in such a name a backslash is doubled",
    )
    digest: str | None = Field(
        default=None,
        min_length=1,
        description="What identifies the file's content: its hex SHA-256; of a file in an object "
        "store its size and time of change; a pseudonym where findings are de-identified. Null if "
        "there was no file, or it could not be used",
    )
    label: str | None = Field(
        description="The decision, one of the model's labels; null if the picture was not assessed"
    )
    probability: float | None = Field(
        ge=0,
        le=1,
        description="Calibrated probability of the positive label; null if the picture was not "
        "judged",
    )
    threshold: float | None = Field(
        ge=0, le=1, description="The positive label is decided from this probability on"
    )
    uncertain: bool | None = Field(
        description="Whether the probability is indeterminate and a person should look: it "
        "lies in the model's review band, or between the band, the threshold and 0.5. True if the "
        "gate flagged the picture. Null if the model has no review band"
    )
    # Lax for the container only: JSON has lists and callers have lists; a frozen model has tuples.
    gate: Gate | None = Field(
        default=None,
        description="Whether the picture looks like a frontal chest radiograph at all; if flagged, "
        "it was not judged. Null if the gate was switched off",
    )
    regions: tuple[Region, ...] = Field(
        strict=False, description="Where the evidence is, the strongest first"
    )
    in_lungs: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the evidence that is inside the lungs; null where there is none, or "
        "where no lungs were found",
    )
    heatmap: str | None = Field(
        description="Heatmap file (16-bit grayscale PNG), relative to the findings file"
    )
    summary: str | None = Field(default=None, description="The finding in plain words")
    weaknesses: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="What was measured of the model where it is weak on radiographs such as this "
        "one, by its tags (view, age), in plain words",
    )
    notes: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="What the reader ignored or assumed when it read the file, in plain words",
    )
    model: str = Field(min_length=1, description="Which model said it: architecture@digest")
    error: str | None = Field(description="Why there is no prediction, or null")

    @field_validator("image", mode="before")
    @classmethod
    def _name_is_unicode(cls, value: Any) -> Any:
        # A name that was written before stays as it is.
        return written(value) if isinstance(value, str) and not is_unicode(value) else value

    @field_validator("heatmap")
    @classmethod
    def _heatmap_is_relative(cls, value: str | None) -> str | None:
        if value is None:
            return value
        path = PurePosixPath(value)
        if not value or PureWindowsPath(value).anchor or path.anchor or ".." in path.parts:
            raise ValueError("the heatmap's path must be relative and stay below its folder")
        return value

    @model_validator(mode="after")
    def _result_or_error(self) -> Self:
        result = (self.label, self.probability, self.threshold)
        evidence = bool(self.regions) or (self.in_lungs, self.heatmap) != (None, None)
        if self.error is None and not self.judged:
            if self.threshold is None or result[:2] != (None, None) or evidence:
                raise ValueError("a flagged picture has a threshold and no result")
        elif self.error is None:
            if None in result:
                raise ValueError("a finding without an error needs label, probability, threshold")
        elif not self.error:
            raise ValueError("an error must say what was wrong")
        elif evidence or any(value not in (None, ()) for value in (*result, *self._further())):
            raise ValueError("a finding with an error has no result")
        return self

    def _further(self) -> tuple[object, ...]:
        return (self.digest, self.uncertain, self.gate, self.summary, self.weaknesses, self.notes)

    @property
    def judged(self) -> bool:
        """Whether the model judged it: it could be used, and the input gate did not flag it."""
        return self.error is None and not (self.gate is not None and self.gate.flagged)

    @property
    def positive(self) -> bool:
        """Whether it was called positive; False for a radiograph that was not judged."""
        if self.probability is None or self.threshold is None:
            return False
        return self.probability >= self.threshold

    @classmethod
    def from_prediction(
        cls,
        image: str,
        *,
        probability: float,
        threshold: float,
        labels: Sequence[str],
        model: str,
        review: tuple[float, float] | None = None,
        regions: Sequence[Region] = (),
        heatmap: str | None = None,
        notes: Sequence[str] = (),
        digest: str | None = None,
    ) -> Self:
        """The finding for a radiograph that was scored; the label comes from `decide`.

        Args:
            image: the radiograph's file, as it was given.
            probability: of the positive label, 0 to 1; numpy numbers are welcome.
            threshold: the bundle's or the user's, 0 to 1.
            labels: the two labels, negative first.
            model: a short identifier such as `efficientnet_lite0@ab12cd34`.
            review: the bundle's review band; None if it has none. See `indeterminate`.
            regions: boxes in pixels of the radiograph.
            heatmap: relative path of the heatmap file, if one was written.
            notes: what the reader ignored or assumed; see `Radiograph.notes`.
            digest: what identifies the file's content.

        Raises:
            BundleError, SettingsError: as `decide`.
        """
        band = None if review is None else indeterminate(review, float(threshold))
        return cls(
            image=image,
            digest=digest,
            label=decide(probability, threshold, labels),
            probability=float(probability),
            threshold=float(threshold),
            uncertain=None if band is None else band[0] <= float(probability) <= band[1],
            regions=tuple(regions),
            heatmap=heatmap,
            notes=tuple(notes),
            model=model,
            error=None,
        )

    @classmethod
    def from_error(cls, image: str, error: str | Exception, model: str) -> Self:
        """The finding for a radiograph that could not be read or scored."""
        return cls(
            image=image,
            label=None,
            probability=None,
            threshold=None,
            uncertain=None,
            regions=(),
            heatmap=None,
            model=model,
            error=plain(error) or type(error).__name__,
        )

    def to_dict(self) -> dict[str, Any]:
        """What a line of `findings.jsonl` holds."""
        return self.model_dump(mode="json")

    def _repr_html_(self) -> str:
        """For notebooks: the line in plain words, probability and regions."""
        from pneumoscope.findings.notebook import finding_html

        return finding_html(self)

    def json_line(self) -> str:
        """One line of `findings.jsonl`, without the line end."""
        return json_text(self.model_dump_json())


def indeterminate(review: tuple[float, float], threshold: float) -> tuple[float, float]:
    """Lowest and highest probability that is indeterminate, both included.

    The review band, widened to the threshold in use and to 0.5: a label is never called likely
    against the probability, nor against the band.

    Args:
        review: lowest and highest probability of the bundle's review band.
        threshold: the bundle's or the user's, 0 to 1.
    """
    return min(*review, threshold, 0.5), max(*review, threshold, 0.5)


def decide(probability: float, threshold: float, labels: Sequence[str]) -> str:
    """The label of a radiograph: `labels[1]` from the threshold on, `labels[0]` below it.

    Args:
        probability: of the positive label, 0 to 1.
        threshold: 0 to 1; a probability equal to it is positive.
        labels: two labels, negative first.

    Raises:
        SettingsError: the threshold is outside [0, 1].
        BundleError: the probability is not a number in [0, 1], or there are not two labels.
    """
    if len(labels) != 2:
        raise BundleError(
            f"has {len(labels)} labels instead of two", remedy="use a bundle made by this version"
        )
    if not 0 <= threshold <= 1:
        raise SettingsError(
            f"the threshold is {threshold:g}", remedy="give a probability from 0 to 1"
        )
    if not 0 <= probability <= 1:
        raise BundleError(
            f"the model answered with the probability {probability:g}",
            remedy="check the bundle's weights: they do not give a number from 0 to 1",
        )
    negative, positive = labels
    return positive if probability >= threshold else negative


def finding_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of one line of `findings.jsonl`; every key is required."""
    schema = Finding.model_json_schema(mode="serialization")
    return {"$schema": SCHEMA_DIALECT, **schema}
