"""One radiograph beside its heatmaps by several methods, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumoscope.findings import Region
from pneumoscope.report.overlay import overlay, with_colour_bar
from pneumoscope.report.sheet import shortened

Point = tuple[float, float]
"""`x, y` in pixels of the radiograph, between pixel edges."""

_BACKGROUND, _INK, _QUIET, _MARKED = (16, 18, 22), (232, 236, 240), (150, 160, 170), (255, 214, 92)
_GAP, _RING = 14, (90, 235, 255)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One heatmap of the radiograph.

    Attributes:
        title: the method, as people read it.
        note: one line below it.
        heatmap: (h, w) in [0, 1] on the radiograph's grid.
        regions: boxed in white with their scores.
        peak: ringed; None without evidence.
        marked: the bundle's own method: framed, and said so in the title.
    """

    title: str
    note: str
    heatmap: NDArray[np.floating[Any]]
    regions: Sequence[Region] = ()
    peak: Point | None = None
    marked: bool = False


def side_by_side(
    pixels: NDArray[np.floating[Any]],
    panels: Sequence[Panel],
    *,
    title: str,
    note: str,
    columns: int | None = None,
    tile: int = 420,
) -> NDArray[np.uint8]:
    """The bare radiograph first, then a panel for each heatmap, in reading order.

    Radiographs are scaled to one tile before anything is drawn, so that lines and numbers are as
    sharp on a small radiograph as on a large one.

    Args:
        pixels: (h, w) in [0, 1], the radiograph.
        panels: its heatmaps.
        title: head of the picture, for instance the radiograph's name.
        note: lines below it, for instance decision and probability.
        columns: tiles per row; None makes the picture about 3:2.
        tile: longer side of a radiograph in the picture, pixels.

    Returns:
        (height, width, 3) uint8; the colours' scale, one for all panels, is at the bottom.
    """
    if (columns is not None and columns < 1) or tile < 1:
        raise ValueError(f"{columns} columns of {tile} pixels hold nothing")
    scale = tile / max(pixels.shape)
    count = len(panels) + 1
    across = min(columns or math.ceil(math.sqrt(1.5 * count)), count)
    film = _scaled(pixels, scale)
    high, wide = film.shape
    # A narrow radiograph leaves room for its words all the same.
    box = max(wide, tile // 2)
    large, small = (max(11, tile // part) for part in (20, 25))
    caption = round(1.5 * large) + round(1.6 * small)
    head = caption + round(1.6 * small) * note.count("\n")
    step_x, step_y = box + _GAP, high + caption + _GAP
    size = (across * step_x + _GAP, head + math.ceil(count / across) * step_y + _GAP)
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    fonts = ImageFont.load_default(large), ImageFont.load_default(small)
    _write(draw, (_GAP, _GAP), size[0] - 2 * _GAP, (title, *note.splitlines()), fonts)
    bare = Panel(
        "Radiograph", f"{pixels.shape[1]} x {pixels.shape[0]} pixels", np.zeros_like(pixels)
    )
    for index, panel in enumerate((bare, *panels)):
        row, column = divmod(index, across)
        left, top = _GAP + column * step_x, head + _GAP + row * step_y
        picture = _picture(film, panel, pixels.shape, scale)
        place = (left + (box - wide) // 2, top + caption)
        sheet.paste(picture, place)
        if panel.marked:
            edges = (place[0] - 3, place[1] - 3, place[0] + wide + 2, place[1] + high + 2)
            draw.rectangle(edges, outline=_MARKED, width=3)
        words = (panel.title + (" (the model's own)" if panel.marked else ""), panel.note)
        _write(draw, (left, top), box, words, fonts, _MARKED if panel.marked else _INK)
    return with_colour_bar(np.array(sheet))


def _picture(
    film: NDArray[np.float32], panel: Panel, shape: tuple[int, ...], scale: float
) -> Image.Image:
    """A panel's radiograph with heat, regions and a ring around the peak."""
    if panel.heatmap.shape != shape:
        raise ValueError(f"radiograph {shape} and heatmap {panel.heatmap.shape} must be one (h, w)")
    heat = _scaled(panel.heatmap, scale)
    regions = [_scaled_region(region, scale, film.shape) for region in panel.regions]
    image = Image.fromarray(overlay(film, heat, regions))
    if panel.peak is not None:
        x, y = (scale * place for place in panel.peak)
        radius = max(4.0, max(film.shape) / 50)
        draw = ImageDraw.Draw(image)
        for extra, colour in ((1, (0, 0, 0)), (0, _RING)):
            reach = radius + extra
            edges = (x - reach, y - reach, x + reach, y + reach)
            draw.ellipse(edges, outline=colour, width=2 + 2 * extra)
    return image


def _scaled(values: NDArray[np.floating[Any]], scale: float) -> NDArray[np.float32]:
    """Values in [0, 1] on a grid `scale` times as fine; linear, so that nothing overshoots."""
    height, width = (max(1, round(side * scale)) for side in values.shape)
    image = Image.fromarray(np.nan_to_num(values).astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def _scaled_region(region: Region, scale: float, shape: tuple[int, ...]) -> Region:
    left, top = round(region.x * scale), round(region.y * scale)
    right = min(round((region.x + region.width) * scale), shape[1])
    bottom = min(round((region.y + region.height) * scale), shape[0])
    return Region(
        x=min(left, shape[1] - 1),
        y=min(top, shape[0] - 1),
        width=max(1, right - left),
        height=max(1, bottom - top),
        score=region.score,
    )


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    width: int,
    lines: Sequence[str],
    fonts: tuple[_Font, _Font],
    ink: tuple[int, int, int] = _INK,
) -> None:
    """A title and quieter lines below it, each cut off at `width` pixels."""
    x, y = place
    for index, text in enumerate(lines):
        font, colour = (fonts[1], _QUIET) if index else (fonts[0], ink)
        line = shortened(" ".join(text.split()), draw, font, width)
        draw.text((x, y), line, fill=colour, font=font)
        _, _, _, depth = draw.textbbox((0, 0), "Ag", font=font)
        y += round(1.25 * depth)
