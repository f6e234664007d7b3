"""Phantoms as DICOM radiographs, and results on them without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from pneumoscope.bundles import BundleInfo
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.dicom.result import Result
from pneumoscope.dicom.source import read_source
from pneumoscope.findings import Finding, Region
from pneumoscope.imaging import read_radiograph
from tests.imaging.films import ramp, write_dicom

NAME, PATIENT = "Gr\u00fcn^\u00c5sa", "HOSP-QX47"
# What must not be found in anything de-identified. None is digits alone, or so few of them that a
# UID, which is up to 39 drawn ones, may hold them.
PRIVATE = (*NAME.split("^"), "QX47", "19520314", "1952-3-14", "ACC-99")
BOX = Region(x=12, y=30, width=17, height=9, score=0.75, zone="right_lower")
CODES = {"CR": "1.2.840.10008.5.1.4.1.1.1", "DX": "1.2.840.10008.5.1.4.1.1.1.1"}


def film(
    path: Path,
    *,
    height: int = 80,
    width: int = 60,
    pixels: NDArray[np.uint16] | None = None,
    **elements: Any,
) -> Path:
    """Write a CR chest radiograph with a study around it; `elements` override, None removes.

    Its pixels are a ramp, or `pixels` of 12 bits.
    """
    study: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": NAME,
        "PatientID": PATIENT,
        "PatientBirthDate": "19520314",
        "PatientSex": "F",
        "PatientAddress": "Somewhere 5",
        "OtherPatientIDs": "SECOND-ID",
        "StudyInstanceUID": generate_uid(entropy_srcs=["study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["series"]),
        "StudyDate": "20260102",
        "StudyTime": "101500",
        "StudyID": "S7",
        "AccessionNumber": "ACC-99",
        "ReferringPhysicianName": "Referrer^Rita",
        "InstitutionName": "Somewhere General",
        "BodyPartExamined": "CHEST",
        "PixelSpacing": [0.2, 0.1],
        "PatientOrientation": ["L", "F"],
        "BitsStored": 12,
        "HighBit": 11,
    }
    stored = ramp(height, width, 4095) if pixels is None else pixels
    return write_dicom(path, stored, **{**study, **elements})


def info() -> BundleInfo:
    """A bundle's description."""
    return BundleInfo.model_validate(
        {
            "version": "0",
            "architecture": {
                "backbone": "small",
                "head": "h",
                "size": 64,
                "mean": (0, 0, 0),
                "std": (1, 1, 1),
            },
            "labels": ("NORMAL", "PNEUMONIA"),
            "threshold": 0.4,
            "temperature": 0.7,
            "calibration": {"ece_after": 0.03, "ece_before": None},
            "training": {
                "data_digest": "0" * 64,
                "splits": {},
                "weights": {},
                "settings": {},
                "selected_epoch": 0,
                "versions": {},
            },
            "files": {WEIGHTS_FILE: "ab12" * 16},
        }
    )


def result(path: Path, **changes: Any) -> Result:
    """What a model might have found on a radiograph of `film`: heat in `BOX` alone."""
    radiograph = read_radiograph(path)
    heatmap = np.zeros(radiograph.pixels.shape, dtype=np.float32)
    heatmap[BOX.y : BOX.y + BOX.height, BOX.x : BOX.x + BOX.width] = BOX.score
    said: dict[str, Any] = {
        "image": path.name,
        "label": "PNEUMONIA",
        "probability": 0.93,
        "threshold": 0.4,
        "uncertain": False,
        "regions": (BOX,),
        "in_lungs": 0.8,
        "heatmap": None,
        "summary": "Opacity likely present in the right lower zone.",
        "model": info().model_id,
        "error": None,
        **changes,
    }
    return Result(
        read_source(path), radiograph.pixels, heatmap, Finding(**said), info(), radiograph.spacing
    )
