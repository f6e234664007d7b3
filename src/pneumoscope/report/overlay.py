"""The radiograph with the heatmap over it, and heatmaps as files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumoscope.files import atomic_path, write_bytes
from pneumoscope.findings import Region
from pneumoscope.imaging.png import encode_unit

# "Inferno" is perceptually uniform and readable with every common colour blindness. Its dark end is
# never seen, because cold areas are transparent; its hot end is a yellow that no radiograph has.
# The file is matplotlib's table (CC0), which takes half a second to import.
COLORMAP = Path(__file__).with_name("inferno.rgb")
REGION_COLOUR = (255, 255, 255)
LESION_COLOUR = (86, 200, 255)
OPACITY = 0.45
"""Of the hottest pixel's colour, unless somebody asks for another."""

_HALO = (0, 0, 0)
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_QUALITY = 90


def overlay(
    pixels: NDArray[np.floating[Any]],
    heatmap: NDArray[np.floating[Any]],
    regions: Sequence[Region] = (),
    *,
    opacity: float = OPACITY,
    lesion_mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The radiograph in gray, heat in colour over it, regions boxed, lesion annotations outlined.

    Opacity grows with heat, so that cold areas show the bare radiograph. Heat that is not a number
    counts as cold. The heatmap is drawn as it is, never stretched.

    Args:
        pixels: (h, w) in [0, 1], the radiograph.
        heatmap: (h, w) in [0, 1], on the same grid.
        regions: solid white boxes with their scores.
        opacity: of the hottest pixel's colour, 0 to 1.
        lesion_mask: (h, w), the outline somebody drew, blue.

    Returns:
        (h, w, 3) uint8.
    """
    picture = _picture(pixels, heatmap, regions, opacity, lesion_mask)
    return np.ascontiguousarray(np.asarray(picture)[..., :3])


def _picture(
    pixels: NDArray[np.floating[Any]],
    heatmap: NDArray[np.floating[Any]],
    regions: Sequence[Region],
    opacity: float,
    lesion_mask: NDArray[np.bool_] | None = None,
) -> Image.Image:
    """`overlay` as a picture of mode RGBX, which is what drawing and JPEG take without a copy."""
    if pixels.ndim != 2 or pixels.shape != heatmap.shape:
        raise ValueError(
            f"radiograph {pixels.shape} and heatmap {heatmap.shape} must be one (h, w)"
        )
    if lesion_mask is not None and lesion_mask.shape != pixels.shape:
        raise ValueError(
            f"radiograph {pixels.shape} and mask {lesion_mask.shape} must be one (h, w)"
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity is from 0 to 1, not {opacity:g}")
    blended = _blend(pixels, heatmap, opacity)
    line = _line_width(pixels.shape)
    if lesion_mask is not None:
        blended[_outline(lesion_mask, line), :3] = LESION_COLOUR
    height, width = pixels.shape
    image = Image.frombuffer("RGBX", (width, height), blended, "raw", "RGBX", 0, 1)
    if not regions:
        return image
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for region in regions:
        _draw_region(draw, region, line)
    # Scores come last: no box may run through a number.
    for region in regions:
        _draw_score(draw, region, line, pixels.shape)
    return image


def save_overlay(
    path: Path,
    pixels: NDArray[np.floating[Any]],
    heatmap: NDArray[np.floating[Any]],
    regions: Sequence[Region],
) -> None:
    """Write `overlay` of the same arguments, atomically: a JPEG, or a PNG if `path` says so.

    Below the radiograph is the `colour_bar`; the picture's first rows are the radiograph's. A
    radiograph's noise makes a PNG seven times as large and twenty times as slow as a JPEG in which
    nobody sees the difference.

    Raises:
        OutputError: the file cannot be written.
    """
    picture = _with_bar(_picture(pixels, heatmap, regions, OPACITY))
    with atomic_path(path) as temporary:
        if path.suffix == ".png":
            picture.convert("RGB").save(temporary, format="PNG", compress_level=3)
        else:
            picture.save(temporary, format="JPEG", quality=_QUALITY)


def colour_bar(width: int) -> NDArray[np.uint8]:
    """The colours of `overlay` from heat 0 to 1 over a medium gray, with their numbers.

    The scale is that of the heatmap, the same for every radiograph.

    Args:
        width: of the picture that it belongs to, pixels.

    Returns:
        (height, width, 3) uint8; the height follows from the width.
    """
    size = max(9, min(width // 40, 40))
    font = ImageFont.load_default(size)
    strip = Image.new("RGB", (width, 3 * size), _HALO)
    draw = ImageDraw.Draw(strip)
    left = round(draw.textlength("Heat", font=font)) + 2 * size
    long = max(width - left - 2 * size, len(_TICKS))
    heat = np.tile(np.linspace(0, 1, long, dtype=np.float32), (size, 1))
    strip.paste(Image.fromarray(overlay(np.full_like(heat, 0.5), heat)), (left, size // 3))
    draw.text((size // 2, size // 3), "Heat", fill=REGION_COLOUR, font=font)
    for tick in _TICKS:
        place = left + tick * (long - 1)
        draw.line((place, size // 3, place, size // 3 + size), fill=REGION_COLOUR)
        draw.text((place, 2.7 * size), f"{tick:g}", fill=REGION_COLOUR, font=font, anchor="ms")
    return np.asarray(strip)


def with_colour_bar(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (h, w, 3) of `overlay` with the `colour_bar` below it."""
    return np.concatenate([picture, colour_bar(picture.shape[1])])


def _with_bar(picture: Image.Image) -> Image.Image:
    bar = Image.fromarray(colour_bar(picture.width)).convert("RGBX")
    whole = Image.new("RGBX", (picture.width, picture.height + bar.height))
    whole.paste(picture, (0, 0))
    whole.paste(bar, (0, picture.height))
    return whole


def save_heatmap(path: Path, heatmap: NDArray[np.floating[Any]]) -> None:
    """Write a heatmap (h, w) in [0, 1] as a 16-bit grayscale PNG, 0 to 65535, atomically.

    Raises:
        ValueError: the heatmap is not (h, w), or has values outside [0, 1] or that are no numbers.
        OutputError: the file cannot be written.
    """
    if heatmap.ndim != 2 or heatmap.size == 0:
        raise ValueError(f"a heatmap is (h, w), not {heatmap.shape}")
    if not (heatmap.min() >= 0 and heatmap.max() <= 1):
        raise ValueError("a heatmap's values are numbers from 0 to 1")
    write_bytes(path, encode_unit(heatmap))


@lru_cache(maxsize=1)
def _colours() -> NDArray[np.float32]:
    """(256, 3) colours in [0, 255] for heat from 0 to 1."""
    table = np.frombuffer(COLORMAP.read_bytes(), dtype=np.uint8)
    return table.reshape(256, 3).astype(np.float32)


@lru_cache(maxsize=4)
def _blend_table(opacity: float) -> NDArray[np.uint32]:
    """(65536,) packed R, G, B, unused of every gray (high byte) under every heat (low byte)."""
    gray = np.arange(256, dtype=np.float32)[:, None, None]
    alpha = np.linspace(0, opacity, 256, dtype=np.float32)[:, None]
    table = np.zeros((256, 256, 4), dtype=np.uint8)
    table[..., :3] = gray * (1 - alpha) + _colours() * alpha + np.float32(0.5)
    packed: NDArray[np.uint32] = table.reshape(-1).view(np.uint32)
    return packed


def _blend(
    pixels: NDArray[np.floating[Any]], heatmap: NDArray[np.floating[Any]], opacity: float
) -> NDArray[np.uint8]:
    """The radiograph under its heat, (h, w, 4) uint8 of which the last is unused.

    Both have 256 levels on a screen, so that all there is to see is looked up in one table.
    """
    index = _levels(pixels).astype(np.uint16)
    index <<= 8
    index |= _levels(heatmap)
    blended = np.take(_blend_table(opacity), index)
    return blended.view(np.uint8).reshape(*pixels.shape, 4)


def _levels(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """From [0, 1] to 0..255; what is not a number becomes 0."""
    scaled = values * np.float32(255)
    if not (scaled.min() >= 0 and scaled.max() <= 255):  # Also where there is a NaN.
        scaled = np.nan_to_num(scaled, nan=0.0, posinf=255, neginf=0).clip(0, 255)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)


def _line_width(shape: tuple[int, ...]) -> int:
    """Lines of the same look on every radiograph: about 1/300 of its shorter side."""
    return max(1, round(min(shape) / 300))


def _outline(mask: NDArray[np.bool_], line: int) -> NDArray[np.bool_]:
    """The pixels of a mask within `line` pixels of its border, counted along rows and columns."""
    inner = mask
    for _ in range(line):
        # What lies beyond the radiograph counts as mask: its edge is no border.
        wide = np.pad(inner, 1, constant_values=True)
        inner = inner & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask & ~inner


def _draw_region(draw: ImageDraw.ImageDraw, region: Region, line: int) -> None:
    left, top = region.x, region.y
    # Pillow's rectangles include their last pixel.
    right, bottom = left + region.width - 1, top + region.height - 1
    draw.rectangle(
        (left - line, top - line, right + line, bottom + line), outline=_HALO, width=line
    )
    draw.rectangle((left, top, right, bottom), outline=REGION_COLOUR, width=line)


def _draw_score(
    draw: ImageDraw.ImageDraw, region: Region, line: int, shape: tuple[int, ...]
) -> None:
    """The score on a dark tag above the box, or inside it where the radiograph ends."""
    size = max(9, round(min(shape) / 32))
    font = ImageFont.load_default(size)
    text, pad = f"{region.score:.2f}", max(1, size // 5)
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    wide, high = width + 2 * pad, height + 2 * pad
    left = max(0, min(region.x, shape[1] - wide))
    top = region.y - line - high if region.y - line >= high else region.y + line
    draw.rectangle((left, top, left + wide - 1, top + high - 1), fill=_HALO)
    draw.text((left + pad, top + pad), text, fill=REGION_COLOUR, font=font)
