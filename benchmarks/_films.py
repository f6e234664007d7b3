"""The radiographs a benchmark reads: JPEG phantoms made on the spot, or somebody's own files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.cohort.manifest import COLUMNS, Manifest
from pneumoscope.cohort.phantom import PhantomSettings, write_cohort
from pneumoscope.errors import CohortError
from pneumoscope.imaging import model_input, read_radiograph
from pneumoscope.training.cache import cached_pixels
from pneumoscope.training.data import PixelDataset

_LABELS = ("NORMAL", "PNEUMONIA")
# What a plain training script can open without help.
_READABLE = {".jpg", ".jpeg", ".png"}


def add_film_arguments(parser: argparse.ArgumentParser, count: int) -> None:
    """The arguments that choose the radiographs."""
    parser.add_argument("--films", type=int, default=count, help="how many radiographs")
    parser.add_argument("--data", type=Path, help="folder of JPEG or PNG radiographs")
    parser.add_argument(
        "--film-side", type=int, default=1024, help="height of the phantoms made without --data"
    )


def chosen_films(arguments: argparse.Namespace, folder: Path) -> tuple[list[Path], str]:
    """The radiographs asked for, and what they are, in words; phantoms go below `folder`.

    Raises:
        CohortError: there are not as many.
        SettingsError: phantoms cannot be that large.
    """
    count, side = arguments.films, arguments.film_side
    if arguments.data is None:
        films = phantom_films(folder / "phantoms", count, side)
        kind = "phantoms (JPEG)"
    else:
        films, kind = own_films(arguments.data.resolve(), count), "own files"
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


def targets_of(films: list[Path]) -> NDArray[np.int64]:
    """Classes by turns: they matter to what is learnt, not to how fast."""
    return np.arange(len(films), dtype=np.int64) % 2


def cached_dataset(films: list[Path], size: int, cache: Path) -> PixelDataset:
    """The films as Pneumoscope trains on them: decoded once, memory-mapped."""
    root = Path(os.path.commonpath([film.parent for film in films]))
    blank = dict.fromkeys(COLUMNS, "") | {"split": "train", "width": 0, "height": 0}
    rows = [
        blank
        | {
            "image": film.relative_to(root).as_posix(),
            "patient": str(index),
            "label": _LABELS[index % 2],
        }
        for index, film in enumerate(films)
    ]
    manifest = Manifest(pd.DataFrame(rows), root, _LABELS)
    return PixelDataset(cached_pixels(manifest, size, folder=cache), targets_of(films))


def model_pixels(films: list[Path], size: int) -> NDArray[np.uint8]:
    """The films as an engine takes them: (N, size, size) uint8."""
    return np.stack([model_input(read_radiograph(film), size)[0] for film in films])
