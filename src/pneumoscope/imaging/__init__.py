"""Imaging: from a file to a `Radiograph`, and from a radiograph to a model's input and back.

Enters: a path to PNG, JPEG, TIFF or DICOM.
Leaves: `Radiograph` (float32 pixels in [0, 1], bright = dense), `Letterbox` (the exact, invertible
map between a radiograph's pixel grid and a model's square input), `model_input` (uint8), and an
`ImageError` that names the file and the remedy for anything else.
May import: numpy, Pillow, pydicom. No torch, no other room.

Inside: `read` looks at a file's first bytes and hands it to `raster` (Pillow) or `dicom` (pydicom,
imported when the first DICOM file comes); `tone` turns stored DICOM values into gray, `colour`
decides whether three channels are one gray radiograph, `orientation` tells how a radiograph is
hung, `limits` stops huge files before they are decoded, `display` adds what a person who reads a
radiograph needs.
"""

from pneumoscope.imaging.arrays import from_array
from pneumoscope.imaging.letterbox import Box, Letterbox, model_input
from pneumoscope.imaging.limits import DEFAULT_LIMITS, Limits
from pneumoscope.imaging.orientation import Orientation
from pneumoscope.imaging.radiograph import Header, Radiograph
from pneumoscope.imaging.read import (
    SUFFIXES,
    is_dicom_file,
    is_dicom_start,
    is_radiograph_file,
    read_header,
    read_radiograph,
)

__all__ = [
    "DEFAULT_LIMITS",
    "SUFFIXES",
    "Box",
    "Header",
    "Letterbox",
    "Limits",
    "Orientation",
    "Radiograph",
    "from_array",
    "is_dicom_file",
    "is_dicom_start",
    "is_radiograph_file",
    "model_input",
    "read_header",
    "read_radiograph",
]
