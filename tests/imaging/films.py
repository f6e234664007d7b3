"""Synthetic radiographs in every format that the reader meets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

CR_STORAGE = UID("1.2.840.10008.5.1.4.1.1.1")


def ramp(height: int = 48, width: int = 40, top: int = 255) -> NDArray[np.uint16]:
    """Values 0..top, smooth, darker at the top left."""
    rows = np.linspace(0, 1, height)[:, None]
    columns = np.linspace(0, 1, width)[None, :]
    return np.rint((rows + columns) / 2 * top).astype(np.uint16)


def gray8(height: int = 48, width: int = 40) -> NDArray[np.uint8]:
    """The ramp as 8 bits."""
    return ramp(height, width).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write pixels with Pillow and return the path."""
    Image.fromarray(pixels).save(path, **options)
    return path


def dicom(stored: NDArray[Any], **elements: Any) -> Dataset:
    """A CR dataset, Explicit VR Little Endian; `elements` override or (None) remove what is set."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CR_STORAGE
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["film"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    signed = stored.dtype.kind == "i"
    bits = stored.dtype.itemsize * 8
    defaults: dict[str, Any] = {
        "SOPClassUID": CR_STORAGE,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "CR",
        "ViewPosition": "PA",
        "PatientName": "SECRET^NAME",
        "PatientID": "P-17",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1 if stored.ndim == 2 else stored.shape[2],
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
    }
    if elements.get("BitsStored"):
        defaults["HighBit"] = elements["BitsStored"] - 1
    for keyword, value in {**defaults, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def write_dicom(path: Path, stored: NDArray[Any], **elements: Any) -> Path:
    """Write `dicom(...)` as a standard file and return the path."""
    dicom(stored, **elements).save_as(path, enforce_file_format=True)
    return path


def lookup_table(entries: NDArray[Any], first: int, depth: int) -> Dataset:
    """A modality or VOI LUT item."""
    item = Dataset()
    item.add_new(0x00283002, "US" if first >= 0 else "SS", [entries.size % 65536, first, depth])
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return item
