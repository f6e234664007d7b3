"""The radiograph as a grid of patient coordinates, and the few kinds of smooth field drawn on it.

Patient coordinates: x is 0 at the midline and grows to the right of the radiograph (the patient's
left); y is 0 at the top and 1 at the bottom of a radiograph of nominal position and magnification;
both in units of the radiograph's height. The patient's right side (left on the radiograph) is side
0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Field = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

TABLE_LOW, TABLE_HIGH, TABLE_STEPS = -0.5, 1.5, 512
SUPERSAMPLING = 2


@dataclass(frozen=True)
class Pose:
    """How the patient stands in front of the radiograph.

    Attributes:
        scale: magnification, 1 is nominal.
        shift: displacement (x, y) in radiograph heights.
        tilt: rotation in the radiograph's plane, radians.
    """

    scale: float
    shift: tuple[float, float]
    tilt: float


@dataclass(frozen=True)
class Frame:
    """Patient coordinates of every pixel centre of one radiograph.

    Attributes:
        height, width: pixels.
        pose: the pose the coordinates come from.
        x, y: (height, width) patient coordinates.
        side: (height, width) 0 left of the midline, 1 right of it.
        out: (height, width) distance from the midline, |x|.
    """

    height: int
    width: int
    pose: Pose
    x: Field
    y: Field
    side: NDArray[np.intp]
    out: Field

    @classmethod
    def of(cls, height: int, width: int, pose: Pose) -> Frame:
        """Lay out the grid of a radiograph of `height` x `width` pixels."""
        rows = (np.arange(height, dtype=np.float32) + 0.5)[:, None] / height
        columns = (np.arange(width, dtype=np.float32) + 0.5 - width / 2)[None, :] / height
        across = (columns - pose.shift[0]) / pose.scale
        down = (rows - 0.5 - pose.shift[1]) / pose.scale
        x = (cos(pose.tilt) * across + sin(pose.tilt) * down).astype(np.float32)
        y = (cos(pose.tilt) * down - sin(pose.tilt) * across + 0.5).astype(np.float32)
        return cls(height, width, pose, x, y, (x > 0).astype(np.intp), np.abs(x))

    def every(self, step: int) -> Frame:
        """The same radiograph seen at every `step`-th pixel, for fields that are smooth anyway."""
        x, y = self.x[::step, ::step], self.y[::step, ::step]
        side, out = self.side[::step, ::step], self.out[::step, ::step]
        return Frame(x.shape[0], x.shape[1], self.pose, x, y, side, out)

    def pixels(self, points: Points) -> Points:
        """Map (n, 2) patient coordinates to (n, 2) pixel positions (column, row)."""
        x, y = points[:, 0], points[:, 1] - 0.5
        pose = self.pose
        across = pose.scale * (cos(pose.tilt) * x - sin(pose.tilt) * y) + pose.shift[0]
        down = pose.scale * (sin(pose.tilt) * x + cos(pose.tilt) * y) + pose.shift[1]
        columns = across * self.height + self.width / 2
        return np.stack([columns, (down + 0.5) * self.height], axis=1)


class Canvas:
    """Strokes in patient coordinates, antialiased, later ones over earlier ones.

    Values are in [0, 1]; `field` gives them back on the frame's grid.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        size = (frame.width * SUPERSAMPLING, frame.height * SUPERSAMPLING)
        self._image = Image.new("L", size)
        self._draw = ImageDraw.Draw(self._image)
        self._unit = frame.height * frame.pose.scale * SUPERSAMPLING

    def line(self, points: Points, width: float, value: float) -> None:
        """Draw a polyline `width` radiograph heights thick."""
        thickness = max(1, round(width * self._unit))
        self._draw.line(self._positions(points), fill=_level(value), width=thickness)

    def segments(self, paths: Points, widths: Points, values: Points) -> None:
        """Draw k short polylines, `paths` (k, m, 2), each with its own width and value."""
        k, m, _ = paths.shape
        positions = (self.frame.pixels(paths.reshape(-1, 2)) * SUPERSAMPLING).reshape(k, 2 * m)
        thickness = np.maximum(np.rint(widths * self._unit), 1).astype(int)
        levels = np.rint(255 * np.clip(values, 0, 1)).astype(int)
        for path, width, level in zip(
            positions.tolist(), thickness.tolist(), levels.tolist(), strict=True
        ):
            self._draw.line(path, fill=level, width=width)

    def polygon(self, points: Points, value: float) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._positions(points), fill=_level(value))

    def disc(self, centre: tuple[float, float], radius: float, value: float) -> None:
        """Fill a disc of `radius` radiograph heights."""
        (position,) = self._positions(np.array([centre]))
        self._draw.circle(position, max(1.0, radius * self._unit), fill=_level(value))

    def field(self, blur: float = 0.0) -> Field:
        """What was drawn, (height, width) in [0, 1], blurred by `blur` radiograph heights."""
        reduced = np.asarray(self._image.reduce(SUPERSAMPLING), dtype=np.float32) / 255.0
        return smooth(reduced, blur * self.frame.height) if blur > 0 else reduced

    def _positions(self, points: Points) -> list[tuple[float, float]]:
        positions = self.frame.pixels(points) * SUPERSAMPLING
        return [(float(column), float(row)) for column, row in positions]


def _level(value: float) -> int:
    return round(255 * min(max(value, 0.0), 1.0))


def ramp(distance: Field, width: float) -> Field:
    """Smooth step from 0 to 1 as `distance` goes from -width/2 to width/2."""
    t = distance * (1 / width)
    t += 0.5
    np.clip(t, 0, 1, out=t)
    step: Field = t * t * (3 - 2 * t)
    return step


def chord(distance: Field, radius: float | Field) -> Field:
    """Depth in [0, 1] of a rounded body at `distance` inside its edge: 1 beyond `radius`."""
    t = 1 - np.clip(distance / radius, 0.0, 1.0)
    depth: Field = np.sqrt(1 - t * t)
    return depth


def capsule(
    frame: Frame, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Field:
    """Thickness in [0, 1] along the beam of a round-ended rod."""
    along = (end[0] - start[0], end[1] - start[1])
    length = along[0] ** 2 + along[1] ** 2
    dx, dy = frame.x - start[0], frame.y - start[1]
    t = np.clip((dx * along[0] + dy * along[1]) / length, 0, 1)
    squared = (dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2
    thickness: Field = np.sqrt(np.clip(1 - squared / radius**2, 0.0, 1.0))
    return thickness


def table_axis() -> Points:
    """The patient coordinates at which tables for `lookup` are tabulated."""
    return np.linspace(TABLE_LOW, TABLE_HIGH, TABLE_STEPS)


def lookup(tables: Points, frame: Frame, coordinate: Field) -> Field:
    """Read, at each pixel, its own side's table: `tables` is (2, TABLE_STEPS) on `table_axis()`."""
    scale = (TABLE_STEPS - 1) / (TABLE_HIGH - TABLE_LOW)
    position = np.clip((coordinate - TABLE_LOW) * scale, 0, TABLE_STEPS - 1.001)
    low = position.astype(np.intp)
    index = low + frame.side * TABLE_STEPS
    flat = tables.astype(np.float32).ravel()
    below = flat[index]
    read: Field = below + (position - low).astype(np.float32) * (flat[index + 1] - below)
    return read


def bump(axis: Points, centre: float, up: float, down: float) -> Points:
    """A bell of height 1 with its own width on either side of `centre`."""
    width = np.where(axis < centre, up, down)
    bell: Points = np.exp(-(((axis - centre) / width) ** 2))
    return bell


def smooth(field: Field, sigma: float) -> Field:
    """Gaussian blur by `sigma` pixels, cut at 3 sigma."""
    blurred: Field = ndimage.gaussian_filter(field, sigma, truncate=3.0, mode="nearest")
    return blurred


def enlarge(coarse: Field, height: int, width: int, step: int) -> Field:
    """Bring a field computed on `Frame.every(step)` back to all pixels, linearly interpolated."""
    rows = _interpolate_rows(coarse, height, step)
    return _interpolate_rows(rows.T, width, step).T


def _interpolate_rows(field: Field, count: int, step: int) -> Field:
    position = np.arange(count) / step
    low = np.minimum(position.astype(np.intp), max(field.shape[0] - 2, 0))
    share = np.minimum(position - low, 1).astype(np.float32)[:, None]
    below = field[low]
    rows: Field = below + share * (field[low + 1] - below)
    return rows


def noise_lattice(rng: np.random.Generator, cells: int) -> Field:
    """Smooth noise of mean 0 and deviation 1, tabulated for `sample_lattice`."""
    lattice = smooth(rng.standard_normal((cells, cells), dtype=np.float32), 1.4)
    normal: Field = (lattice - lattice.mean()) / lattice.std()
    return normal


def sample_lattice(lattice: Field, frame: Frame) -> Field:
    """Noise fixed to the patient: the lattice spans x in [-0.7, 0.7] and y in [-0.2, 1.2]."""
    step = (lattice.shape[0] - 1) / 1.4
    where = np.stack([(frame.y + 0.2) * step, (frame.x + 0.7) * step])
    noise: Field = ndimage.map_coordinates(lattice, where, order=1, mode="reflect")
    return noise


def curve(points: Sequence[tuple[float, float]], steps: int = 12) -> Points:
    """A smooth curve of `steps` points per piece through `points` (Catmull-Rom)."""
    p = np.array([points[0], *points, points[-1]], dtype=np.float64)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        0.5
        * (
            2 * p[i]
            + (p[i + 1] - p[i - 1]) * t
            + (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
            + (3 * p[i] - p[i - 1] - 3 * p[i + 1] + p[i + 2]) * t**3
        )
        for i in range(1, len(p) - 2)
    ]
    return np.concatenate([*pieces, p[-1:]])
