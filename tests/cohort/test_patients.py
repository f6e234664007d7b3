from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from pneumoscope.cohort.patients import (
    Identity,
    compile_pattern,
    dicom_patient_id,
    hash_patient_id,
    identify,
)
from pneumoscope.errors import SettingsError

from .films import film, save, save_dicom


@pytest.mark.parametrize(
    ("name", "patient", "rule"),
    [
        ("NORMAL/IM-0620-0001-0001.jpeg", "IM-0620", "kermany"),
        ("NORMAL/IM-0620-0001.jpeg", "IM-0620", "kermany"),
        ("NORMAL/NORMAL2-IM-0095-0001.jpeg", "NORMAL2-IM-0095", "kermany"),
        ("NORMAL/NORMAL2-IM-0095-0001-0002.jpeg", "NORMAL2-IM-0095", "kermany"),
        ("NORMAL/IM-0095-0001.jpeg", "IM-0095", "kermany"),
        ("PNEUMONIA/person12_bacteria_46.jpeg", "person12", "kermany"),
        ("PNEUMONIA/person12_virus_2.jpeg", "person12", "kermany"),
        ("PNEUMONIA/person1373_virus_2365_2.jpeg", "person1373", "kermany"),
        ("PNEUMONIA/person1_bacteria_1.jpeg", "person1", "kermany"),
        ("BACTERIA-1008087-0001.jpeg", "1008087", "kermany"),
        ("images_001/00000013_005.png", "00000013", "nih"),
        ("NORMAL/a.png", "file:NORMAL/a.png", "file"),
        ("PNEUMONIA/a.png", "file:PNEUMONIA/a.png", "file"),
        ("personal_1.png", "file:personal_1.png", "file"),
        ("IM-0620x.png", "file:IM-0620x.png", "file"),
        ("1_00000013_005.png", "file:1_00000013_005.png", "file"),
    ],
)
def test_names_give_patients(name: str, patient: str, rule: str) -> None:
    assert identify(name) == Identity(patient, rule)  # type: ignore[arg-type]


def test_the_order_of_the_rules() -> None:
    name = "PNEUMONIA/person12_virus_2.dcm"
    pattern = re.compile(r"virus_(\d+)")
    everything = identify(name, column=" 7 ", dicom_id="X", pattern=pattern)
    assert everything == Identity("2", "pattern")
    assert identify(name, column=" 7 ", dicom_id="X") == Identity("7", "column")
    assert identify(name, dicom_id="X") == Identity(hash_patient_id("X"), "dicom")
    assert identify(name, column=" ", dicom_id=" ") == Identity("person12", "kermany")


def test_a_pattern_gives_its_group_or_the_match_and_else_the_file() -> None:
    assert identify("a/pt7_x.png", pattern=re.compile(r"pt\d+")).patient == "pt7"
    assert identify("a/pt7_x.png", pattern=re.compile(r"pt(\d+)")).patient == "7"
    # Not person12: with a pattern the names of known sets mean nothing.
    assert identify("person12_virus_2.png", pattern=re.compile(r"pt(\d+)")).rule == "file"
    assert identify("ptx.png", pattern=re.compile(r"pt(\d+)?")).rule == "file"


def test_a_bad_pattern_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="not a regular expression"):
        compile_pattern("person(")


def test_the_hash_hides_the_number() -> None:
    expected = "dicom-" + hashlib.sha256(b"MRN 1234").hexdigest()[:16]
    assert hash_patient_id("MRN 1234 ") == expected


def test_the_patient_id_comes_from_dicom_only(tmp_path: Path) -> None:
    assert dicom_patient_id(save_dicom(tmp_path / "a.dcm", film(1), "P7")) == "P7"
    assert dicom_patient_id(save_dicom(tmp_path / "1.2.3", film(1), "P8")) == "P8"
    assert dicom_patient_id(save(tmp_path / "a.png", film(1))) is None
    assert dicom_patient_id(tmp_path / "missing.dcm") is None
