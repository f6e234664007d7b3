"""The radiographs a benchmark reads: JPEG phantoms made on the spot, or somebody's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.errors import CohortError
from pneumoscope.imaging import model_input, read_radiograph
from pneumoscope.phantom import PhantomSettings, write_cohort

# What every peer can open without help.
_READABLE = {".jpg", ".jpeg", ".png"}


def chosen_films(
    folder: Path, count: int, *, data: Path | None = None, side: int = 1024
) -> tuple[list[Path], str]:
    """The radiographs to measure with, and what they are, in words.

    Args:
        folder: phantoms go below it.
        count: how many radiographs.
        data: folder of one's own JPEG or PNG radiographs; None for phantoms.
        side: height of phantoms, in pixels.

    Raises:
        CohortError: there are not as many.
        SettingsError: phantoms cannot be that large.
    """
    if data is None:
        films = phantom_films(folder / "phantoms", count, side)
        kind = "phantoms (JPEG)"
    else:
        films, kind = own_films(data.resolve(), count), "own files"
    with Image.open(films[0]) as first:
        return films, f"{count} {kind}, the first {first.width} x {first.height} pixels"


def own_films(folder: Path, count: int) -> list[Path]:
    """`count` JPEG or PNG files below a folder, taken evenly from their sorted list.

    Raises:
        CohortError: there are fewer.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _READABLE)
    if len(found) < count:
        raise CohortError(
            f"holds {len(found)} JPEG or PNG files, {count} are asked for",
            path=folder,
            remedy="lower --films, or name another folder",
        )
    return [found[index] for index in np.linspace(0, len(found) - 1, count).astype(int)]


def phantom_films(folder: Path, count: int, side: int) -> list[Path]:
    """`count` phantoms about `side` pixels high, written as JPEG (quality 95) into a folder."""
    write_cohort(folder / "png", PhantomSettings(n=count, size=side))
    films = []
    for source in sorted((folder / "png" / "images").glob("*.png")):
        film = folder / f"{source.stem}.jpg"
        with Image.open(source) as image:
            image.save(film, quality=95)
        films.append(film)
    return films


def model_pixels(films: list[Path], size: int) -> NDArray[np.uint8]:
    """The radiographs as an engine takes them: (N, size, size) uint8."""
    return np.stack([model_input(read_radiograph(film), size)[0] for film in films])
