"""Pseudonyms: objects that do not name the patient.

The profile is the Basic Application Level Confidentiality Profile of PS3.15 E.2 with the option to
retain device identity, for objects that hold few attributes to begin with (see `source`): name and
patient id become a code, UIDs become new ones, consistently; birth date, sex, dates, times,
accession number, study id, issuer, study description, request and the referring physician are
emptied or removed. Pixels are not cleaned: text burned into a radiograph stays on its Secondary
Capture.

The code and the UIDs are keyed hashes (HMAC-SHA256). Who has the key and the originals can link
them, nobody else can; with the same key the same patient gets the same code every time.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from pneumoscope.dicom.source import Source
from pneumoscope.errors import SettingsError

_KEY_BYTES = 32
_EMPTIED = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_REMOVED = ("IssuerOfPatientID", "StudyDescription", "ReferencedRequestSequence")
_RENAMED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101000000"}
METHOD = "Pneumoscope: PS3.15 Basic Profile, device identity retained"


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Codes and UIDs in place of a patient's own.

    Args:
        key: secret bytes.
    """

    key: bytes = field(repr=False)

    @classmethod
    def from_file(cls, path: Path) -> Pseudonyms:
        """With the key of a file, which is made, readable by its owner alone, if there is none.

        Raises:
            SettingsError: the file holds no key, or cannot be read or made.
        """
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600, exist_ok=False)
                path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", encoding="ascii")
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise SettingsError(
                "holds no key", path=path, remedy="name a file that does not exist: it is made"
            ) from error
        if len(key) < _KEY_BYTES:
            raise SettingsError(
                "holds a key that is too short", path=path, remedy="name a new file: it is made"
            )
        return cls(key)

    def code(self, kind: str, value: str) -> str:
        """16 hex digits for a value; the same for the same value."""
        return hmac.digest(self.key, f"{kind}/{value}".encode(), "sha256").hex()[:16]

    def uid(self, value: str) -> str:
        """A UID in place of another."""
        number = UUID(
            bytes=hmac.digest(self.key, f"uid/{value}".encode(), "sha256")[:16], version=4
        )
        return f"2.25.{number.int}"

    def apply(self, source: Source) -> Source:
        """The source under its pseudonyms; the one given stays as it is."""
        from pydicom import Dataset

        old, new = source.dataset, Dataset()
        for element in old:
            new.add_new(element.tag, element.VR, element.value)
        patient = self.code("patient", f"{old.get('IssuerOfPatientID', '')}/{old.PatientID}")
        if not old.PatientID:  # Two patients without an id must not become one.
            patient = self.code("patient", f"study/{old.StudyInstanceUID}")
        new.PatientID = new.PatientName = patient
        for keyword in _EMPTIED:
            setattr(new, keyword, None)
        for keyword in _REMOVED:
            if keyword in new:
                delattr(new, keyword)
        for keyword in _RENAMED:
            if keyword in new:
                setattr(new, keyword, self.uid(str(new[keyword].value)))
        return replace(source, dataset=new, digest=self.code("film", source.digest))

    def mark(self, made: Any) -> None:
        """Say in an object that it was de-identified, and replace its dates by a dummy."""
        from pydicom.dataset import Dataset

        for element in made.iterall():
            if element.VR in _DUMMIES and not element.is_empty:
                element.value = _DUMMIES[element.VR]
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethod = METHOD
        made.DeidentificationMethodCodeSequence = [
            _code(Dataset(), "113100", "Basic Application Confidentiality Profile"),
            _code(Dataset(), "113109", "Retain Device Identity Option"),
        ]
        made.LongitudinalTemporalInformationModified = "REMOVED"


def _code(item: Any, value: str, meaning: str) -> Any:
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
