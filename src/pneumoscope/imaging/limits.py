"""Limits that a file must respect before it is decoded, so that no file can exhaust the memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pneumoscope.errors import UnreadableImage, UnsupportedImage


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest and smallest files that are read.

    Args:
        max_bytes: largest file, in bytes; a deflated DICOM file must also inflate to no more.
        max_pixels: largest picture, in pixels. A 43 x 36 cm radiograph at 0.1 mm has 15.5 million.
            The default stays below the size at which Pillow's own decompression-bomb guard warns;
            that guard stays on, so a larger value than twice its threshold has no effect.
        min_side: shortest side in pixels; anything smaller is an icon or a thumbnail.
        options: what raises `max_bytes` and `max_pixels` where a file is refused; None where
            nothing does.
    """

    max_bytes: int = 200 * 2**20
    max_pixels: int = 80_000_000
    min_side: int = 32
    options: tuple[str, str] | None = None

    def check_bytes(self, path: Path, size: int) -> None:
        """Refuse an empty file and one of more than `max_bytes` bytes.

        Raises:
            UnreadableImage: `size` is zero.
            UnsupportedImage: `size` is above the limit.
        """
        if size == 0:
            raise UnreadableImage("is empty (0 bytes)", path=path, remedy="copy the file again")
        if size > self.max_bytes:
            most = f"{self.max_bytes / 2**20:,.0f} MB"
            raise UnsupportedImage(
                f"is too large ({size / 2**20:,.0f} MB; the limit is {most})",
                path=path,
                remedy=f"export a single uncompressed frame{self._raised(0)}",
            )

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Refuse a picture with too many or too few pixels.

        Raises:
            UnsupportedImage: `width` x `height` is out of the limits.
        """
        if width * height > self.max_pixels:
            raise UnsupportedImage(
                f"has too many pixels ({width} x {height}; the limit is {self.max_pixels:,})",
                path=path,
                remedy=f"export it at a lower resolution{self._raised(1)}",
            )
        if min(width, height) < self.min_side:
            raise UnsupportedImage(
                f"is too small ({width} x {height}; the shortest side allowed is {self.min_side})",
                path=path,
                remedy="give the radiograph itself, not its thumbnail",
            )

    def _raised(self, which: int) -> str:
        return "" if self.options is None else f", or raise the limit with {self.options[which]}"


DEFAULT_LIMITS = Limits()
