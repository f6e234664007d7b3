"""What a reader sees beside the gray: values as they are stored, the file's own curve, tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.imaging import read_radiograph
from pneumoscope.imaging.display import Display, display_of
from tests.imaging.films import gray8, lookup_table, ramp, save, write_dicom


def shown(path: Path) -> tuple[Display, NDArray[np.float32]]:
    film = read_radiograph(path)
    return display_of(film, is_dicom=path.suffix == ".dcm"), film.pixels


def values_of(display: Display) -> NDArray[np.float64]:
    assert display.levels is not None
    scale = display.scale
    return scale.low + display.levels * (scale.high - scale.low) / 65535


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": 1200, "WindowWidth": 900},
        {"WindowCenter": 1200, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
        {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 2000, "WindowWidth": 3000},
        {"RescaleSlope": -2.5, "RescaleIntercept": 100.25},
        {"VOILUTSequence": [lookup_table(np.arange(0, 65536, 16, dtype=np.uint16), 0, 16)]},
    ],
)
def test_the_curve_of_the_values_is_the_gray(tmp_path: Path, elements: dict[str, Any]) -> None:
    stored = ramp(60, 50, 4095)
    path = write_dicom(tmp_path / "f.dcm", stored, BitsStored=12, **elements)
    display, gray = shown(path)
    values = values_of(display)
    slope = elements.get("RescaleSlope", 1)
    expected = stored * slope + elements.get("RescaleIntercept", 0)
    np.testing.assert_allclose(values, expected, atol=abs(slope) / 2 if slope != 1 else 0)
    points = np.array(display.scale.curve)
    assert (np.diff(points[:, 0]) > 0).all() and len(points) <= 259
    np.testing.assert_allclose(np.interp(values, *points.T), gray, atol=2e-3)
    assert display.scale.inverted == ("PhotometricInterpretation" in elements)


def test_padding_is_told_and_no_part_of_the_curve(tmp_path: Path) -> None:
    stored = ramp(60, 50, 4000) + 50
    stored[:5] = 0
    path = write_dicom(
        tmp_path / "f.dcm",
        stored,
        BitsStored=12,
        PixelPaddingValue=0,
        PhotometricInterpretation="MONOCHROME1",
    )
    display, _ = shown(path)
    assert display.scale.padding == (0, 0)
    assert display.scale.curve[0][0] >= 1


def test_tags_are_told(tmp_path: Path) -> None:
    elements: dict[str, Any] = {
        "PatientAge": "054Y",
        "PatientSex": "F",
        "StudyDate": "20260102",
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyDescription": "Thorax Übersicht",
        "SeriesNumber": 3,
        "PatientOrientation": ["L", "F"],
        "ImagerPixelSpacing": [0.2, 0.1],
    }
    display, _ = shown(write_dicom(tmp_path / "f.dcm", ramp(), **elements))
    assert (display.age, display.sex, display.date) == (54, "F", "2026-01-02")
    assert (display.study, display.series) == ("Thorax Übersicht", "series 3")
    assert (display.directions, display.view) == (("L", "F"), "PA")
    assert (display.spacing, display.spacing_at) == ((0.2, 0.1), "detector")
    assert not any(word in repr(display) for word in ("age=", "sex=", "2026", "Thorax"))
    elements["PixelSpacing"] = [0.18, 0.09]
    display, _ = shown(write_dicom(tmp_path / "g.dcm", ramp(), **elements))
    assert (display.spacing, display.spacing_at) == ((0.18, 0.09), "patient")


@pytest.mark.parametrize("broken", [{"StudyDate": "yesterday"}, {"PatientAge": "old"}])
def test_tags_that_mean_nothing_are_left_out(tmp_path: Path, broken: dict[str, str]) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        display, _ = shown(write_dicom(tmp_path / "f.dcm", ramp(), **broken))
    assert (display.date, display.age, display.directions) == (None, None, None)


@pytest.mark.parametrize(
    ("pixels", "full"),
    [(gray8(), 255), (ramp(top=4095), 4095), (ramp(top=65535), 65535)],
)
def test_a_picture_has_the_values_of_its_depth(
    tmp_path: Path, pixels: NDArray[Any], full: int
) -> None:
    display, gray = shown(save(tmp_path / "f.png", pixels))
    assert display.levels is None
    assert (display.scale.low, display.scale.high) == (0, full)
    np.testing.assert_allclose(gray * full, pixels, atol=1e-2)
