"""PNG, JPEG and TIFF through Pillow, with its decompression-bomb guard left on; see `deep_tiff`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from pneumoscope.errors import ImageError, UnreadableImage, UnsupportedImage
from pneumoscope.imaging.colour import gray_of_rgb
from pneumoscope.imaging.deep_tiff import deep_tiff_size, is_deep_tiff, read_deep_tiff
from pneumoscope.imaging.limits import Limits
from pneumoscope.imaging.radiograph import Header, Radiograph, full_scale, to_unit

_FORMATS = ("PNG", "JPEG", "TIFF")
_COLOUR_MODES = ("RGB", "RGBX", "CMYK", "YCbCr")
_STRETCHED = "The values have no usual full scale; minimum and maximum became black and white."
_ORIENTATION_TAG = 0x0112
_WIDTH_TAG, _HEIGHT_TAG, _PHOTOMETRIC_TAG = 256, 257, 262

# EXIF orientation to the operation that makes the picture upright (as PIL.ImageOps).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_raster(path: Path, limits: Limits, model: int | None = None) -> Radiograph:
    """Read a gray radiograph from PNG, JPEG or TIFF; `bright = dense` is taken as stored.

    8 bits are divided by 255. A 16-bit file is divided by the full scale of the smallest depth of
    8, 10, 12, 14 and 16 bits that holds its largest value: a 12-bit detector saved in 16 bits
    keeps its exposure instead of turning black, and one that fills 16 bits is divided by 65535.
    A float TIFF within [0, 1] is taken as it is. Any other, and integers that are negative or
    need more than 16 bits, are taken from their minimum to their maximum, with a note.

    Args:
        path: the file.
        limits: sizes checked before anything is decoded.
        model: as of `imaging.read_radiograph`.

    Raises:
        UnreadableImage: damaged, truncated, or not what its first bytes claim.
        UnsupportedImage: coloured, transparent, animated, 1-bit, or out of the limits.
    """
    if is_deep_tiff(path):
        values, inverted = read_deep_tiff(path, limits)
        pixels, notes = _scaled(values, path)
        return Radiograph(1 - pixels if inverted else pixels, path, notes=notes)
    with _opened(path, limits) as image:
        inverted = _is_white_zero(image)
        width, height = image.size
        reduction = 1 if model is None else _reduce(image, model)
        image.load()
        pixels, notes = _gray(_upright(image), path)
    return Radiograph(
        1 - pixels if inverted else pixels,
        path,
        notes=notes,
        reduction=reduction,
        full_size=(height, width) if reduction > 1 else None,
    )


def read_picture(image: Image.Image, path: Path, limits: Limits) -> Radiograph:
    """A gray radiograph from a picture in memory, taken as a file of it would be.

    Args:
        image: the picture.
        path: what it is called.
        limits: its size is checked before it is decoded.

    Raises:
        UnreadableImage, UnsupportedImage: as of `read_raster`.
    """
    with _as_image_errors(path):
        _refuse(image, path, limits)
        inverted = _is_white_zero(image)
        image.load()
        pixels, notes = _gray(_upright(image), path)
    return Radiograph(1 - pixels if inverted else pixels, path, notes=notes)


def _reduce(image: Image.Image, model: int) -> int:
    """Let a JPEG be decoded at a part of its size (libjpeg's scaled inverse DCT); which part.

    One that lies turned in its file is left whole: its last block would come first.
    """
    longest = max(image.size)
    wanted = next((part for part in (8, 4, 2) if longest // part >= 2 * model), 1)
    if wanted > 1 and isinstance(image, JpegImageFile) and _orientation(image) == 1:
        image.draft(image.mode, (max(image.width // wanted, 1), max(image.height // wanted, 1)))
    return round(longest / max(image.size))


def raster_header(path: Path, limits: Limits) -> Header:
    """Size of the upright picture, without decoding it; refuses what `read_raster` can foresee.

    Raises:
        UnreadableImage: damaged, or not what its first bytes claim.
        UnsupportedImage: animated, 1-bit, or out of the limits.
    """
    if is_deep_tiff(path):
        width, height = deep_tiff_size(path, limits)
        return Header(width=width, height=height)
    with _opened(path, limits) as image:
        width, height = _stored_size(image)
        if _orientation(image) >= 5:
            width, height = height, width
        return Header(width=width, height=height)


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[Image.Image]:
    """Open a picture that respects the limits."""
    # From a stream, because from a path Pillow maps uncompressed TIFF into memory and then
    # garbles those stored on their side (orientation 5 to 8; seen with Pillow 13.0).
    with _as_image_errors(path), warnings.catch_warnings(), path.open("rb") as stream:
        warnings.simplefilter("ignore")  # what they announce is refused below, in our words
        with Image.open(stream, formats=_FORMATS) as image:
            _refuse(image, path, limits)
            yield image


@contextmanager
def _as_image_errors(path: Path) -> Iterator[None]:
    """Whatever Pillow raises becomes an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnsupportedImage(
            "has so many pixels that it may be a decompression bomb",
            path=path,
            remedy="export it at a lower resolution",
        ) from error
    except MemoryError as error:
        raise UnreadableImage(
            "needs more memory than there is", path=path, remedy="export it at a lower resolution"
        ) from error
    except Exception as error:  # Pillow's plugins raise almost anything on damaged files
        raise UnreadableImage(
            f"is damaged or truncated ({_reason(error)})",
            path=path,
            remedy="copy or export the file again",
        ) from error


def _refuse(image: Image.Image, path: Path, limits: Limits) -> None:
    width, height = _stored_size(image)
    limits.check_size(path, width, height)
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1:
        raise UnsupportedImage(
            f"holds {frames} pictures", path=path, remedy="save the radiograph as a single picture"
        )
    if image.mode == "1":
        raise UnsupportedImage(
            "has only black and white pixels, as a mask has",
            path=path,
            remedy="give the gray radiograph itself",
        )


def _gray(image: Image.Image, path: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Gray in [0, 1], and notes."""
    image = _opaque(image, path)
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(np.asarray(image), path)
    if image.mode == "L":
        return to_unit(np.asarray(image), 255), ()
    if image.mode in _COLOUR_MODES:
        gray = gray_of_rgb(np.asarray(image.convert("RGB")))
        if gray is not None:
            return to_unit(gray, 255), ()
    raise UnsupportedImage(
        "is a colour picture", path=path, remedy="give a grayscale radiograph, without overlays"
    )


def _opaque(image: Image.Image, path: Path) -> Image.Image:
    """The picture without palette and alpha channel, refusing one that is really transparent."""
    transparent = image.has_transparency_data
    if image.mode.startswith("I"):
        # Pillow cannot convert 16 bits with a transparent level; only its presence matters.
        level = image.info.get("transparency")
        if level is None or not np.any(np.asarray(image) == level):
            return image
    elif not transparent:
        return image.convert("RGB") if image.mode == "P" else image
    else:
        gray = image.mode in ("L", "LA", "La")
        image = image.convert("LA" if gray else "RGBA")
        if image.getchannel("A").getextrema() == (255, 255):
            return image.convert("L" if gray else "RGB")
    raise UnsupportedImage(
        "has transparent pixels", path=path, remedy="save the radiograph without an alpha channel"
    )


def _scaled(values: NDArray[Any], path: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Deep integers or floats in [0, 1], and notes."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnsupportedImage(
            "holds NaN or infinite values", path=path, remedy="export it as 8 or 16 bits unsigned"
        )
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return values.astype(np.float32), ()
    if values.dtype.kind in "iu" and low >= 0 and high <= 65535:
        return to_unit(values, full_scale(high)), ()
    if high == low:
        return np.zeros(values.shape, np.float32), (_STRETCHED,)
    scaled = (values.astype(np.float64) - low) / (high - low)
    return scaled.clip(0, 1).astype(np.float32), (_STRETCHED,)


def _is_white_zero(image: Image.Image) -> bool:
    """Whether a TIFF stores white as zero in a mode that Pillow does not invert by itself."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    deep = image.mode.startswith("I") or image.mode == "F"
    return deep and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as stored; Pillow already swaps those of a turned TIFF."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2[_WIDTH_TAG]), int(image.tag_v2[_HEIGHT_TAG])
    return image.size


def _upright(image: Image.Image) -> Image.Image:
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # turned by Pillow when it was loaded
        return image
    operation = _UPRIGHT.get(_orientation(image))
    return image if operation is None else image.transpose(operation)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block does not spoil the pixels: taken as upright
        return 1


def _reason(error: Exception) -> str:
    """Pillow's own words without the path, which our message already begins with."""
    words = str(error).partition("\n")[0].strip()
    if not words or "cannot identify" in words:
        return "its content is not the image its first bytes claim"
    return words[:120]
