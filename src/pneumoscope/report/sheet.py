"""Contact sheets: many overlays in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_BACKGROUND, _INK = (16, 18, 22), (226, 230, 235)
_GAP = 10


def contact_sheet(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    *,
    columns: int | None = None,
    tile: int = 320,
) -> NDArray[np.uint8]:
    """Pictures side by side in reading order, each with its caption below.

    Pictures keep their aspect ratio and are centred in square tiles; a caption too long for its
    tile ends in an ellipsis.

    Args:
        images: each (h, w, 3) uint8, of any size.
        captions: one line per picture.
        columns: pictures per row; None makes the sheet about as wide as high.
        tile: side of a tile in pixels.

    Returns:
        (height, width, 3) uint8.
    """
    if not images or len(images) != len(captions):
        raise ValueError(f"{len(images)} pictures with {len(captions)} captions")
    if (columns is not None and columns < 1) or tile < 1:
        raise ValueError(f"{columns} columns of {tile} pixels hold nothing")
    across = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    down = math.ceil(len(images) / across)
    size = max(10, tile // 22)
    font = ImageFont.load_default(size)
    step_x, step_y = tile + _GAP, tile + 2 * size + _GAP
    sheet = Image.new("RGB", (across * step_x + _GAP, down * step_y + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (picture, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, across)
        left, top = _GAP + column * step_x, _GAP + row * step_y
        small = _fitted(picture, tile)
        sheet.paste(small, (left + (tile - small.width) // 2, top + (tile - small.height) // 2))
        line = shortened(" ".join(caption.split()), draw, font, tile)
        draw.text((left, top + tile + size // 3), line, fill=_INK, font=font)
    return np.array(sheet)


def _fitted(picture: NDArray[np.uint8], tile: int) -> Image.Image:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"a picture is (h, w, 3) uint8, not {picture.shape} {picture.dtype}")
    height, width = picture.shape[:2]
    scale = tile / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)


def shortened(
    text: str,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    """The text, cut off with an ellipsis where it is longer than `width` pixels."""
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text.rstrip() + "…"
