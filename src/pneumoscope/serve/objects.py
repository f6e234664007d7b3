"""DICOM objects of a result that is kept, as a download."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.bundles import BundleInfo
from pneumoscope.dicom.objects import Kind, write_objects
from pneumoscope.dicom.outcome import shows_no_film
from pneumoscope.dicom.reader_report import PersonReading, reader_report
from pneumoscope.dicom.result import Result
from pneumoscope.dicom.source import Source, read_source
from pneumoscope.errors import ImageError
from pneumoscope.findings import Finding
from pneumoscope.imaging.png import unit_values
from pneumoscope.serve.jobs import Answer
from pneumoscope.serve.reading import Reading

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Explained


def source_text(item: Explained) -> str | None:
    """What objects carry of a DICOM radiograph, and its spacing, as JSON that names the patient.

    None if the radiograph lacks what objects must refer to, or is no chest radiograph at all.
    """
    film = item.radiograph
    if shows_no_film(item.finding):
        return None
    try:
        source = read_source(film.source, film.pixels)
    except ImageError:
        return None
    if source.grid != film.pixels.shape:
        return None
    return json.dumps({"source": source.text(), "spacing": film.spacing})


def zipped_objects(
    answer: Answer, info: BundleInfo, kinds: tuple[Kind, ...], folder: Path
) -> bytes:
    """A ZIP file of a result's objects, `KIND.dcm` each, without those that it cannot have.

    Args:
        answer: with a `source`.
        info: of the bundle that judged.
        kinds: which objects.
        folder: private, where they are until they are zipped.

    Raises:
        OutputError: none of the objects can be written.
    """
    result = _result(answer, info)
    stream = io.BytesIO()
    with tempfile.TemporaryDirectory(dir=folder) as name, zipfile.ZipFile(stream, "w") as archive:
        for path in write_objects(result, kinds, Path(name)):
            archive.write(path, path.name, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def reading_object(answer: Answer, reading: Reading, info: BundleInfo) -> bytes:
    """A person's reading as a DICOM file: a Structured Report of the patient and study.

    Args:
        answer: with a `source`.
        reading: with a label.
        info: of the bundle that found what was read.
    """
    assert reading.label is not None
    # Where the disease was read as absent, boxes that were drawn before mark nothing.
    drawn = () if reading.label == info.labels[0] else reading.boxes
    boxes = tuple((box.x, box.y, box.width, box.height) for box in drawn)
    said = PersonReading(reading.label, boxes, reading.note, reading.reader)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # Names without "^" and the like, which the radiograph has already.
        warnings.simplefilter("ignore")
        reader_report(_result(answer, info), said).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _result(answer: Answer, info: BundleInfo) -> Result:
    if answer.source is None or answer.film is None:
        raise ValueError("there are no objects for this radiograph")
    known = json.loads(answer.source)
    spacing = known["spacing"]
    film = _levels(answer.film)
    return Result(
        Source.from_text(known["source"]),
        film,
        np.zeros_like(film) if answer.heatmap is None else _levels(answer.heatmap),
        Finding.model_validate_json(answer.finding),
        info,
        None if spacing is None else (spacing[0], spacing[1]),
    )


def _levels(png: bytes) -> NDArray[np.float32]:
    """Pixels of a 16-bit gray PNG of our own making, in [0, 1]."""
    with Image.open(io.BytesIO(png)) as image:
        return unit_values(image)
