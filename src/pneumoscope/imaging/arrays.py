"""A radiograph from pixels in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pneumoscope.errors import UnsupportedImage
from pneumoscope.imaging.limits import DEFAULT_LIMITS
from pneumoscope.imaging.radiograph import Radiograph, full_scale, to_unit
from pneumoscope.imaging.raster import read_picture


def from_array(film: object, name: str) -> Radiograph:
    """A radiograph from an array, or from a picture of Pillow.

    Args:
        film: 2-D with bright = dense: uint8; uint16, whose full scale is that of the smallest
            depth of 8, 10, 12, 14 and 16 bits that holds its largest value, as of a file; or float
            in [0, 1]. A picture of Pillow is taken as a file of it would be.
        name: what it is called.

    Raises:
        ImageError: it is neither, or cannot be used.
    """
    if isinstance(film, Image.Image):
        return read_picture(film, Path(name), DEFAULT_LIMITS)
    if not isinstance(film, np.ndarray) or film.ndim != 2:
        what = f"an array of shape {film.shape}" if isinstance(film, np.ndarray) else "no array"
        raise UnsupportedImage(
            f"is {what}, not one gray picture", remedy="give 2-D arrays, several of them as a list"
        )
    DEFAULT_LIMITS.check_size(Path(name), film.shape[1], film.shape[0])
    if film.dtype == np.uint8:
        return Radiograph(to_unit(film, 255), Path(name))
    if film.dtype == np.uint16:
        return Radiograph(to_unit(film, full_scale(int(film.max()))), Path(name))
    real = film.dtype.kind in "iuf"
    # Comparisons with NaN are false, so this refuses it too.
    if film.dtype.kind == "f" and film.min() >= 0 and film.max() <= 1:
        return Radiograph(film.astype(np.float32), Path(name))
    values = f" from {film.min():g} to {film.max():g}" if real else ""
    raise UnsupportedImage(
        f"is an array of {film.dtype}{values}",
        remedy="give uint8, uint16 or float from 0 to 1, bright = dense",
    )
