"""The map between a radiograph's pixel grid and a model's square input, exact in both directions.

Geometry is in pixel edges: pixel (row i, column j) covers [j, j+1] x [i, i+1], and a box is
(x, y, width, height) from the top-left corner of the top-left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.imaging.radiograph import Radiograph

Box = tuple[float, float, float, float]
"""(x, y, width, height) in pixels, from pixel edges."""

# Block averages leave at least this many pixels along a side for one of the square.
_REDUCING_GAP = 2.0
# Multiplications; OpenBLAS leaves products of twice as many to one thread.
_SMALL_PRODUCT = 2**17


class _Cells(NamedTuple):
    """For each pixel along an axis a cell of a grid, and its share in the pixel."""

    cell: NDArray[np.intp]
    share: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A radiograph scaled to fit a square and centred in it, on black, in its true proportions.

    The scaled radiograph has whole pixels, so its two scales differ by up to half a pixel in
    `size`, and by much more where the radiograph's pixels are not square; each axis keeps its own,
    which is what makes the way back exact.

    Args:
        height: rows of the radiograph.
        width: columns of the radiograph.
        size: side of the model's square input, in pixels.
        content_height: rows of the square that the radiograph covers.
        content_width: columns of the square that the radiograph covers.
        top: first row of the square that the radiograph covers.
        left: first column of the square that the radiograph covers.
    """

    height: int
    width: int
    size: int
    content_height: int
    content_width: int
    top: int
    left: int

    @classmethod
    def fit(cls, height: int, width: int, size: int, aspect: float = 1.0) -> Letterbox:
        """The letterbox of a radiograph of `height` x `width` pixels in a square of `size` pixels.

        Args:
            height, width: of the radiograph, in its own pixels.
            size: of the square, whose pixels are square too.
            aspect: height of a radiograph's pixel over its width.

        Raises:
            ValueError: a side or the aspect is not positive.
        """
        if min(height, width, size) < 1 or not aspect > 0:
            raise ValueError(f"sides must be positive: {height} x {width} ({aspect}) into {size}")
        tall = height * aspect
        longest = max(tall, width)
        content_height = max(1, round(size * tall / longest))
        content_width = max(1, round(size * width / longest))
        return cls(
            height=height,
            width=width,
            size=size,
            content_height=content_height,
            content_width=content_width,
            top=(size - content_height) // 2,
            left=(size - content_width) // 2,
        )

    @property
    def scale_y(self) -> float:
        """Model pixels per radiograph pixel, down the rows."""
        return self.content_height / self.height

    @property
    def scale_x(self) -> float:
        """Model pixels per radiograph pixel, along the columns."""
        return self.content_width / self.width

    def within(self, longest: int) -> Letterbox:
        """The letterbox of the same radiograph made smaller: at most `longest` pixels a side.

        It covers the same places of the square. A radiograph that is no larger keeps its own.
        """
        part = max(self.height, self.width) / longest
        if part <= 1:
            return self
        height, width = (max(1, round(side / part)) for side in (self.height, self.width))
        return replace(self, height=height, width=width)

    def apply(self, pixels: NDArray[np.float32], reduction: int = 1) -> NDArray[np.float32]:
        """Scale and centre a radiograph's pixels.

        Resampling is Pillow's bilinear (a triangle filter as wide as the reduction, so it is
        antialiased and never overshoots). A radiograph that is several times as large as the square
        is first averaged in blocks, down to no less than twice the square's size. A radiograph that
        fits as it is passes through unchanged.

        Args:
            pixels: float32 (height, width), each divided by `reduction` and rounded up.
            reduction: rows and columns of the radiograph for one of `pixels`.

        Returns:
            float32 (size, size), zero around the radiograph; `pixels` itself when nothing changes.

        Raises:
            ValueError: `pixels` has another shape than the radiograph.
        """
        if pixels.shape != (-(-self.height // reduction), -(-self.width // reduction)):
            raise ValueError(
                f"radiograph is {self.height} x {self.width}, pixels are {pixels.shape}"
            )
        content: NDArray[np.float32] = pixels
        if pixels.shape != (self.content_height, self.content_width):
            target = (self.content_width, self.content_height)
            whole = np.ascontiguousarray(pixels, dtype=np.float32)
            # The array itself as a picture; `fromarray` would copy it twice.
            film = Image.frombuffer("F", pixels.shape[::-1], whole, "raw", "F", 0, 1)
            part = (0.0, 0.0, self.width / reduction, self.height / reduction)
            resized = film.resize(target, Image.Resampling.BILINEAR, part, _REDUCING_GAP)
            # The filter's weights are rounded, so a white radiograph can come out one part in 1e7
            # whiter.
            content = np.asarray(resized, dtype=np.float32).clip(pixels.min(), pixels.max())
        if content.shape == (self.size, self.size):
            return content
        square = np.zeros((self.size, self.size), dtype=np.float32)
        rows = slice(self.top, self.top + self.content_height)
        columns = slice(self.left, self.left + self.content_width)
        square[rows, columns] = content
        return square

    def to_film(self, heatmap: NDArray[np.floating]) -> NDArray[np.float32]:
        """Resample a heatmap on the model's square to the radiograph's own pixels.

        Separable bilinear interpolation with half-pixel centres (align_corners=False), evaluated at
        the centres of the radiograph's pixels and held constant beyond the outermost grid centres.

        Args:
            heatmap: (grid_height, grid_width), any grid that covers the model's whole square.

        Returns:
            float32 (height, width), within the heatmap's own minimum and maximum.

        Raises:
            ValueError: `heatmap` is not a 2-D grid.
        """
        if heatmap.ndim != 2 or heatmap.size == 0:
            raise ValueError(f"heatmap must have shape (rows, columns), not {heatmap.shape}")
        grid = np.asarray(heatmap, dtype=np.float32)
        left, right = self._shares(self.width, self.left, self.scale_x, grid.shape[1])
        across = grid[:, left.cell] * left.share + grid[:, right.cell] * right.share
        upper, lower = self._shares(self.height, self.top, self.scale_y, grid.shape[0])
        shares = np.stack([upper.share, lower.share], axis=1)
        film = np.empty((self.height, self.width), dtype=np.float32)
        # Radiograph rows between the same two rows of the grid are made of these two at once, by
        # products so small that no BLAS library shares them among threads: these would wait for
        # each other longer than they compute where several radiographs are made side by side.
        few = max(1, _SMALL_PRODUCT // (2 * self.width))
        starts = np.flatnonzero(np.diff(upper.cell, prepend=-1)).tolist()
        for start, stop in pairwise([*starts, self.height]):
            both = across[[upper.cell[start], lower.cell[start]]]
            for first in range(start, stop, few):
                rows = slice(first, min(first + few, stop))
                np.matmul(shares[rows], both, out=film[rows])
        return np.clip(film, grid.min(), grid.max(), out=film)

    def _shares(self, pixels: int, offset: int, scale: float, cells: int) -> tuple[_Cells, _Cells]:
        """For each pixel along an axis the cells before and after its centre."""
        centre = offset + (np.arange(pixels) + 0.5) * scale
        place = np.clip(centre * (cells / self.size) - 0.5, 0, cells - 1)
        before = np.minimum(place.astype(np.intp), max(cells - 2, 0))
        share = (place - before).astype(np.float32)
        return _Cells(before, 1 - share), _Cells(np.minimum(before + 1, cells - 1), share)

    def box_to_model(self, box: Box) -> Box:
        """A box on the radiograph, in the pixels of the model's square."""
        x, y, width, height = box
        return (
            self.left + x * self.scale_x,
            self.top + y * self.scale_y,
            width * self.scale_x,
            height * self.scale_y,
        )

    def box_to_film(self, box: Box) -> Box:
        """A box in the model's square, in the radiograph's pixels; inverse of `box_to_model`."""
        x, y, width, height = box
        return (
            (x - self.left) / self.scale_x,
            (y - self.top) / self.scale_y,
            width / self.scale_x,
            height / self.scale_y,
        )


def model_input(radiograph: Radiograph, size: int) -> tuple[NDArray[np.uint8], Letterbox]:
    """What a model sees of a radiograph: letterboxed, then rounded to 8 bits.

    The one function used for training, evaluation and prediction, so that the three cannot drift
    apart. An 8-bit radiograph of `size` x `size` pixels comes back with its own stored values.

    Returns:
        uint8 (size, size), and the letterbox that leads back to the radiograph.
    """
    letterbox = Letterbox.fit(radiograph.height, radiograph.width, size, radiograph.aspect)
    square = letterbox.apply(radiograph.pixels, radiograph.reduction)
    levels = np.rint(square * np.float32(255))
    return levels.astype(np.uint8), letterbox
