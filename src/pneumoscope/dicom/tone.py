"""The gray that the model read of a radiograph, as transformations of a presentation state.

The header's rescale, window and tables are not copied as they are: highdicom fails on much of what
`imaging.tone` ignores with a note, leaves modality LUTs out, and takes 12-bit tables for 16 bits.
What `imaging.tone` used is written anew; what it ignored is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.dicom.result import Result
from pneumoscope.dicom.source import TONE
from pneumoscope.imaging.elements import MalformedElement, code, items, number, printable, text
from pneumoscope.imaging.layout import Layout
from pneumoscope.imaging.tables import Table, read_table
from pneumoscope.imaging.tone import BLOWN_OUT, FUNCTIONS, window

_DESCRIPTOR, _DATA = 0x00283002, 0x00283006
_BITS, _FULL = 16, 65535


def without_tone(dataset: Any) -> Any:
    """A copy of a radiograph's dataset of which highdicom copies no rescale, window or table."""
    from pydicom import Dataset

    copy = Dataset()
    for element in dataset:
        if element.keyword not in TONE:
            copy.add(element)
    return copy


def tone_of_result(result: Result) -> Mapping[str, Any]:
    """Arguments of highdicom's presentation state: the gray of a radiograph as the model read it.

    A radiograph without a window that could be used gets none: its viewer chooses one.
    """
    from highdicom import PresentationLUTTransformation

    dataset = result.source.dataset
    layout = Layout.read(dataset, Path())
    modality, bounds = _modality(dataset, layout)
    voi = None if BLOWN_OUT in result.finding.notes else _voi(dataset, bounds)
    # A viewer ignores the photometric interpretation in favour of this (PS3.3 C.11.6).
    inverse = (
        layout.photometric == "MONOCHROME1" or code(dataset, "PresentationLUTShape") == "INVERSE"
    )
    return {
        "modality_lut_transformation": modality,
        "voi_lut_transformations": None if voi is None else [voi],
        "presentation_lut_transformation": PresentationLUTTransformation(
            presentation_lut_shape="INVERSE" if inverse else "IDENTITY"
        ),
    }


def _modality(dataset: Any, layout: Layout) -> tuple[Any | None, tuple[float, float]]:
    """The modality transform that was used, None without one; the range of what it gives."""
    from highdicom import ModalityLUT, ModalityLUTTransformation

    lowest, highest = float(layout.lowest), float(layout.highest)
    sequence = items(dataset, "ModalityLUTSequence")
    if sequence:
        table = read_table(sequence[0], lowest, highest)
        units = _units(sequence[0], "ModalityLUTType")
        lut = ModalityLUT(units, 0, table.entries.astype(np.uint16))
        _map_from(lut, table)
        return ModalityLUTTransformation(modality_lut=lut), (0.0, float(_FULL))
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if not slope or intercept is None:
        return None, (lowest, highest)
    low, high = sorted(end * slope + intercept for end in (lowest, highest))
    rescale = ModalityLUTTransformation(
        rescale_intercept=intercept,
        rescale_slope=slope,
        rescale_type=_units(dataset, "RescaleType"),
    )
    return rescale, (low, high)


def _voi(dataset: Any, bounds: tuple[float, float]) -> Any | None:
    """The VOI LUT that was used, else the window; None if neither can be used."""
    from highdicom import VOILUT
    from highdicom.pr import SoftcopyVOILUTTransformation

    try:
        sequence = items(dataset, "VOILUTSequence")
        if sequence:
            table = read_table(sequence[0], *bounds)
            scaled = np.rint(table.entries * (_FULL / table.full_scale)).astype(np.uint16)
            lut = VOILUT(0, scaled)
            _map_from(lut, table)
            return SoftcopyVOILUTTransformation(voi_luts=[lut])
    except MalformedElement:
        pass  # The window counts then.
    return _window(dataset)


def _window(dataset: Any) -> Any | None:
    """The first window, if it can be used."""
    from highdicom.pr import SoftcopyVOILUTTransformation

    try:
        centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    except MalformedElement:
        return None
    function = code(dataset, "VOILUTFunction")
    if function not in FUNCTIONS:
        function = "LINEAR"
    if centre is None or width is None or window(np.zeros(1), centre, width, function) is None:
        return None
    return SoftcopyVOILUTTransformation(
        window_center=centre,
        window_width=width,
        voi_lut_function=None if function == "LINEAR" else function,
    )


def _map_from(lut: Any, table: Table) -> None:
    """Let a LUT begin where a table does; highdicom refuses values below zero."""
    count = table.entries.size % 2**16
    signed = table.first < 0
    # Of a signed descriptor the first word is still unsigned (PS3.3 C.11.1.1): the same 16 bits.
    stored = count - 2**16 if signed and count >= 2**15 else count
    lut.add_new(_DESCRIPTOR, "SS" if signed else "US", [stored, table.first, _BITS])
    lut.add_new(_DATA, "OW", lut.LUTData)


def _units(dataset: Any, keyword: str) -> str:
    """What the values after the modality transform are; unspecified where the file does not say."""
    return printable(text(dataset, keyword) or "") or "US"
