"""An explained radiograph as pictures and HTML, for notebooks."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.findings import Finding, Region
from pneumoscope.findings.notebook import finding_html
from pneumoscope.report.html import embedded
from pneumoscope.report.numbers import method_name
from pneumoscope.report.overlay import overlay, with_colour_bar

Picture = Image.Image
"""A picture of Pillow."""

_SIDE = 420


def overlay_picture(
    pixels: NDArray[np.floating[Any]],
    heatmap: NDArray[np.floating[Any]],
    regions: Sequence[Region],
    opacity: float,
) -> Picture:
    """`overlay` of the same arguments, as a picture of Pillow."""
    return Image.fromarray(overlay(pixels, heatmap, regions, opacity=opacity))


def explained_html(
    pixels: NDArray[np.floating[Any]],
    own: Picture | None,
    further: Mapping[str, Picture],
    finding: Finding,
) -> str:
    """The radiograph, its overlays side by side, and the finding.

    Args:
        pixels: (h, w) in [0, 1], the radiograph.
        own: the overlay of the model's own heatmap; None if the radiograph was not judged.
        further: overlays by method.
        finding: what was found.
    """
    bare = Image.fromarray(np.rint(np.asarray(pixels) * 255).astype(np.uint8)).convert("RGB")
    shown = {"film": bare, **({} if own is None else {"heatmap": own})}
    shown |= {method_name(name)[0]: picture for name, picture in further.items()}
    figures = "".join(
        f'<figure style="margin:0"><img src="{_source(name, picture)}" '
        f'alt="{escape(name)}"><figcaption>{escape(name)}</figcaption></figure>'
        for name, picture in shown.items()
    )
    row = f'<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'
    return f"<div>{row}{finding_html(finding)}</div>"


def _source(name: str, picture: Picture) -> str | int:
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE))
    if name != "film":
        small = Image.fromarray(with_colour_bar(np.asarray(small)))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return embedded(name, "", buffer.getvalue())["source"]
