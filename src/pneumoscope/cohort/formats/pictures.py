"""Annotations as pictures: folders of masks in PNG and the like, and of NIfTI masks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.cohort.annotations import read_mask
from pneumoscope.cohort.formats.marks import FieldFile, Mark, Mask, Outline
from pneumoscope.cohort.formats.names import without_suffix
from pneumoscope.errors import CohortError
from pneumoscope.extras import require
from pneumoscope.imaging import DEFAULT_LIMITS

_WORD = re.compile(r"[_-](?:mask|masks|seg|label|lesion)$", re.IGNORECASE)


def read_masks(path: Path, files: Sequence[tuple[str, Path]]) -> FieldFile:
    """Read a folder of masks, one picture for each radiograph; what is not black is lesion.

    Args:
        path: the folder, for messages.
        files: name relative to the folder, and the file; `_mask` at its end is passed over.
    """
    marks = [Mark(_film_name(name), shape=Outline(partial(_picture, file))) for name, file in files]
    return FieldFile(path, "a folder of masks", marks, may_be_empty=True)


def _film_name(name: str) -> str:
    return _WORD.sub("", without_suffix(name))


def _picture(path: Path, height: int, width: int) -> Mask:
    return read_mask(path, height, width)


def read_nifti(path: Path, files: Sequence[tuple[str, Path]]) -> FieldFile:
    """Read NIfTI masks, one file for each radiograph; what is above 0 is lesion.

    Args:
        path: the file or folder, for messages.
        files: name without suffix, relative to the folder, and the file.

    Raises:
        MissingExtra: nibabel is not installed.
    """
    require("annotations", "a mask in NIfTI")
    marks = [Mark(_film_name(name), shape=Outline(partial(_nifti, file))) for name, file in files]
    return FieldFile(path, "NIfTI masks", marks, may_be_empty=True)


def _nifti(path: Path, height: int, width: int) -> Mask:
    """The mask on its own grid, rows first.

    A NIfTI file counts columns first. ITK, and what builds on it (ITK-SNAP, 3D Slicer, nnU-Net),
    writes a picture's columns towards the patient's left and its rows towards the back. A file
    without directions is read by its shape, where that tells rows from columns.
    """
    import nibabel

    try:
        DEFAULT_LIMITS.check_bytes(path, path.stat().st_size)
        image: Any = nibabel.load(path)
        shape = tuple(side for side in image.shape if side > 1)
        if len(shape) != 2 or int(np.prod(shape)) > DEFAULT_LIMITS.max_pixels:
            raise ValueError(f"it has the shape {image.shape}, not that of one radiograph")
        codes: Any = nibabel.orientations.aff2axcodes
        axes = "".join(map(str, codes(image.affine)[:2]))
        values = np.asarray(image.dataobj).reshape(shape) > 0
    except Exception as error:  # nibabel raises what its decoders raise
        raise CohortError(
            f"cannot be read as a NIfTI mask ({error})",
            path=path,
            remedy="give one two-dimensional mask for each radiograph",
        ) from error
    by_columns = shape == (width, height)
    if axes == "LP" and by_columns:
        return values.T
    if axes == "RA" and height != width:
        if by_columns:
            return values.T
        if shape == (height, width):
            return values
    raise CohortError(
        f"is a NIfTI mask of {shape[0]} x {shape[1]} with axes {axes}, for a radiograph of "
        f"{width} x {height}: it is not clear which way it lies",
        path=path,
        remedy="save it as ITK does (columns first, towards the patient's left), on the "
        "radiograph's own grid, or as PNG",
    )
