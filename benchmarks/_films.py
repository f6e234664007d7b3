"""The radiographs a benchmark reads: JPEG phantoms made on the spot, or somebody's own files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pneumoscope.benchmark.films import chosen_films
from pneumoscope.cohort.manifest import COLUMNS, Manifest
from pneumoscope.training.cache import cached_pixels
from pneumoscope.training.data import PixelDataset

_LABELS = ("NORMAL", "PNEUMONIA")


def add_film_arguments(parser: argparse.ArgumentParser, count: int) -> None:
    """The arguments that choose the radiographs."""
    parser.add_argument("--films", type=int, default=count, help="how many radiographs")
    parser.add_argument("--data", type=Path, help="folder of JPEG or PNG radiographs")
    parser.add_argument(
        "--film-side", type=int, default=1024, help="height of the phantoms made without --data"
    )


def asked_films(arguments: argparse.Namespace, folder: Path) -> tuple[list[Path], str]:
    """As `chosen_films`, from the arguments."""
    return chosen_films(folder, arguments.films, data=arguments.data, side=arguments.film_side)


def targets_of(films: list[Path]) -> NDArray[np.int64]:
    """Classes by turns: they matter to what is learnt, not to how fast."""
    return np.arange(len(films), dtype=np.int64) % 2


def cached_dataset(films: list[Path], size: int, cache: Path) -> PixelDataset:
    """The radiographs as Pneumoscope trains on them: decoded once, memory-mapped."""
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
