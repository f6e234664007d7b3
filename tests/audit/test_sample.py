"""Samples: drawn evenly from both labels, the same for the same seed, as the model sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pneumoscope.audit import cohort_films, phantom_films
from pneumoscope.audit.sample import _balanced
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError
from pneumoscope.imaging import model_input, read_radiograph
from pneumoscope.phantom import PhantomSettings, render
from pneumoscope.phantom.writing import cases


def test_phantoms_are_drawn_with_their_lungs() -> None:
    done: list[tuple[int, int]] = []
    films = phantom_films(6, 5, 64, lambda a, b: done.append((a, b)))
    assert len({film.name for film in films}) == 6 and done[-1] == (6, 6)
    assert {film.target for film in films} == {0, 1}
    for film in films:
        assert film.pixels.shape == (64, 64) and film.pixels.dtype == np.uint8
        assert film.lungs is not None
        assert film.lungs.shape == (film.letterbox.height, film.letterbox.width)
        assert film.pixels[film.content].shape == film.lungs.shape
        outside = film.pixels.copy()
        outside[film.content] = 0
        assert not outside.any()
    compared = 0
    for film, case in zip(films, cases(PhantomSettings(n=6, seed=5, size=64)), strict=True):
        drawn = render(case.rng, case.anatomy, case.view, case.pneumonia, size=64)
        if drawn.lungs.shape[0] >= drawn.lungs.shape[1]:  # It fits as it is.
            compared += 1
            assert film.lungs is not None and np.array_equal(film.lungs, drawn.lungs)
            assert np.array_equal(film.pixels[film.content], np.rint(drawn.pixels * 255))
    assert compared
    again = phantom_films(6, 5, 64)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(films, again, strict=True))
    other = phantom_films(6, 6, 64)
    assert not np.array_equal(films[0].pixels, other[0].pixels)


def test_a_cohort_s_films_are_what_the_model_sees(phantoms: Path) -> None:
    part = Manifest.read(phantoms / "cohort.csv").subset("all")
    films, unreadable = cohort_films(part, 10, 0, 64)
    assert len(films) == 10 and not unreadable
    assert sum(film.target for film in films) == 5
    rows = part.table.set_index("image")
    for film in films:
        expected, letterbox = model_input(read_radiograph(part.root / film.name), 64)
        assert np.array_equal(film.pixels, expected)
        assert film.patient == rows.loc[film.name, "patient"]
        assert film.target == (rows.loc[film.name, "label"] == "PNEUMONIA")
        assert (film.letterbox.top, film.letterbox.left) == (letterbox.top, letterbox.left)
        assert film.lungs is None
    assert [f.name for f in films] == [f.name for f in cohort_films(part, 10, 0, 64)[0]]
    assert [f.name for f in films] != [f.name for f in cohort_films(part, 10, 1, 64)[0]]


def test_bad_files_are_left_out_and_named(phantoms: Path, tmp_path: Path) -> None:
    good = next((phantoms / "images").glob("*.png")).read_bytes()
    (tmp_path / "a.png").write_bytes(good)
    (tmp_path / "b.png").write_bytes(b"nothing")
    table = "image,label,patient,split\na.png,NORMAL,a,test\nb.png,PNEUMONIA,b,test\n"
    (tmp_path / "c.csv").write_text(table)
    part = Manifest.read(tmp_path / "c.csv").subset("test")
    films, unreadable = cohort_films(part, 10, 0, 64)
    assert [film.name for film in films] == ["a.png"]
    assert [name for name, _ in unreadable] == ["b.png"]
    (tmp_path / "a.png").unlink()
    with pytest.raises(EvaluationError, match="none of 2 radiographs"):
        cohort_films(part, 10, 0, 64)


@pytest.mark.parametrize(
    ("negatives", "positives", "n", "expected"),
    [(50, 50, 20, (10, 10)), (50, 3, 20, (17, 3)), (3, 50, 20, (3, 17)), (4, 5, 20, (4, 5)),
     (5, 5, 3, (2, 1))],
)  # fmt: skip
def test_half_of_each_label_as_far_as_there_are(
    negatives: int, positives: int, n: int, expected: tuple[int, int]
) -> None:
    targets = [0] * negatives + [1] * positives
    drawn = _balanced(targets, [""] * len(targets), n, 0)
    assert len(set(drawn)) == len(drawn)
    found = [targets[index] for index in drawn]
    assert (found.count(0), found.count(1)) == expected


@pytest.mark.parametrize(
    ("sizes", "n", "expected"),
    [
        # As many of each set, half of each label; by prevalence b would give two positives.
        ({"a": (20, 180), "b": (90, 10)}, 40, {"a": (10, 10), "b": (10, 10)}),
        # What a small set or a rare label lacks the others make up for.
        ({"a": (2, 2), "b": (50, 50), "c": (50, 3)}, 40, {"a": (2, 2), "b": (9, 9), "c": (15, 3)}),
        ({"a": (3, 4), "b": (2, 1)}, 40, {"a": (3, 4), "b": (2, 1)}),
    ],
)
def test_each_set_gives_as_many_of_both_labels(
    sizes: dict[str, tuple[int, int]], n: int, expected: dict[str, tuple[int, int]]
) -> None:
    rows = [
        (name, label)
        for name, counts in sizes.items()
        for label in (0, 1)
        for _ in range(counts[label])
    ]
    sets, targets = [name for name, _ in rows], [label for _, label in rows]
    drawn = [rows[index] for index in _balanced(targets, sets, n, 0)]
    found = {name: (drawn.count((name, 0)), drawn.count((name, 1))) for name in sizes}
    assert found == expected


def test_films_know_their_set(phantoms: Path) -> None:
    manifest = Manifest.read(phantoms / "cohort.csv")
    manifest.table["cohort"] = ["one" if index % 3 else "two" for index in range(len(manifest))]
    films, _ = cohort_films(manifest.subset("all"), 8, 0, 64)
    told = dict(zip(manifest.table["image"], manifest.table["cohort"], strict=True))
    assert [film.cohort for film in films] == [told[film.name] for film in films]
    assert {film.cohort for film in films} == {"one", "two"}
