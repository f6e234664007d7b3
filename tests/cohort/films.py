"""Synthetic films for the tests of this room: distinct textures, written as PNG, JPEG or DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from scipy.ndimage import gaussian_filter


def film(seed: int, side: int = 96) -> NDArray[np.float32]:
    """float32 (side, side) in [0, 1]: one body shape that all share, and a texture of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    body = np.exp(-((x / 0.35) ** 2 + (y / 0.45) ** 2)) - 0.6 * np.exp(
        -(((abs(x) - 0.2) / 0.1) ** 2)
    )
    grain = gaussian_filter(rng.normal(size=(side, side)), side / 60)
    picture = body + 0.15 * grain / grain.std()
    low, high = picture.min(), picture.max()
    scaled: NDArray[np.float32] = ((picture - low) / (high - low)).astype(np.float32)
    return scaled


def save(path: Path, pixels: NDArray[np.float32], quality: int = 95) -> Path:
    """Write 8-bit PNG or JPEG, by suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    image.save(path, quality=quality)  # PNG, lossless, does not look at the quality
    return path


def save_dicom(path: Path, pixels: NDArray[np.float32], patient: str) -> Path:
    """Write a digital radiograph with a PatientID."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.SOPClassUID = DigitalXRayImageStorageForPresentation
    data.PatientID = patient
    data.Modality = "DX"
    data.ViewPosition = "PA"
    data.PhotometricInterpretation = "MONOCHROME2"
    data.SamplesPerPixel = 1
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 0
    data.PixelData = np.rint(pixels * 65535).astype("<u2").tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def kermany(root: Path, normals: int = 6, pneumonias: int = 8) -> Path:
    """Label folders with names as in the Kermany set: one film a patient, pneumonia two."""
    for k in range(normals):
        save(root / "NORMAL" / f"IM-{k:04d}-0001.png", film(k))
    for k in range(pneumonias):
        for view in range(2):
            name = f"person{k}_bacteria_{10 * k + view}.png"
            save(root / "PNEUMONIA" / name, film(1000 + 10 * k + view))
    return root
