"""What the input gate sees in training: films as they may come, and spoilt in each known way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pneumoscope.cohort.phantom import PhantomSettings, render
from pneumoscope.cohort.phantom.writing import cases
from pneumoscope.gate import KINDS
from pneumoscope.training.gate_negatives import Gray, synthetic

# How often each of `KINDS` is drawn.
_SHARES = (0.46, 0.11, 0.12, 0.12, 0.19)
_PHANTOM_SIDE = 128


def phantoms(n: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Drawn chests, uint8 (n, side, side): the gate is to accept the project's own phantoms."""
    settings = PhantomSettings(n=n, seed=seed, size=_PHANTOM_SIDE)
    films = np.zeros((n, side, side), dtype=np.uint8)
    for index, case in enumerate(cases(settings)):
        drawn = render(case.rng, case.anatomy, case.view, case.pneumonia, size=_PHANTOM_SIDE)
        levels = Image.fromarray(np.rint(drawn.pixels * 255).astype(np.uint8))
        films[index] = np.asarray(levels.resize((side, side), Image.Resampling.BILINEAR))
    return films


def draw(
    films: NDArray[np.uint8], index: int, side: int, rng: np.random.Generator
) -> tuple[Gray, int]:
    """One picture for training: float32 (side, side) in [0, 255], and its place in `KINDS`.

    Args:
        films: uint8 (N, S, S), upright frontal chest films.
        index: the film to start from.
        side: side of the gate's input in pixels.
        rng: decides what becomes of it.
    """
    kind = int(rng.choice(len(KINDS), p=_SHARES))
    name = KINDS[kind]
    if name == "not_chest":
        picture = _no_chest(films, index, side, rng)
    else:
        film = Image.fromarray(films[index])
        turn = 0
        if name == "inverted":
            film = Image.fromarray(255 - films[index])
        elif name == "rotated":
            turn = 90 * int(rng.integers(1, 4))
        if name == "cropped":
            film = heavy_crop(film, rng)
        elif rng.random() < 0.2:
            film = longer(film, rng)
        picture = placed(film, side, rng, turn)
    return exposed(picture, rng), kind


def heavy_crop(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A part of a film that does not show both lungs: under a third of it, or one side of it."""
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
    """A film that reaches further down, as those do that show the abdomen: its last rows go on."""
    levels = np.asarray(film)
    rows = int(rng.uniform(0.1, 0.4) * len(levels))
    last = levels[-max(len(levels) // 12, 2) :]
    below = np.pad(last, ((0, rows), (0, 0)), mode="reflect")[len(last) :]
    return Image.fromarray(np.concatenate([levels, below]))


def placed(film: Image.Image, side: int, rng: np.random.Generator, turn: int = 0) -> Gray:
    """A film on the gate's square: turned a little, scaled, squashed, mirrored, shifted."""
    angle = np.deg2rad(turn + rng.normal(0, 7))
    # From the square's pixels to the film's: above 1 the film is smaller than the square.
    zoom = np.exp(rng.uniform(np.log(0.87), np.log(1.3)))
    squash = np.exp(rng.uniform(-0.17, 0.17))
    longest = max(film.size) if rng.random() < 0.5 else 0
    down, across = (longest or film.height), (longest or film.width)
    mirror = -1 if rng.random() < 0.3 else 1
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    a, b = mirror * across / side * cos * squash, mirror * across / side * sin * squash
    d, e = -down / side * sin / squash, down / side * cos / squash
    x, y = rng.normal(0, 0.04, 2) + 0.5
    c = x * film.width - (a + b) * side / 2
    f = y * film.height - (d + e) * side / 2
    fill = 0 if rng.random() < 0.85 else int(rng.integers(0, 256))
    shown = film.transform(
        (side, side), Image.Transform.AFFINE, (a, b, c, d, e, f),
        resample=Image.Resampling.BILINEAR, fillcolor=fill,
    )  # fmt: skip
    return np.asarray(shown, dtype=np.float32)


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
        bar = int(rng.uniform(0, 0.17) * side)
        level = 0 if rng.random() < 0.8 else 1
        if rng.random() < 0.5:
            unit[:bar], unit[side - bar :] = level, level
        else:
            unit[:, :bar], unit[:, side - bar :] = level, level
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
        # A cyclic shift after shuffling would be a film that is merely moved: shuffle twice over.
        order = rng.permutation(parts * parts)
        while (order == np.arange(parts * parts)).mean() > 0.3:
            order = rng.permutation(parts * parts)
        mixed = tiles[order].reshape(parts, parts, side // parts, side // parts)
        return mixed.swapaxes(1, 2).reshape(cut.shape)
    if choice < 0.92:
        return _swirled(film, rng)
    # Several small films on one sheet.
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
