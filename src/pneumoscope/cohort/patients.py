"""Who is on a radiograph: the rules that turn a file into a patient key.

The first rule that applies wins: `--patient-pattern`, the CSV's `patient` column, the DICOM
PatientID (hashed), the file names of known public sets, and last the file itself.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pneumoscope.errors import CohortError, ImageError, SettingsError
from pneumoscope.imaging import read_header

Rule = Literal["pattern", "column", "dicom", "kermany", "nih", "chexpert", "file"]

_FILE = "file:"
_RASTER_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})

# Kermany as on Kaggle: person12_bacteria_46, person12_virus_46, IM-0620-0001-0001,
# NORMAL2-IM-0095-0001. The numbers after the patient count radiographs and views. NORMAL2-IM-0095
# is another patient than IM-0095: two series of exports that both start to count at 1.
_KERMANY_KAGGLE = re.compile(
    r"^(?:(?P<person>person\d+)(?=[_-]|$)|(?P<series>(?:NORMAL2-)?IM-\d{4,})(?=-\d|$))",
    re.IGNORECASE,
)
# Kermany as first published (Mendeley 10.17632/rscbjbr9sj, version 3):
# (disease)-(randomised patient)-(radiograph of this patient).
_KERMANY_MENDELEY = re.compile(r"^(?:NORMAL|BACTERIA|VIRUS)-(\d{6,})-\d{4}(?=\D|$)", re.IGNORECASE)
# NIH ChestX-ray14: (patient)_(follow-up).
_NIH = re.compile(r"^(\d{8})_\d{3}$")
# CheXpert: (patient)/(study)/(view).
_CHEXPERT = re.compile(r"(?:^|/)(patient\d{5,})[/_]study\d+[/_]view\d")


@dataclass(frozen=True)
class Identity:
    """A patient key and the rule that gave it."""

    patient: str
    rule: Rule


def identify(
    image: str,
    *,
    column: str = "",
    dicom_id: str | None = None,
    pattern: re.Pattern[str] | None = None,
) -> Identity:
    """The patient on a radiograph.

    Args:
        image: path relative to the cohort's root, `/` separated.
        column: what the CSV says in its `patient` column; blank when it does not.
        dicom_id: the raw DICOM PatientID, if the file has one. Only its hash leaves.
        pattern: searched in `image`; its first group is the patient, or the whole match when it
            has no group. Where it does not match, the file is the patient.

    Returns:
        The key and its rule. A file that stands for its patient is called `file:` plus its path,
        so that equal names in two folders stay two patients.
    """
    if pattern is not None:
        key = _matched(pattern, image)
        return Identity(key, "pattern") if key else _file(image)
    if column.strip():
        return Identity(column.strip(), "column")
    if dicom_id is not None and dicom_id.strip():
        return Identity(hash_patient_id(dicom_id), "dicom")
    if found := _CHEXPERT.search(image):
        return Identity(found[1], "chexpert")
    return from_name(PurePosixPath(image).stem) or _file(image)


def joined_key(patient: str, cohort: str) -> str:
    """A patient's key among several cohorts, where one number may mean different people."""
    return f"{cohort}:{patient}"


def bare_key(patient: str, cohort: str) -> str:
    """A patient's key without what `joined_key` added; "" if it only names the file."""
    key = patient.removeprefix(f"{cohort}:") if cohort else patient
    return "" if key.startswith(_FILE) else key


def from_name(stem: str) -> Identity | None:
    """The patient according to a public set's file names, without suffix; None if unknown."""
    if found := _KERMANY_KAGGLE.match(stem):
        person, series = found["person"], found["series"]
        return Identity(person.lower() if person else series.upper(), "kermany")
    if found := _KERMANY_MENDELEY.match(stem):
        return Identity(found[1], "kermany")
    if found := _NIH.match(stem):
        return Identity(found[1], "nih")
    return None


def hash_patient_id(raw: str) -> str:
    """A key for a DICOM PatientID that does not show it: `dicom-` and 16 hex digits of SHA-256.

    The hash has no salt, so that two scans agree. It hides the number from readers of the
    manifest; it does not anonymise it against somebody who can try all numbers.
    """
    return "dicom-" + hashlib.sha256(raw.strip().encode("utf-8")).hexdigest()[:16]


def dicom_patient_id(path: Path) -> str | None:
    """The raw PatientID of a DICOM file, None for other files and for files that cannot be read."""
    if path.suffix.lower() in _RASTER_SUFFIXES:
        return None
    try:
        return read_header(path).patient
    except (ImageError, OSError):
        return None


def compile_pattern(text: str | None) -> re.Pattern[str] | None:
    """Compile a `--patient-pattern`.

    Raises:
        SettingsError: it is not a regular expression.
    """
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise SettingsError(
            f"the patient pattern {text!r} is not a regular expression ({error})",
            remedy=r"write for example --patient-pattern '^(\w+)_\d+'",
        ) from error


def require_matches(pattern: re.Pattern[str] | None, rules: list[Rule]) -> None:
    """Refuse a pattern that names no patient at all.

    Raises:
        CohortError: `pattern` is given and `rules` holds none of its matches.
    """
    if pattern is not None and "pattern" not in rules:
        raise CohortError(
            f"the patient pattern {pattern.pattern!r} matches no radiograph",
            remedy="it is searched in the path relative to the cohort's root, '/' separated",
        )


def _matched(pattern: re.Pattern[str], image: str) -> str:
    found = pattern.search(image)
    if found is None:
        return ""
    return (found[1] if pattern.groups else found[0]) or ""


def _file(image: str) -> Identity:
    return Identity(f"{_FILE}{image}", "file")
