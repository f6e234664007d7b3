"""A presentation state shows the gray that the model read, whatever the header says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from pneumoscope.dicom.objects import write_objects
from pneumoscope.imaging import read_radiograph
from tests.dicom.films import film, result
from tests.imaging.films import lookup_table, ramp

CURVE = np.rint((np.arange(4096) / 4095) ** 2 * 4095)
LUT = lookup_table(CURVE, 0, 12)
WINDOW: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 3000}


def cut_short() -> Dataset:
    """A table with fewer entries than it says."""
    item = lookup_table(CURVE, 0, 12)
    item.LUTData = item.LUTData[:40]
    return item


def unexpected(kind: str, problem: str) -> None:
    pytest.fail(f"{kind}: {problem}")


def state_of(path: Path) -> Any:
    """The presentation state of a radiograph; it is there, whatever the header says."""
    made = result(path, notes=read_radiograph(path).notes)
    (file,) = write_objects(made, ["gsps"], path.parent / "out", None, unexpected)
    return dcmread(file)


def shown(state: Any, stored: NDArray[Any]) -> NDArray[np.float64]:
    """What a viewer makes of stored values, in [0, 1] (PS3.3 C.11.1, C.11.2, C.11.6)."""
    values = stored.astype(np.float64)
    if "ModalityLUTSequence" in state:
        values = looked_up(state.ModalityLUTSequence[0], values)
    elif "RescaleSlope" in state:
        values = values * float(state.RescaleSlope) + float(state.RescaleIntercept)
    (voi,) = state.SoftcopyVOILUTSequence
    if "VOILUTSequence" in voi:
        assert "WindowCenter" not in voi
        gray = looked_up(voi.VOILUTSequence[0], values) / 65535
    else:
        centre, width = float(voi.WindowCenter), float(voi.WindowWidth)
        function = voi.get("VOILUTFunction", "LINEAR")
        if function == "SIGMOID":
            gray = 1 / (1 + np.exp(-4 * (values - centre) / width))
        elif function == "LINEAR_EXACT":
            gray = np.clip((values - centre) / width + 0.5, 0, 1)
        else:
            gray = np.clip((values - centre + 0.5) / (width - 1) + 0.5, 0, 1)
    return 1 - gray if state.PresentationLUTShape == "INVERSE" else gray


def looked_up(item: Dataset, values: NDArray[np.float64]) -> NDArray[np.float64]:
    entries = np.frombuffer(item.LUTData, "<u2").astype(np.float64)
    count, first, bits = item.LUTDescriptor
    assert (entries.size % 65536, bits) == (count % 65536, 16)
    places = np.clip(np.rint(values) - first, 0, entries.size - 1).astype(int)
    found: NDArray[np.float64] = entries[places]
    return found


@pytest.mark.parametrize(
    "elements",
    [
        WINDOW,
        {"WindowCenter": [2000, 7], "WindowWidth": [3000, 1]},
        {"WindowCenter": [2000, 7], "WindowWidth": 3000},
        {**WINDOW, "VOILUTFunction": "LINEAR_EXACT"},
        {**WINDOW, "VOILUTFunction": "SIGMOID"},
        {**WINDOW, "VOILUTFunction": "ODD"},
        {**WINDOW, "VOILUTSequence": [LUT]},
        {**WINDOW, "VOILUTSequence": [cut_short()]},
        {**WINDOW, "VOILUTSequence": []},
        {"VOILUTSequence": [LUT, lookup_table(CURVE[::-1], 0, 12)]},
        {**WINDOW, "RescaleSlope": 1},
        {**WINDOW, "RescaleSlope": 0, "RescaleIntercept": 5},
        {**WINDOW, "RescaleSlope": -1, "RescaleIntercept": 4095, "RescaleType": "OD"},
        {**WINDOW, "RescaleSlope": 2, "RescaleIntercept": 1, "ModalityLUTSequence": [LUT]},
        {**WINDOW, "PhotometricInterpretation": "MONOCHROME1"},
        {**WINDOW, "PresentationLUTShape": "INVERSE"},
        {**WINDOW, "PresentationLUTShape": "ODD"},
        {
            "VOILUTSequence": [LUT],
            "PhotometricInterpretation": "MONOCHROME1",
            "PresentationLUTShape": "INVERSE",
        },
        {
            "RescaleSlope": 1,
            "RescaleIntercept": -1000,
            "VOILUTSequence": [lookup_table(CURVE, -1000, 12)],
        },
    ],
    ids=lambda elements: ", ".join(map(str, elements)) or "nothing",
)
def test_a_state_shows_what_the_model_read(tmp_path: Path, elements: dict[str, Any]) -> None:
    path = film(tmp_path / "film.dcm", **elements)
    gray = shown(state_of(path), dcmread(path).pixel_array)
    np.testing.assert_allclose(gray, read_radiograph(path).pixels, atol=1e-4)


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": 2000, "WindowWidth": -3000},
        {"WindowCenter": 2000},
        {"WindowWidth": 3000},
        {"WindowCenter": 60000, "WindowWidth": 2},
        {"WindowCenter": 60000, "WindowWidth": 2, "PresentationLUTShape": "INVERSE"},
        {"VOILUTSequence": [cut_short()]},
        {"VOILUTSequence": [lookup_table(np.zeros(4096), 0, 12)]},
        {"VOILUTFunction": "SIGMOID"},
    ],
    ids=lambda elements: ", ".join(map(str, elements)) or "nothing",
)
def test_what_was_ignored_is_not_shown(tmp_path: Path, elements: dict[str, Any]) -> None:
    path = film(tmp_path / "film.dcm", **elements)
    state = state_of(path)
    assert "SoftcopyVOILUTSequence" not in state
    inverse = elements.get("PresentationLUTShape") == "INVERSE"
    assert state.PresentationLUTShape == ("INVERSE" if inverse else "IDENTITY")


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_may_begin_below_zero(tmp_path: Path, keyword: str) -> None:
    table = lookup_table(CURVE, -2048, 12)
    window = WINDOW if keyword.startswith("Mod") else {}
    elements: dict[str, Any] = {"PixelRepresentation": 1, keyword: [table], **window}
    stored = ramp(80, 60, 4095).astype(np.int16) - 2048
    path = film(tmp_path / "film.dcm", pixels=stored.view(np.uint16), **elements)
    gray = shown(state_of(path), stored)
    np.testing.assert_allclose(gray, read_radiograph(path).pixels, atol=1e-4)


def test_a_palette_gets_no_state(tmp_path: Path) -> None:
    made = result(film(tmp_path / "film.dcm"))
    made.source.dataset.PhotometricInterpretation = "PALETTE COLOR"
    assert write_objects(made, ["gsps"], tmp_path / "out", None, unexpected) == []
