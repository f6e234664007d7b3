"""How a DICOM file stores its pixels, and stored words as the values they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import UnreadableImage, UnsupportedImage
from pneumoscope.imaging.elements import number, printable, text

GRAY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_KNOWN = {name.replace(" ", ""): name for name in (*GRAY, PALETTE, *COLOUR)}
_MOST_BITS = 32
_EXPORT = "export it again from the archive"


@dataclass(frozen=True, slots=True)
class Layout:
    """The Image Pixel module (PS3.3 C.7.6.3), checked.

    Args:
        rows, columns: of the radiograph.
        samples: per pixel, 1 or 3.
        photometric: photometric interpretation, as the standard spells it.
        allocated: bits per sample in the file.
        stored: bits of these that hold the value.
        high: place of the value's highest bit.
        signed: whether values are two's complement.
        planar: planar configuration, 0 or 1; None where the file does not say.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: int | None

    @classmethod
    def read(cls, dataset: Any, path: Path) -> Layout:
        """The layout of a dataset, with the defaults of the standard and of dcmtk.

        SamplesPerPixel is 1 and HighBit BitsStored - 1 where they are missing; nothing else can be
        guessed without a risk of wrong pixels.

        Raises:
            UnreadableImage: an element is missing, or two contradict each other.
            UnsupportedImage: a photometric interpretation or a depth that is not read.
            MalformedElement: an element is no number.
        """
        photometric = _photometric(dataset, path)
        samples = _integer(dataset, path, "SamplesPerPixel", default=1)
        allocated = _integer(dataset, path, "BitsAllocated")
        _check_depth(allocated, path)
        stored = _integer(dataset, path, "BitsStored")
        high = _integer(dataset, path, "HighBit", default=stored - 1)
        sign = _integer(dataset, path, "PixelRepresentation")
        planar = number(dataset, "PlanarConfiguration")
        layout = cls(
            rows=_integer(dataset, path, "Rows"),
            columns=_integer(dataset, path, "Columns"),
            samples=samples,
            photometric=photometric,
            allocated=allocated,
            stored=stored,
            high=high,
            signed=sign == 1,
            planar=None if planar is None else int(planar),
        )
        if sign not in (0, 1):
            raise _contradiction(path, f"PixelRepresentation {sign}")
        if samples != (3 if photometric in COLOUR else 1):
            raise _contradiction(path, f"SamplesPerPixel {samples} and {photometric}")
        if not 0 < stored <= high + 1 <= allocated:
            raise _contradiction(
                path, f"BitsAllocated {allocated}, BitsStored {stored} and HighBit {high}"
            )
        return layout

    @property
    def lowest(self) -> int:
        """The lowest value that can be stored."""
        return -int(2 ** (self.stored - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The highest value that can be stored."""
        return self.lowest + int(2**self.stored) - 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of the frame when it is not compressed."""
        samples = self.samples
        if self.photometric == "YBR_FULL_422":
            samples = 2
        return -(-self.rows * self.columns * samples * self.allocated // 8)

    def as_stored(self, value: int) -> int:
        """A value of the header that is compared with pixels, as US or SS, whichever it must be.

        Writers choose the other VR for the same 16 bits (65535 for -1); a value that cannot be
        stored is read the other way where that one can.
        """
        return either_sign(value, self.lowest, self.highest)

    def values(self, words: NDArray[np.integer], shift: int) -> NDArray[np.integer]:
        """The values of stored words: moved down, cut to BitsStored, with their sign.

        Args:
            words: as stored, of any integer type.
            shift: place of the value's lowest bit.
        """
        bits = max(self.stored + shift, 8 * words.itemsize)
        size = next(size for size in (1, 2, 4) if 8 * size >= bits)
        found = words.astype(f"u{size}", copy=False)
        values: NDArray[np.integer] = found.view(f"i{size}") if self.signed else found
        room = 8 * size - self.stored
        if not room:
            return values
        # Up against the top of the type, so that what is above the value is lost, then down.
        raised: NDArray[np.integer] = values << np.asarray(room - shift, values.dtype)
        return raised >> np.asarray(room, values.dtype)

    def stray_bits(self, words: NDArray[np.integer], values: NDArray[np.integer]) -> bool:
        """Whether uncompressed words hold more than their `values`, such as an old overlay."""
        shift = np.asarray(self.high + 1 - self.stored, words.dtype)
        again = values.astype(words.dtype, copy=False) << shift
        if not self.signed:
            return bool((again != words).any())
        mask = np.asarray(2 ** (self.high + 1) - 1, words.dtype)  # Above: copies of the sign, or 0.
        return bool(((again != words) & (again & mask != words)).any())


def either_sign(value: int, lowest: int, highest: int) -> int:
    """16 bits as the number in a range: as given, else with the other sign; else the nearer."""
    other = value - 2**16 if value >= 2**15 else value + 2**16
    return min(value, other, key=lambda number: max(lowest - number, number - highest, 0))


def _photometric(dataset: Any, path: Path) -> str:
    said = text(dataset, "PhotometricInterpretation")
    if said is None:
        raise _missing(path, "PhotometricInterpretation")
    known = _KNOWN.get(said.upper().replace(" ", ""))
    if known is None:
        raise UnsupportedImage(
            f"has photometric interpretation {printable(said)}",
            path=path,
            remedy="export it as MONOCHROME2",
        )
    return known


def _check_depth(allocated: int, path: Path) -> None:
    if allocated == 1:
        raise UnsupportedImage(
            "has only black and white pixels (1 bit), as a mask has",
            path=path,
            remedy="give the gray radiograph itself",
        )
    if not 1 < allocated <= _MOST_BITS:
        raise UnsupportedImage(
            f"stores {allocated} bits per pixel", path=path, remedy="export it with 8 or 16 bits"
        )


def _integer(dataset: Any, path: Path, keyword: str, *, default: int | None = None) -> int:
    found = number(dataset, keyword)
    if found is None:
        if default is None:
            raise _missing(path, keyword)
        return default
    return int(found)


def _missing(path: Path, keyword: str) -> UnreadableImage:
    return UnreadableImage(
        f"has no {keyword}, without which its pixels mean nothing", path=path, remedy=_EXPORT
    )


def _contradiction(path: Path, what: str) -> UnreadableImage:
    return UnreadableImage(f"has contradictory elements: {what}", path=path, remedy=_EXPORT)
