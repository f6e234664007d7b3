"""Pictures that are no chest radiograph, drawn at random: for training the input gate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Gray = NDArray[np.float32]
_WORDS = ("the", "lungs", "of", "a", "film", "are", "seen", "from", "here", "0123456789", "R", "AP")


def synthetic(rng: np.random.Generator, side: int) -> Gray:
    """One picture without a chest, float32 (side, side) in [0, 255]."""
    maker = _MAKERS[int(rng.integers(len(_MAKERS)))]
    picture = _stretch(maker(rng, side), rng)
    if rng.random() < 0.3:
        picture = 255 - picture
    return picture


def _stretch(picture: Gray, rng: np.random.Generator) -> Gray:
    low, high = float(picture.min()), float(picture.max())
    unit = (picture - low) / max(high - low, 1e-6)
    darkest, brightest = rng.uniform(0, 80), rng.uniform(150, 255)
    gray: Gray = (darkest + unit ** rng.uniform(0.6, 1.7) * (brightest - darkest)).astype(
        np.float32
    )
    return gray


def _spectrum(rng: np.random.Generator, side: int) -> Gray:
    """Noise whose power falls with frequency f as f^-2a, a from 0 (white) to 2."""
    down = np.fft.fftfreq(side)[:, None] * rng.uniform(0.5, 1.5)
    frequency = np.hypot(down, np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0 / side
    white = np.fft.rfft2(rng.standard_normal((side, side)))
    noise = np.fft.irfft2(white * frequency ** -rng.uniform(0, 2), s=(side, side))
    return noise.astype(np.float32)


def _gradient(rng: np.random.Generator, side: int) -> Gray:
    y, x = np.mgrid[0:side, 0:side] / side - rng.uniform(0, 1, (2, 1, 1))
    turn = rng.uniform(0, 2 * np.pi)
    slope = x * np.cos(turn) + y * np.sin(turn)
    choice = rng.integers(4)
    waves = rng.uniform(2, 40)
    kinds = (slope, np.hypot(x, y), np.sin(waves * slope), np.sin(waves * np.hypot(x, y)))
    drawn: Gray = (kinds[choice] + rng.normal(0, 0.02, (side, side))).astype(np.float32)
    return drawn


def _leaves(rng: np.random.Generator, side: int) -> Gray:
    """Overlapping textured shapes of all sizes, as in photographs (dead leaves)."""
    picture = Image.new("F", (side, side), float(rng.uniform(0, 255)))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(5, 120))):
        _shape(rng, draw, side, radius=side * min(0.03 / rng.random(), 0.6))
    gray = np.asarray(picture, dtype=np.float32)
    texture = _spectrum(rng, side)
    gray = gray + texture / max(float(texture.std()), 1e-6) * rng.uniform(0, 35)
    return _blurred(gray, rng.uniform(0, 1.2))


def _shape(rng: np.random.Generator, draw: ImageDraw.ImageDraw, side: int, radius: float) -> None:
    x, y = rng.uniform(0, side, 2)
    level = float(rng.uniform(0, 255))
    wide, high = radius * rng.uniform(0.3, 1, 2)
    if rng.random() < 0.5:
        draw.ellipse((x - wide, y - high, x + wide, y + high), fill=level)
        return
    corners = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
    points = [(x + wide * np.cos(turn), y + high * np.sin(turn)) for turn in corners]
    draw.polygon(points, fill=level)


def _shapes(rng: np.random.Generator, side: int) -> Gray:
    """A few plain shapes, rows of discs, or a grid."""
    picture = Image.new("F", (side, side), float(rng.uniform(0, 255)))
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 7))):
            _shape(rng, draw, side, radius=side * rng.uniform(0.08, 0.5))
        return np.asarray(picture, dtype=np.float32)
    step = side / rng.uniform(2, 9)
    square = rng.random() < 0.4
    for row in range(10):
        for column in range(10):
            x, y = column * step + rng.normal(0, 1), row * step + rng.normal(0, 1)
            level = float((row + column) % 2 * 255) if square else float(rng.uniform(90, 255))
            box = (x, y, x + step * 0.9, y + step * 0.9)
            (draw.rectangle if square else draw.ellipse)(box, fill=level)
    return np.asarray(picture, dtype=np.float32) + rng.normal(0, 8, (side, side)).astype(np.float32)


def _text(rng: np.random.Generator, side: int) -> Gray:
    """Lines of words on lit paper."""
    scale = float(rng.uniform(1, 4))
    whole = int(side * scale)
    picture = Image.new("L", (whole, whole), 255)
    draw = ImageDraw.Draw(picture)
    for row in range(int(rng.integers(0, 8)), whole, int(rng.integers(11, 22))):
        draw.text((int(rng.integers(0, 12)), row), " ".join(rng.choice(_WORDS, 24)), fill=0)
    paper = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32)
    light = _gradient(rng, side)
    return paper * (1 + 0.2 * light / max(float(np.abs(light).max()), 1e-6)).astype(np.float32)


def _limb(rng: np.random.Generator, side: int) -> Gray:
    """Long bones with bright edges in soft tissue, one to five of them, in a collimated field."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    turn = rng.uniform(-0.5, 0.5) + (np.pi / 2 if rng.random() < 0.25 else 0)
    along, across = x * np.sin(turn) + y * np.cos(turn), x * np.cos(turn) - y * np.sin(turn)
    count = int(rng.integers(1, 6))
    spread = rng.uniform(0.08, 0.25)
    gray = np.zeros((side, side))
    for place in range(count):
        centre = (place - (count - 1) / 2) * spread + rng.normal(0, 0.02)
        bend = centre + rng.normal(0, 0.15) * along + rng.normal(0, 0.3) * along**2
        flare = 1 + rng.uniform(0, 0.8) * np.abs(np.sin(along * rng.uniform(3, 12) + 1))
        half = rng.uniform(0.015, 0.08) * flare
        away = np.abs(across - bend)
        flesh = rng.uniform(1.5, 4) * half
        gray = np.maximum(gray, 0.5 * np.sqrt(np.clip(1 - (away / flesh) ** 2, 0, 1)))
        bone = np.clip(1 - (away / half) ** 2, 0, 1)
        edge = np.exp(-(((away - 0.85 * half) / (0.25 * half)) ** 2))
        joint = np.abs(np.sin((along + rng.uniform()) * rng.uniform(4, 14))) > 0.12
        gray += (0.3 * np.sqrt(bone) + 0.35 * edge * (bone > 0)) * joint
    gray += rng.normal(0, 0.015, (side, side))
    return _collimated(rng, _blurred(gray.astype(np.float32), rng.uniform(0, 1)))


def _teeth(rng: np.random.Generator, side: int) -> Gray:
    """Two rows of bright teeth with darker roots, in bone."""
    picture = Image.new("F", (side, side), float(rng.uniform(40, 110)))
    draw = ImageDraw.Draw(picture)
    count = int(rng.integers(2, 9))
    width = side / count
    gap = min(2.0, width / 4)
    middle = side * rng.uniform(0.35, 0.65)
    for upper in (True, False):
        shift = rng.uniform(-0.5, 0.5) * width
        for place in range(-1, count + 1):
            left = place * width + shift
            crown, root = side * rng.uniform(0.12, 0.2), side * rng.uniform(0.2, 0.35)
            sign = -1 if upper else 1
            gum, tip = middle + sign * crown, middle + sign * (crown + root)
            points = [
                (left + 0.2 * width, gum),
                (left + 0.5 * width, tip),
                (left + 0.8 * width, gum),
            ]
            draw.polygon(points, fill=float(rng.uniform(110, 170)))
            top, bottom = sorted((middle + sign * 2, gum))
            draw.ellipse(
                (left + gap, top, left + width - gap, bottom), fill=float(rng.uniform(180, 255))
            )
    texture = _spectrum(rng, side)
    gray = np.asarray(picture, dtype=np.float32)
    gray = gray + 12 * texture / max(float(texture.std()), 1e-6)
    return _collimated(rng, _blurred(gray, rng.uniform(0.4, 1.4)))


def _collimated(rng: np.random.Generator, gray: Gray) -> Gray:
    """With dark borders and a bright marker, now and then."""
    side = len(gray)
    if rng.random() < 0.5:
        top, left = (rng.uniform(0, 0.25, 2) * side).astype(int)
        bottom, right = side - (rng.uniform(0, 0.25, 2) * side).astype(int)
        field = np.full_like(gray, float(gray.min()))
        field[top:bottom, left:right] = gray[top:bottom, left:right]
        gray = field
    if rng.random() < 0.5:
        row, column = rng.integers(0, side - 8, 2)
        gray[row : row + 5, column : column + int(rng.integers(2, 8))] = gray.max()
    return gray


def _blurred(gray: Gray, radius: float) -> Gray:
    """Blurred by Pillow's Gaussian, which knows 8 bits only."""
    low, high = float(gray.min()), float(gray.max())
    scale = 255 / max(high - low, 1e-6)
    levels = Image.fromarray(((gray - low) * scale).astype(np.uint8))
    found = levels.filter(ImageFilter.GaussianBlur(radius))
    return (np.asarray(found, dtype=np.float32) / scale + low).astype(np.float32)


_MAKERS: tuple[Callable[[np.random.Generator, int], Gray], ...] = (
    _spectrum, _gradient, _leaves, _leaves, _leaves, _shapes, _text, _limb, _limb, _teeth,
)  # fmt: skip
