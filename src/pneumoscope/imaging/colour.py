"""Deciding whether three colour channels hold one gray radiograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOUR_TOLERANCE = 24
"""Largest 99th percentile of (max - min of the channels), out of 255, that still counts as gray.

Gray radiographs saved as colour JPEG differ by a few levels where chroma was quantised;
photographs, and radiographs with a coloured overlay on more than one pixel in a hundred, differ by
many tens.
"""

_LUMA = (0.299, 0.587, 0.114)


def gray_of_rgb(
    rgb: NDArray[np.unsignedinteger], full_scale: int = 255
) -> NDArray[np.unsignedinteger] | None:
    """The gray radiograph in a colour picture, or None when the picture is truly coloured.

    Args:
        rgb: uint8 or uint16 (height, width, 3).
        full_scale: the value of white.

    Returns:
        The same type, (height, width): the channel itself where the three are equal, ITU-R 601
        luma where they nearly are; None when the 99th percentile of the spread is above
        `COLOUR_TOLERANCE`.
    """
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    highest = np.maximum(np.maximum(red, green), blue)
    spread = highest - np.minimum(np.minimum(red, green), blue)
    if not spread.any():
        return np.ascontiguousarray(red)
    coloured = np.count_nonzero(spread > COLOUR_TOLERANCE * full_scale / 255)
    if coloured > 0.01 * spread.size:
        return None
    if rgb.dtype == np.uint8:
        return np.asarray(Image.fromarray(rgb).convert("L"))
    luma = sum(
        channel * np.float32(part) for channel, part in zip((red, green, blue), _LUMA, strict=True)
    )
    return np.asarray(np.rint(luma)).astype(rgb.dtype)
