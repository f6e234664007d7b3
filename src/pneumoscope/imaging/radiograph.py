"""The radiograph as every other room sees it, and the header that a scan of a folder needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.imaging.orientation import USUAL, Orientation


def to_unit(levels: NDArray[np.integer], full_scale: int) -> NDArray[np.float32]:
    """Integer levels in 0..full_scale as float32 in [0, 1]; rounds back to the same levels."""
    unit: NDArray[np.float32] = np.divide(levels, np.float32(full_scale), dtype=np.float32)
    return unit


def full_scale(highest: float) -> int:
    """The full scale of the smallest depth of 8, 10, 12, 14 and 16 bits that holds a level.

    Args:
        highest: 0 to 65535.
    """
    return next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if highest < 2**bits)


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One frontal chest radiograph, compared by identity.

    Args:
        pixels: float32 (height, width) in [0, 1], bright = dense (MONOCHROME2 polarity). Not
            copied: whoever hands the array over no longer writes to it. Fewer, where the radiograph
            was read for the model alone (`reduction`).
        source: the file it came from.
        spacing: millimetres per pixel as (row, column), if the file says so.
        aspect: height of a pixel over its width; 1 where pixels are square.
        modality: DICOM modality such as "CR" or "DX", if known.
        view: DICOM view position such as "PA" or "AP", if known.
        patient: DICOM PatientID as stored. It groups radiographs by patient and is kept out of
            `repr`.
        notes: what the reader ignored or assumed, in short sentences of its own; they never quote
            the file.
        orientation: how the pixels lie in the patient, if the file says so.
        age: the patient's, in years, if the file says so.
        reduction: rows and columns of the radiograph for one of `pixels`: 1, or 2, 4 or 8 where a
            JPEG was decoded at a part of its size.
        full_size: (height, width) of the radiograph where `reduction` is more than 1.

    Raises:
        ValueError: `pixels` is not a finite float32 picture in [0, 1].
    """

    pixels: NDArray[np.float32] = field(repr=False)
    source: Path
    spacing: tuple[float, float] | None = None
    aspect: float = 1.0
    modality: str | None = None
    view: str | None = None
    patient: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    orientation: Orientation = USUAL
    age: float | None = None
    reduction: int = 1
    full_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.ndim != 2 or pixels.size == 0:
            raise ValueError(f"pixels must have shape (height, width), not {pixels.shape}")
        if pixels.dtype != np.float32:
            raise ValueError(f"pixels must be float32, not {pixels.dtype}")
        # A NaN anywhere makes min() NaN, which fails the comparison: one test for range and finite.
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError("pixels must be finite and within [0, 1]")

    @property
    def height(self) -> int:
        """Rows of the radiograph."""
        return int((self.full_size or self.pixels.shape)[0])

    @property
    def width(self) -> int:
        """Columns of the radiograph."""
        return int((self.full_size or self.pixels.shape)[1])

    def upright(self) -> Radiograph:
        """The radiograph hung as usual: head up, the patient's right on the radiograph's left."""
        if self.orientation.usual:
            return self
        spacing, aspect = self.spacing, self.aspect
        if self.orientation.transposed:
            spacing, aspect = spacing and (spacing[1], spacing[0]), 1 / aspect
        pixels = self.orientation.upright(self.pixels)
        return replace(self, pixels=pixels, spacing=spacing, aspect=aspect, orientation=USUAL)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about its radiograph before any pixel is decoded.

    Args:
        width: columns of the upright radiograph.
        height: rows of the upright radiograph.
        patient: DICOM PatientID as stored, kept out of `repr`; None for other formats.
        view: DICOM view position, if known.
        modality: DICOM modality, if known.
    """

    width: int
    height: int
    patient: str | None = field(default=None, repr=False)
    view: str | None = None
    modality: str | None = None
