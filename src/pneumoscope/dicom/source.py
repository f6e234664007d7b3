"""The attributes of a radiograph that objects derived from it must carry.

Only the elements named here are parsed. A derived object belongs to the same patient and study, so
the attributes that identify those two are copied as they are, and the request that the radiograph
answers (see `request`). Everything else about the patient (address, history, physicians but the
referring one) and about the visit stays where it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.dicom.request import REQUEST, referenced_request
from pneumoscope.errors import UnreadableImage, UnsupportedImage
from pneumoscope.imaging import read_radiograph

IDENTITY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Copied into every derived object: patient and study, as archives match them."""

TONE = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
)
"""How stored values become gray."""

REFERENCE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PatientOrientation",
    "FrameOfReferenceUID",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    *TONE,
)
"""Needed to refer to the radiograph and to lay objects over its pixels."""

CONTEXT = ("StudyDescription", "BodyPartExamined")
"""Copied where they keep the standard's rules; archives and viewers sort by them."""

SELECTION = (
    "NumberOfFrames",
    "AnatomicRegionSequence",
    "ViewPosition",
    "ViewCodeSequence",
    "ImageType",
    "PresentationIntentType",
    "Manufacturer",
    "ManufacturerModelName",
    "SpecificCharacterSet",
)
"""Read to decide whether the file is a frontal chest radiograph; never copied."""

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_SEXES = ("M", "F", "O")
_UNICODE = "ISO_IR 192"
_LONG_STRING, _CODE_STRING = 64, r"[A-Z0-9_ ]{1,16}"


@dataclass(frozen=True, slots=True)
class Source:
    """A radiograph as derived objects refer to it.

    Attributes:
        digest: hex SHA-256 of what identifies the radiograph: patient, study and radiograph as the
            tags name them, and its pixels. The same in every transfer syntax that loses nothing.
        dataset: pydicom dataset without pixels, holding `IDENTITY`, `REFERENCE`, `CONTEXT` and the
            referenced request alone, text in Unicode; `Source` never changes it.
    """

    digest: str
    dataset: Any

    @property
    def orientation(self) -> tuple[str, str] | None:
        """Directions of the radiograph's rows and columns in the patient, such as ("L", "F")."""
        value = self.dataset.get("PatientOrientation")
        return (str(value[0]), str(value[1])) if value is not None and len(value) == 2 else None

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the radiograph in pixels, as its tags say."""
        return int(self.dataset.Rows), int(self.dataset.Columns)

    def text(self) -> str:
        """As JSON, for `from_text`; it names the patient."""
        return json.dumps({"digest": self.digest, "dataset": self.dataset.to_json_dict()})

    @classmethod
    def from_text(cls, text: str) -> Source:
        """What `text` gave; the file itself is no longer needed."""
        from pydicom import Dataset

        known = json.loads(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cls(known["digest"], Dataset.from_json(known["dataset"]))


def read_tags(path: Path) -> Any:
    """The elements of a DICOM file that this room knows, without pixels.

    Raises:
        UnreadableImage: damaged or not a DICOM file.
    """
    from pydicom import dcmread

    known = [*IDENTITY, *REFERENCE, *CONTEXT, *SELECTION, *REQUEST]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(path, force=True, stop_before_pixels=True, specific_tags=known)
            for keyword in (*REFERENCE, *CONTEXT, *REQUEST):
                _drop_malformed(dataset, keyword)
            dataset.decode()
            # Values are converted when they are first touched; what is damaged shows here.
            for element in dataset.iterall():
                _ = element.value
    except Exception:  # Messages of parsers can quote values, that is names.
        raise UnreadableImage(
            "is a damaged or truncated DICOM file",
            path=path,
            remedy="export it again from the archive",
        ) from None
    return dataset


def _drop_malformed(dataset: Any, keyword: str) -> None:
    """Leave out what cannot be converted, such as a window with a decimal comma.

    The reader of the radiograph notes or refuses it, and a derived object is better without it.
    """
    try:
        if keyword in dataset:
            _ = dataset[keyword].value
    except Exception:  # pydicom raises almost anything
        del dataset[keyword]


def read_source(path: Path, pixels: NDArray[np.float32] | None = None) -> Source:
    """Read from a DICOM radiograph what objects derived from it carry.

    Args:
        path: the radiograph.
        pixels: of it, as `read_radiograph` gave them; None to read them here.

    Raises:
        UnreadableImage: damaged or not a DICOM file.
        UnsupportedImage: it lacks a UID that derived objects must refer to.
        ImageError: its pixels cannot be read.
    """
    tags = read_tags(path)
    for keyword in _UIDS:
        if not tags.get(keyword):
            raise UnsupportedImage(
                f"has no {keyword}, so that no DICOM object can refer to it",
                path=path,
                remedy="export it again from the archive",
            )
    reference = _reference(tags)
    if pixels is None:
        pixels = read_radiograph(path).pixels
    return Source(_digest(reference, pixels), reference)


def _digest(reference: Any, pixels: NDArray[np.float32]) -> str:
    said = [str(reference.get(keyword, "")) for keyword in (*IDENTITY, *_UIDS)]
    digest = hashlib.sha256(json.dumps([*said, pixels.shape]).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _reference(tags: Any) -> Any:
    """The dataset of a `Source`; attributes that every derived object must have are there, empty.

    Values that break the standard's rules are left out where an object may do without them: an
    archive would refuse the object for them.
    """
    from pydicom import Dataset

    reference = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword in IDENTITY:
            setattr(reference, keyword, _text(tags.get(keyword)))
        for keyword in REFERENCE:
            if keyword in tags and not tags[keyword].is_empty:
                reference.add(tags[keyword])
        reference.SpecificCharacterSet = _UNICODE
        if not reference.IssuerOfPatientID:
            del reference.IssuerOfPatientID
        if reference.PatientSex not in _SEXES:
            reference.PatientSex = None
        for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
            if not _is_valid(tags, keyword):
                setattr(reference, keyword, None)
        _add_context(reference, tags)
    reference.SamplesPerPixel = int(reference.get("SamplesPerPixel") or 1)
    return reference


def _add_context(reference: Any, tags: Any) -> None:
    """What the study and the body part are called, and the request; what is not known stays out."""
    description = _text(tags.get("StudyDescription"))
    if description is not None:
        reference.StudyDescription = description[:_LONG_STRING].replace("\\", "/")
    part = (_text(tags.get("BodyPartExamined")) or "").upper()
    # Whoever gets this far passed for a chest radiograph.
    reference.BodyPartExamined = part if re.fullmatch(_CODE_STRING, part) else "CHEST"
    request = referenced_request(tags)
    if request is not None:
        reference.ReferencedRequestSequence = [request]


def _text(value: Any) -> str | None:
    """The first value as text, decoded: the bytes of its old character set are left behind."""
    from pydicom.multival import MultiValue

    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    text = "" if value is None else str(value).strip()
    return text or None


def _is_valid(tags: Any, keyword: str) -> bool:
    from pydicom.valuerep import DA, TM

    text = _text(tags.get(keyword))
    try:
        (TM if keyword.endswith("Time") else DA)(text)
    except (ValueError, TypeError):
        return False
    return True
