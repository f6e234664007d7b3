"""The radiographs an audit looks at, held as the model sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import read_film, stated_sizes
from pneumoscope.errors import EvaluationError, ImageError
from pneumoscope.imaging import Letterbox, Radiograph, model_input
from pneumoscope.phantom import PhantomSettings
from pneumoscope.phantom.settings import MAX_SIZE, MIN_SIZE
from pneumoscope.phantom.writing import cases

Progress = Callable[[int, int], None]


def counted(progress: Progress | None, total: int, before: int = 0) -> Callable[[int], None]:
    """What tells `progress` of (done, total), called with how many are done beyond `before`."""

    def tick(done: int) -> None:
        if progress is not None:
            progress(before + done, total)

    return tick


@dataclass(frozen=True, slots=True, eq=False)
class AuditFilm:
    """One radiograph of the sample.

    Attributes:
        name: of the radiograph.
        patient: whose it is.
        target: 1 for the positive label, 0 for the negative.
        pixels: (size, size) uint8, from `imaging.model_input`.
        letterbox: of the radiograph as it stands in `pixels`, at scale one: an audit measures on
            the model's own pixels, so that large radiographs cost no more than small ones.
        lungs: (height, width) bool on the letterbox's radiograph, if they are known.
        cohort: the set that it is of, as `Manifest.cohorts` says.
    """

    name: str
    patient: str
    target: int
    pixels: NDArray[np.uint8]
    letterbox: Letterbox
    lungs: NDArray[np.bool_] | None = None
    cohort: str = ""

    @property
    def content(self) -> tuple[slice, slice]:
        """Rows and columns of `pixels` that the radiograph covers."""
        box = self.letterbox
        return (
            slice(box.top, box.top + box.height),
            slice(box.left, box.left + box.width),
        )


def make_film(
    radiograph: Radiograph,
    size: int,
    *,
    name: str,
    patient: str,
    target: int,
    lungs: NDArray[np.bool_] | None = None,
    cohort: str = "",
) -> AuditFilm:
    """A radiograph as an audit needs it; `lungs` (height, width) on the radiograph's own pixels."""
    pixels, letterbox = model_input(radiograph, size)
    content = Letterbox.fit(letterbox.content_height, letterbox.content_width, size)
    reduced = None
    if lungs is not None:
        square = letterbox.apply(lungs.astype(np.float32))
        rows = slice(content.top, content.top + content.height)
        reduced = square[rows, content.left : content.left + content.width] >= 0.5
    return AuditFilm(name, patient, target, pixels, content, reduced, cohort)


def phantom_films(
    n: int, seed: int, size: int, progress: Progress | None = None
) -> list[AuditFilm]:
    """Draw `n` phantoms, half of the patients with pneumonia, their lungs known exactly.

    Args:
        n: radiographs.
        seed: the same seed draws the same phantoms.
        size: side of the model's input.
        progress: called with (done, n).
    """
    settings = PhantomSettings(n=n, seed=seed, size=min(max(size, MIN_SIZE), MAX_SIZE))
    films = []
    for case in cases(settings):
        phantom = case.render(settings.size)
        levels = np.rint(phantom.pixels * 255).astype(np.float32) / np.float32(255)
        films.append(
            make_film(
                Radiograph(levels, Path(f"{case.name}.png")),
                size,
                name=case.name,
                patient=case.patient,
                target=int(case.label == "PNEUMONIA"),
                lungs=phantom.lungs,
            )
        )
        if progress is not None:
            progress(len(films), n)
    return films


def cohort_films(
    part: Manifest, n: int, seed: int, size: int, progress: Progress | None = None
) -> tuple[list[AuditFilm], list[tuple[str, str]]]:
    """Draw up to `n` radiographs of a split, half of them positive as far as there are.

    Of a cohort joined of several sets as many of each are drawn, again as far as there are: else
    which set a radiograph is of would tell its label.

    Args:
        part: the split's radiographs.
        n: radiographs.
        seed: the same seed draws the same radiographs.
        size: side of the model's input.
        progress: called with (done, radiographs drawn).

    Returns:
        The radiographs, and (image, reason) of those that could not be read.

    Raises:
        EvaluationError: none of those drawn could be read.
    """
    targets = part.targets()
    images, paths, patients = part.table["image"].tolist(), part.paths(), part.patients()
    sizes, sets = stated_sizes(part.table), part.cohorts().tolist()
    drawn = _balanced(targets.tolist(), sets, n, seed)
    films: list[AuditFilm] = []
    unreadable: list[tuple[str, str]] = []
    for done, index in enumerate(drawn, start=1):
        try:
            radiograph = read_film(paths[index], sizes[index], model=size).upright()
        except ImageError as error:
            unreadable.append((images[index], error.problem))
        else:
            names = {"name": images[index], "patient": patients[index], "cohort": sets[index]}
            films.append(make_film(radiograph, size, target=int(targets[index]), **names))
        if progress is not None:
            progress(done, len(drawn))
    if not films:
        raise EvaluationError(
            f"none of {len(drawn)} radiographs could be read",
            path=part.root,
            remedy=f"the first: {unreadable[0][0]}: {unreadable[0][1]}",
        )
    return films, unreadable


def _balanced(targets: Sequence[int], sets: Sequence[str], n: int, seed: int) -> list[int]:
    """Indices of `n` radiographs in random order: as many of each set, and half of each label.

    Where there are fewer of a set or of a label, all of them and more of the others.
    """
    order = np.random.default_rng(seed).permutation(len(targets)).tolist()
    by_set: dict[str, list[int]] = {name: [] for name in sorted(set(sets))}
    for index in order:
        by_set[sets[index]].append(index)
    kept: set[int] = set()
    # The smallest set first, so that what it lacks is shared among those that are left.
    for left, own in zip(range(len(by_set), 0, -1), sorted(by_set.values(), key=len), strict=True):
        kept |= _half_positive(targets, own, (n - len(kept)) // left)
    return [index for index in order if index in kept]


def _half_positive(targets: Sequence[int], order: Sequence[int], n: int) -> set[int]:
    """The first `n` of `order`, half of each label, or all of the rarer one."""
    by_label = [[index for index in order if targets[index] == label] for label in (0, 1)]
    n = min(n, len(order))
    positives = min(len(by_label[1]), max(n // 2, n - len(by_label[0])))
    return {*by_label[1][:positives], *by_label[0][: n - positives]}
