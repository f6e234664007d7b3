"""What a person read on a radiograph: agreement with the finding, corrected boxes, a note."""

from __future__ import annotations

from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pneumoscope.findings import Finding
from pneumoscope.serve.problems import Problem

MOST_BYTES = 1 << 16
"""Of a reading as JSON."""

# Control characters are not allowed in the texts of DICOM objects.
_PLAIN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$"
_NOT_PLAIN = (
    "Control characters other than tabs and line ends are not allowed: remove them from note and "
    "reader."
)


class ReaderBox(BaseModel):
    """A box that a person drew, in pixels of the radiograph."""

    model_config = ConfigDict(extra="forbid")

    x: int = Field(ge=0, description="Left edge")
    y: int = Field(ge=0, description="Top edge")
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class NewReading(BaseModel):
    """A reading as it is sent."""

    model_config = ConfigDict(extra="forbid")

    agrees: bool | None = Field(
        default=None, description="Whether the reader agrees with the finding; null: not said"
    )
    boxes: list[ReaderBox] = Field(default=[], max_length=50, description="Where the disease is")
    note: str = Field(default="", max_length=2000, pattern=_PLAIN)
    reader: str = Field(default="", max_length=64, pattern=_PLAIN, description="Who read it")


class Reading(NewReading):
    """A reading as it is kept; readings of earlier versions may hold any text."""

    note: str = ""
    reader: str = Field(default="", description="Who read it")
    label: str | None = Field(
        description="The reader's label; null if the radiograph was not assessed or none was given"
    )


def parse_reading(
    body: bytes, finding: Finding, labels: tuple[str, str], size: tuple[int, int]
) -> Reading:
    """The reading in a request's body.

    Args:
        body: JSON of a `NewReading`.
        finding: that was read.
        labels: of the model, negative first.
        size: width and height of the radiograph in pixels.

    Raises:
        Problem: it is not a reading.
    """
    try:
        sent = NewReading.model_validate_json(body)
    except ValidationError as error:
        places = ", ".join(sorted({".".join(map(str, part["loc"])) for part in error.errors()}))
        if any(part["type"] == "string_pattern_mismatch" for part in error.errors()):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _NOT_PLAIN) from error
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"Not a reading: {places or 'the body is not JSON'}. See /openapi.json.",
        ) from error
    width, height = size
    if any(box.x + box.width > width or box.y + box.height > height for box in sent.boxes):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"A box reaches beyond the radiograph, which has {width} x {height} pixels. Send x, y, "
            "width and height in pixels of the film.",
        )
    label = None
    if sent.agrees is not None and finding.label is not None:
        label = labels[int(finding.positive == sent.agrees)]
    return Reading(**sent.model_dump(), label=label)
