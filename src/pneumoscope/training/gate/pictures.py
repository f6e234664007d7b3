"""What the input gate sees in training: radiographs as they come, and spoilt in known ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from pneumoscope.gate import KINDS
from pneumoscope.phantom import PhantomSettings, render
from pneumoscope.phantom.writing import cases
from pneumoscope.training.gate.negatives import Gray, synthetic
from pneumoscope.training.gate.others import OtherPictures

# How often each of `KINDS` is drawn where there are pictures of all of them.
_SHARES = (0.42, 0.08, 0.09, 0.11, 0.09, 0.07, 0.14)
# Among `not_chest`, the share of real pictures, if there are any; the others are made.
_REAL = 0.6
_PHANTOM_SIDE = 128
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Sources:
    """What pictures for training are made from.

    Args:
        films: uint8 (N, S, S), upright frontal chest radiographs.
        others: 8-bit gray pictures of other things, longest side S.
        kinds: int (M,), the place of each other picture in `KINDS`.
        chances: float (M,), the chance of each within its kind.
    """

    films: NDArray[np.uint8]
    others: Sequence[Image.Image] = ()
    kinds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    chances: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def shares(self) -> NDArray[np.float64]:
        """How often each kind is drawn; a kind that needs real pictures and has none, never."""
        shares = np.array(_SHARES)
        for name in ("lateral", "ct"):
            if KINDS.index(name) not in self.kinds:
                shares[KINDS.index(name)] = 0
        shares /= shares.sum()
        return shares


def sources(
    films: NDArray[np.uint8], others: OtherPictures | None, drawn: int, seed: int
) -> Sources:
    """Films with drawn phantoms among them, and other pictures at the films' side.

    Args:
        films: uint8 (N, S, S), upright frontal chest radiographs.
        others: those to train on, or None.
        drawn: number of phantoms.
        seed: of the phantoms.
    """
    side = films.shape[1]
    whole = np.concatenate([films, phantoms(drawn, side, seed)])
    if others is None:
        return Sources(whole)
    return Sources(whole, others.small(side), others.kinds, others.chances)


class Drawn(NamedTuple):
    """One picture for training: float32 (side, side) in [0, 255].

    `kind` is its place in `KINDS`, `other` the picture in `Sources.others` it was made from, or -1.
    """

    pixels: Gray
    kind: int
    other: int


def phantoms(n: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Drawn chests, uint8 (n, side, side): the gate is to accept the project's own phantoms."""
    settings = PhantomSettings(n=n, seed=seed, size=_PHANTOM_SIDE)
    films = np.zeros((n, side, side), dtype=np.uint8)
    for index, case in enumerate(cases(settings)):
        drawn = render(case.rng, case.anatomy, case.view, case.pneumonia, size=_PHANTOM_SIDE)
        levels = Image.fromarray(np.rint(drawn.pixels * 255).astype(np.uint8))
        films[index] = np.asarray(levels.resize((side, side), Image.Resampling.BILINEAR))
    return films


def draw(sources: Sources, index: int, side: int, rng: np.random.Generator) -> Drawn:
    """Make one picture for training.

    Args:
        sources: what it is made from.
        index: the radiograph to start from, if it is made from a radiograph.
        side: side of the gate's input in pixels.
        rng: decides what becomes of it.
    """
    kind = int(rng.choice(len(KINDS), p=sources.shares()))
    real = np.flatnonzero(sources.kinds == kind)
    if len(real) and (KINDS[kind] != "not_chest" or rng.random() < _REAL):
        other = int(rng.choice(real, p=sources.chances[real]))
        return Drawn(exposed(_other(sources.others[other], kind, side, rng), rng), kind, other)
    if KINDS[kind] == "not_chest":
        picture = _no_chest(sources.films, index, side, rng)
    else:
        picture = _film(sources.films[index], KINDS[kind], side, rng)
    return Drawn(exposed(picture, rng), kind, -1)


def _film(levels: NDArray[np.uint8], name: str, side: int, rng: np.random.Generator) -> Gray:
    """A radiograph as it is, inverted, rotated or cropped."""
    film = Image.fromarray(255 - levels if name == "inverted" else levels)
    turn = 90 * int(rng.integers(1, 4)) if name == "rotated" else 0
    if name == "cropped":
        film = heavy_crop(film, rng)
    elif rng.random() < 0.2:
        film = longer(film, rng)
    return placed(film, side, rng, turn)


def _other(film: Image.Image, kind: int, side: int, rng: np.random.Generator) -> Gray:
    """A part of a real picture of something else, turned, and now and then inverted."""
    name = KINDS[kind]
    least = 0.72 if name == "lateral" else 0.5
    wide, high = (rng.uniform(least, 1.1, 2)).clip(0, 1)
    x, y = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
    width, height = film.size
    left, top = int(x * width), int(y * height)
    right, bottom = left + max(int(wide * width), 4), top + max(int(high * height), 4)
    film = film.crop((left, top, right, bottom))
    if rng.random() < 0.08:
        film = ImageOps.invert(film)
    often = {"lateral": 0.05, "ct": 0.2}.get(name, 0.7)
    turn = 90 * int(rng.integers(1, 4)) if rng.random() < often else 0
    return placed(film, side, rng, turn)


def heavy_crop(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A part of a radiograph without both lungs: under a third of it, or one side of it."""
    width, height = film.size
    if rng.random() < 0.7:
        share = rng.uniform(0.06, 0.33)
        aspect = np.exp(rng.uniform(-0.4, 0.4))
        wide, high = np.minimum(np.sqrt(share) * np.array([aspect, 1 / aspect]), 1)
        x, y = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
    elif rng.random() < 0.6:
        wide, high = rng.uniform(0.25, 0.45), rng.uniform(0.7, 1)
        x, y = (0.0 if rng.random() < 0.5 else 1 - wide), rng.uniform(0, 1 - high)
    else:
        wide, high = rng.uniform(0.7, 1), rng.uniform(0.2, 0.42)
        x, y = rng.uniform(0, 1 - wide), (0.0 if rng.random() < 0.5 else 1 - high)
    left, top = int(x * width), int(y * height)
    right, bottom = left + max(int(wide * width), 4), top + max(int(high * height), 4)
    return film.crop((left, top, right, bottom))


def longer(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A radiograph that reaches further down, into the abdomen: its last rows go on."""
    levels = np.asarray(film)
    rows = int(rng.uniform(0.1, 0.4) * len(levels))
    last = levels[-max(len(levels) // 12, 2) :]
    below = np.pad(last, ((0, rows), (0, 0)), mode="reflect")[len(last) :]
    return Image.fromarray(np.concatenate([levels, below]))


def placed(film: Image.Image, side: int, rng: np.random.Generator, turn: int = 0) -> Gray:
    """A radiograph on the gate's square: turned, scaled, squashed, mirrored, bent, shifted.

    Half of them keep black bars beside the radiograph, half fill the square, whatever the
    radiograph's shape: neither shape nor bars may give away where a picture comes from.
    """
    squash = np.exp(rng.normal(0, 0.13))
    shape = np.array([1.0, 1.0])
    if rng.random() < 0.5:
        shape = np.array([film.width, film.height]) / max(film.size)
    elif rng.random() < 0.5:
        shape[int(rng.integers(2))] = rng.uniform(0.6, 1)
    zoom = np.exp(rng.uniform(np.log(0.75), np.log(1.15)))
    width, height = np.rint(side * zoom * shape * (squash, 1 / squash)).astype(int).clip(4, None)
    if rng.random() < 0.5:
        film = ImageOps.mirror(film)
    shown = film.resize((int(width), int(height)), _FILTERS[int(rng.choice(3, p=(0.8, 0.1, 0.1)))])
    if rng.random() < 0.3:
        shown = bent(shown, rng)
    angle = np.deg2rad(turn + rng.normal(0, 7))
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = side * (0.5 + rng.normal(0, 0.04, 2))
    across, down = width / 2 - cos * x - sin * y, height / 2 + sin * x - cos * y
    fill = 0 if rng.random() < 0.85 else int(rng.integers(0, 256))
    square = shown.transform(
        (side, side), Image.Transform.AFFINE, (cos, sin, across, -sin, cos, down),
        resample=Image.Resampling.BILINEAR, fillcolor=fill,
    )  # fmt: skip
    return np.asarray(square, dtype=np.float32)


def bent(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A radiograph whose inner points have moved smoothly by about a twentieth of its side."""
    parts = 3
    ends = [np.linspace(0, length, parts + 1) for length in film.size]
    grid = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1)
    moved = grid.copy()
    moved[1:-1, 1:-1] += rng.normal(0, 0.05, (parts - 1, parts - 1, 2)) * film.size
    mesh = []
    for i in range(parts):
        for j in range(parts):
            (left, top), (right, bottom) = np.rint(grid[i, j]), np.rint(grid[i + 1, j + 1])
            # Pillow's order: upper left, lower left, lower right, upper right.
            corners = (moved[i, j], moved[i, j + 1], moved[i + 1, j + 1], moved[i + 1, j])
            box = (int(left), int(top), int(right), int(bottom))
            mesh.append((box, tuple(float(value) for corner in corners for value in corner)))
    return film.transform(film.size, Image.Transform.MESH, mesh, resample=_FILTERS[0])


def detailed(levels: Image.Image, rng: np.random.Generator) -> Gray:
    """A picture in [0, 1] whose large differences are taken back, as detail processing does it."""
    wide = levels.filter(ImageFilter.GaussianBlur(levels.width * rng.uniform(0.06, 0.25)))
    unit, smooth = (np.asarray(x, dtype=np.float32) / 255 for x in (levels, wide))
    level = rng.uniform(0.3, 0.6)
    flat: Gray = (level + rng.uniform(0.6, 1.6) * (unit - smooth) + 0.3 * (smooth - level)).clip(
        0, 1
    )
    return flat


def exposed(picture: Gray, rng: np.random.Generator) -> Gray:
    """Another exposure, contrast, gamma, sharpness, noise; borders, bars and markers."""
    side = len(picture)
    levels = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        levels = levels.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    unit: NDArray[np.floating] = np.asarray(levels, dtype=np.float32) / 255
    if rng.random() < 0.25:
        unit = detailed(levels, rng)
    if rng.random() < 0.7:
        unit = unit ** np.exp(rng.uniform(-0.6, 0.6))
        unit = ((unit - 0.5) * rng.uniform(0.5, 1.4) + 0.5 + rng.uniform(-0.15, 0.15)).clip(0, 1)
    if rng.random() < 0.4:
        unit = unit + rng.normal(0, rng.uniform(0, 0.05), unit.shape)
    if rng.random() < 0.3:
        first, second = (rng.uniform(0, 0.17, 2) * (rng.random(2) < 0.8) * side).astype(int)
        level = 0 if rng.random() < 0.8 else rng.uniform(0, 1)
        barred = unit if rng.random() < 0.5 else unit.T
        barred[:first], barred[side - second :] = level, level
    for _ in range(int(rng.integers(0, 3))):
        row, column = rng.integers(0, side - 6, 2)
        unit[row : row + 3, column : column + int(rng.integers(2, 7))] = rng.uniform(0.7, 1)
    shown: Gray = (unit.clip(0, 1) * 255).astype(np.float32)
    return shown


def _no_chest(films: NDArray[np.uint8], index: int, side: int, rng: np.random.Generator) -> Gray:
    choice = rng.random()
    if choice < 0.75:
        return synthetic(rng, side)
    film = np.asarray(Image.fromarray(films[index]).resize((side, side)), dtype=np.float32)
    if choice < 0.85:
        parts = int(rng.choice([2, 4, 8]))
        cut = film[: side // parts * parts, : side // parts * parts]
        patches = cut.reshape(parts, side // parts, parts, side // parts).swapaxes(1, 2)
        tiles = patches.reshape(parts * parts, side // parts, side // parts)
        # A cyclic shift after shuffling would be a radiograph that is merely moved: shuffle twice
        # over.
        order = rng.permutation(parts * parts)
        while (order == np.arange(parts * parts)).mean() > 0.3:
            order = rng.permutation(parts * parts)
        mixed = tiles[order].reshape(parts, parts, side // parts, side // parts)
        return mixed.swapaxes(1, 2).reshape(cut.shape)
    if choice < 0.92:
        return _swirled(film, rng)
    # Several small radiographs on one sheet.
    count = int(rng.integers(2, 4))
    small = side // count
    sheet = np.zeros((side, side), dtype=np.float32)
    for row in range(count):
        for column in range(count):
            other = Image.fromarray(films[int(rng.integers(len(films)))]).resize((small, small))
            where = (slice(row * small, (row + 1) * small), slice(column * small, None))
            sheet[where][:, :small] = np.asarray(other)
    return sheet


def _swirled(film: Gray, rng: np.random.Generator) -> Gray:
    side = len(film)
    y, x = np.mgrid[0:side, 0:side] - side / 2
    turn = rng.choice([-1, 1]) * rng.uniform(2.5, 7) * np.exp(-np.hypot(x, y) / (side * 0.3))
    rows = np.rint(y * np.cos(turn) - x * np.sin(turn) + side / 2).astype(int) % side
    columns = np.rint(x * np.cos(turn) + y * np.sin(turn) + side / 2).astype(int) % side
    swirled: Gray = film[rows, columns]
    return swirled
