"""Heatmaps that another program wrote: PNG, NPY or NPZ, on any grid that covers the radiograph."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.cohort.formats.names import matched
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError, ImageError
from pneumoscope.imaging import Limits

SUFFIXES = (".npy", ".npz", ".png")
# A grid may be coarse.
_LIMITS = Limits(min_side=1)
_GRAY = {"1", "L", "I;16", "I;16B", "I", "F"}
_REMEDY = "give one value for each place: gray PNG (8 or 16 bit), NPY, or NPZ with one array"


def heatmap_files(folder: Path, part: Manifest) -> dict[str, Path]:
    """The heatmaps of radiographs, at their relative paths below `folder`.

    Folders of the names may be missing; the suffix replaces the radiograph's own, or follows it.

    Args:
        folder: where the heatmaps are.
        part: the radiographs of the cohort.

    Raises:
        EvaluationError: there is no such folder, or it holds no heatmap of the cohort, or the
            radiographs themselves.
        CohortError: a file may mean two radiographs, or a radiograph has two files.
    """
    if not folder.is_dir():
        raise EvaluationError("no such folder", path=folder, remedy="check the path")
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    images = part.table["image"].tolist()
    found = matched(images, names, folder)
    if not found:
        raise EvaluationError(
            f"holds no heatmap of the cohort among {len(names)} files",
            path=folder,
            remedy=f"name heatmaps as the radiographs, for instance {images[0]}{SUFFIXES[0]}",
        )
    for image, name in found.items():
        if (folder / name).resolve() == part.root / image:
            raise EvaluationError(
                "holds the radiographs themselves", path=folder, remedy="give a folder of heatmaps"
            )
    return {image: folder / name for image, name in found.items()}


def read_values(path: Path) -> NDArray[Any]:
    """The values of a heatmap file, as they stand.

    Args:
        path: a file with one of `SUFFIXES`.

    Returns:
        (rows, columns).

    Raises:
        EvaluationError: it cannot be read, is too large, or is no single map.
    """
    try:
        _LIMITS.check_bytes(path, path.stat().st_size)
        return _read_png(path) if path.suffix.lower() == ".png" else _read_numpy(path)
    except ImageError as error:
        raise EvaluationError(error.problem, path=path, remedy=error.remedy) from error
    except (OSError, ValueError, EOFError, SyntaxError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise EvaluationError(
            f"cannot be read as a heatmap ({reason})", path=path, remedy=_REMEDY
        ) from error
    except Image.DecompressionBombError as error:
        raise EvaluationError("is too large", path=path, remedy=_REMEDY) from error


def on_film(values: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """A heatmap on a radiograph's pixels, its strongest place 1.

    The grid covers the whole radiograph, whatever its size. Values are divided by their maximum,
    and negative ones are no evidence, as in Grad-CAM. A map with a value that is not finite is NaN
    everywhere.

    Args:
        values: (rows, columns), real numbers.
        height, width: of the radiograph, pixels.

    Returns:
        (height, width) in [0, 1]; zero for a map without evidence.

    Raises:
        EvaluationError: the values are no such array.
    """
    if values.ndim != 2 or not values.size or values.dtype.kind not in "buif":
        raise EvaluationError(
            f"a heatmap is an array of {values.dtype} of shape {values.shape}",
            remedy="give (rows, columns) of real numbers",
        )
    if not np.isfinite(values).all():
        return np.full((height, width), np.nan, dtype=np.float32)
    heat = np.maximum(values.astype(np.float32), 0)
    if heat.shape != (height, width):
        resized = Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR)
        heat = np.maximum(np.asarray(resized, dtype=np.float32), 0)
    peak = heat.max()
    return heat / peak if peak > 0 else heat


def _read_png(path: Path) -> NDArray[Any]:
    with Image.open(path) as picture:
        _LIMITS.check_size(path, *picture.size)
        if picture.mode not in _GRAY:
            raise ValueError(f"it is a picture in colour, mode {picture.mode}")
        return np.asarray(picture)


def _read_numpy(path: Path) -> NDArray[Any]:
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            return _read_array(stream, path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} arrays")
        with archive.open(names[0]) as stream:
            return _read_array(stream, path)


def _read_array(stream: IO[bytes], path: Path) -> NDArray[Any]:
    """The array, its size known before it is decoded; nothing is unpickled."""
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} of the format is not known")
    shape, in_columns, kind = read(stream)
    sides = tuple(side for side in shape if side != 1) if len(shape) > 2 else shape
    if len(sides) != 2 or 0 in sides or kind.kind not in "buif":
        raise ValueError(f"it is an array of {kind} of shape {shape}")
    _LIMITS.check_size(path, sides[1], sides[0])
    content = stream.read(sides[0] * sides[1] * kind.itemsize)
    values = np.frombuffer(content, dtype=kind, count=sides[0] * sides[1])
    return values.reshape(sides, order="F" if in_columns else "C")
