"""TIFF that Pillow cannot open, or opens wrong, through tifffile: 32 and 64 bits, half and double
floats, signed values, and colour of more than 8 bits (whose planes Pillow mixes up)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging.colour import gray_of_rgb
from pneumoscope.imaging.limits import Limits

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _SAMPLES, _ORIENTATION = 258, 277, 274
_WHITE_ZERO, _BLACK_ZERO, _RGB = 0, 1, 2


def is_deep_tiff(path: Path) -> bool:
    """Whether a file is a TIFF for this module."""
    with warnings.catch_warnings(), path.open("rb") as stream:
        warnings.simplefilter("ignore")
        if stream.read(4) not in _STARTS:
            return False
        stream.seek(0)
        try:
            with Image.open(stream, formats=["TIFF"]) as image:
                tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
                deep = max(tags.get(_BITS, (1,))) > 8
                return deep and (image.mode == "I" or tags.get(_SAMPLES, 1) > 1)
        except UnidentifiedImageError:
            return True
        except Exception:  # for the ordinary reader to report
            return False


def read_deep_tiff(path: Path, limits: Limits) -> tuple[NDArray[Any], bool]:
    """The values of an upright gray picture (height, width), and whether white is zero.

    Raises:
        UnreadableImage: damaged or truncated.
        UnsupportedImage: coloured, transparent, several pictures, or out of the limits.
    """
    with _page(path, limits) as page:
        values = _gray(page.asarray(), page, path)
        return _upright(values, _orientation(page)), page.photometric == _WHITE_ZERO


def deep_tiff_size(path: Path, limits: Limits) -> tuple[int, int]:
    """Width and height of the upright picture; errors as of `read_deep_tiff`."""
    with _page(path, limits) as page:
        size = int(page.imagewidth), int(page.imagelength)
        return size if _orientation(page) < 5 else size[::-1]


@contextmanager
def _page(path: Path, limits: Limits) -> Iterator[Any]:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds is said below
    try:
        with tifffile.TiffFile(path) as film:
            page: Any = film.pages[0]
            limits.check_size(path, int(page.imagewidth), int(page.imagelength))
            if len(film.pages) > 1:
                raise UnsupportedImage(
                    f"holds {len(film.pages)} pictures",
                    path=path,
                    remedy="save the radiograph as a single picture",
                )
            yield page
    except ImageError:
        raise
    except MemoryError:
        raise UnreadableImage(
            "needs more memory than there is", path=path, remedy="export it at a lower resolution"
        ) from None
    except Exception:  # tifffile and its codecs raise almost anything on damaged files
        raise UnreadableImage(
            "is a damaged or truncated TIFF", path=path, remedy="copy or export the file again"
        ) from None


def _gray(values: NDArray[Any], page: Any, path: Path) -> NDArray[Any]:
    if page.extrasamples:
        raise UnsupportedImage(
            "has an alpha channel", path=path, remedy="save the radiograph without it"
        )
    if page.photometric in (_WHITE_ZERO, _BLACK_ZERO) and values.ndim == 2:
        return values
    if page.photometric == _RGB and values.ndim == 3:
        rgb = np.moveaxis(values, 0, 2) if page.axes == "SYX" else values
        if rgb.dtype == np.uint16:
            found = gray_of_rgb(rgb, int(rgb.max()) or 1)
        else:
            same = (rgb == rgb[..., :1]).all()
            found = np.ascontiguousarray(rgb[..., 0]) if same else None
        if found is not None:
            return found
    raise UnsupportedImage(
        "is a colour picture", path=path, remedy="give a grayscale radiograph, without overlays"
    )


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    return int(tag.value) if tag is not None and 1 <= int(tag.value) <= 8 else 1


def _upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A picture turned as its TIFF orientation says: 5 to 8 lie on their side."""
    picture = stored.T if orientation >= 5 else stored
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)
