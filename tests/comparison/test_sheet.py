"""The sheet: radiographs chosen by rule, a row for each, a column for each backbone."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.sheet import NEGATIVES, POSITIVES, choose_films, heatmap_sheet


def test_films_are_drawn_one_of_a_patient(manifest_file: Path) -> None:
    part = Manifest.read(manifest_file).subset("all")
    images = part.table["image"].tolist()
    chosen = choose_films(part, images)
    rows = part.table.set_index("image").loc[chosen]
    labels = rows["label"].tolist()
    assert labels == [part.labels[1]] * POSITIVES + [part.labels[0]] * NEGATIVES
    assert rows["patient"].is_unique
    assert chosen == choose_films(part, images)
    left = choose_films(part, images[:3])
    assert set(left) <= set(images[:3])


def test_squashed_radiographs_are_explained_in_their_own_proportions(
    manifest_file: Path, run_folder: Path
) -> None:
    part = Manifest.read(manifest_file).subset("test")
    images = part.table["image"].tolist()[:1]
    squashed = replace(part, table=part.table.assign(orig_width="400", orig_height="200"))
    one, other = (heatmap_sheet(each, images, {"one": run_folder}, "") for each in (part, squashed))
    assert one != other


def test_the_sheet_shows_film_and_heatmap_side_by_side(
    manifest_file: Path, run_folder: Path
) -> None:
    part = Manifest.read(manifest_file).subset("test")
    images = part.table["image"].tolist()[:2]
    done: list[tuple[int, int]] = []
    png = heatmap_sheet(
        part, images, {"one": run_folder, "two": run_folder}, "a\nb", lambda *a: done.append(a)
    )
    assert done == [(1, 2), (2, 2)]
    sheet = np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    tile = 250
    assert sheet.shape[1] == 3 * tile + 10
    film, first, second = (sheet[:240, 10 + tile * i : 10 + tile * i + 240] for i in range(3))
    colour = np.ptp(film, axis=2).max()
    # Around a radiograph stands the dark blue of the sheet.
    assert colour <= 6 and np.ptp(first, axis=2).max() > 20
    np.testing.assert_array_equal(first, second)
    footer = sheet[-40:]
    assert np.ptp(footer) > 50
