"""One picture: the same radiographs, and what every backbone's heatmap shows on them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.assessment.subject import films_of
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.files import write_bytes
from pneumoscope.inference import Explained, load_engine
from pneumoscope.report.overlay import overlay, with_colour_bar
from pneumoscope.report.pages import RESEARCH_ONLY
from pneumoscope.report.sheet import contact_sheet, shortened

POSITIVES, NEGATIVES = 4, 2
RULE = f"Drawn at random: {POSITIVES} positive, {NEGATIVES} negative, one of a patient."
_TILE, _INK = 240, (150, 160, 170)
Picture = NDArray[np.uint8]


def write_sheet(
    out: Path,
    part: Manifest,
    images: Sequence[str],
    bundles: Mapping[str, Path],
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """Write `heatmaps.png` into a comparison's folder: `heatmap_sheet` of chosen radiographs.

    Args:
        out: the folder.
        part: the split.
        images: of those that every run could read.
        bundles, progress: as of `heatmap_sheet`.

    Returns:
        The PNG.
    """
    note = f"{RULE}\n{RESEARCH_ONLY}"
    sheet = heatmap_sheet(part, choose_films(part, images), bundles, note, progress)
    write_bytes(out / "heatmaps.png", sheet)
    return sheet


def choose_films(part: Manifest, images: Sequence[str]) -> list[str]:
    """Which radiographs to show: drawn at random, one of a patient at most, positives first.

    The draw is always the same, and the backbones have no say in it.

    Args:
        part: the split.
        images: of those that every run could read.

    Returns:
        Up to `POSITIVES` and `NEGATIVES` images.
    """
    table, known = part.table, set(images)
    order = np.random.default_rng(0).permutation(len(table))
    chosen: list[str] = []
    patients: set[str] = set()
    for label, wanted in ((part.labels[1], POSITIVES), (part.labels[0], NEGATIVES)):
        enough = len(chosen) + wanted
        for row in table.iloc[order].itertuples():
            fresh = row.image in known and row.patient not in patients
            if row.label == label and fresh and len(chosen) < enough:
                chosen.append(str(row.image))
                patients.add(str(row.patient))
    return chosen


def heatmap_sheet(
    part: Manifest,
    images: Sequence[str],
    bundles: Mapping[str, Path],
    note: str,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """A row for each radiograph: the radiograph, then each backbone's heatmap over it.

    Args:
        part: the split.
        images: to show.
        bundles: backbone to a run or bundle.
        note: lines below the pictures.
        progress: called with (backbones done, backbones in all).

    Returns:
        A PNG.

    Raises:
        BundleError: a bundle cannot be loaded.
    """
    labels = dict(zip(part.table["image"], part.table["label"], strict=True))
    sources = dict(films_of(part))
    chosen = [(image, sources[image]) for image in images]
    films: dict[str, tuple[Picture, str]] = {}
    drawn: dict[tuple[str, str], tuple[Picture, str]] = {}
    for done, (backbone, bundle) in enumerate(bundles.items(), start=1):
        for item in OwnModel(load_engine(bundle)).explain(chosen):
            if not isinstance(item, Explained):
                continue
            bare = np.zeros_like(item.heatmap)
            name = f"{Path(item.name).stem}: {labels[item.name]}"
            films[item.name] = _small(overlay(item.radiograph.pixels, bare)), name
            picture = overlay(item.radiograph.pixels, item.heatmap)
            words = f"{backbone}: {item.finding.label} {item.finding.probability:.2f}"
            drawn[item.name, backbone] = _small(picture), words
        if progress is not None:
            progress(done, len(bundles))
    tiles = [
        tile
        for image in films
        for tile in (films[image], *(drawn[image, name] for name in bundles))
    ]
    sheet = contact_sheet(
        [picture for picture, _ in tiles],
        [words for _, words in tiles],
        columns=1 + len(bundles),
        tile=_TILE,
    )
    buffer = io.BytesIO()
    _with_footer(Image.fromarray(with_colour_bar(sheet)), note).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _with_footer(sheet: Image.Image, note: str) -> Image.Image:
    """The sheet with lines of text below it, in the colours it has already."""
    background, size = sheet.getpixel((0, 0)), _TILE // 18
    line = round(1.5 * size)
    lines = note.splitlines()
    page = Image.new("RGB", (sheet.width, sheet.height + line * (len(lines) + 1)), background)
    page.paste(sheet, (0, 0))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    for index, text in enumerate(lines):
        place = (size, sheet.height + line * index)
        draw.text(place, shortened(text, draw, font, page.width - 2 * size), _INK, font=font)
    return page


def _small(picture: Picture) -> Picture:
    """At most twice the tile's side: radiographs have millions of pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((2 * _TILE, 2 * _TILE))
    return np.array(image)
