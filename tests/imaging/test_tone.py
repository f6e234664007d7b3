from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pneumoscope.imaging.tone import to_gray, window

from .films import dicom, lookup_table, ramp

TWELVE = {"BitsStored": 12, "HighBit": 11}


def gray(stored: NDArray[Any], **elements: Any) -> NDArray[np.float32]:
    film = to_gray(stored, dicom(stored, **elements))
    assert film.dtype == np.float32
    assert film.shape == stored.shape
    assert 0 <= film.min() <= film.max() <= 1
    return film


def by_pydicom(stored: NDArray[Any], **elements: Any) -> NDArray[np.float64]:
    """pydicom's chain, brought to [0, 1] over the output range of its window."""
    dataset = dicom(stored, **elements)
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
    bits = int(dataset.BitsStored)
    low, high = (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if dataset.PixelRepresentation
        else (0, 2**bits - 1)
    )
    slope, offset = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    low, high = low * slope + offset, high * slope + offset
    return np.asarray((shown - low) / (high - low))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (2, -500)])
def test_windows_follow_pydicom(
    function: str | None, slope: float | None, intercept: float | None
) -> None:
    elements: dict[str, Any] = {
        **TWELVE,
        "WindowCenter": 1500,
        "WindowWidth": 2000,
        "VOILUTFunction": function,
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
    }
    stored = ramp(top=4095)
    np.testing.assert_allclose(gray(stored, **elements), by_pydicom(stored, **elements), atol=1e-6)
    turned = gray(stored, PhotometricInterpretation="MONOCHROME1", **elements)
    np.testing.assert_allclose(turned, 1 - by_pydicom(stored, **elements), atol=1e-6)


def test_signed_pixels() -> None:
    stored = (ramp(top=4000).astype(np.int32) - 2000).astype(np.int16)
    elements: dict[str, Any] = {**TWELVE, "WindowCenter": 0, "WindowWidth": 3000}
    np.testing.assert_allclose(gray(stored, **elements), by_pydicom(stored, **elements), atol=1e-6)


def test_a_sign_bit_left_inside_the_word_is_extended() -> None:
    signed = (ramp(top=4000).astype(np.int32) - 2000).astype(np.int16)
    elements: dict[str, Any] = {**TWELVE, "WindowCenter": 0, "WindowWidth": 3000}
    np.testing.assert_array_equal(gray(signed & 0x0FFF, **elements), gray(signed, **elements))


def test_a_negative_slope_turns_the_film_round() -> None:
    stored = ramp(top=4095)
    elements: dict[str, Any] = {
        **TWELVE,
        "RescaleSlope": -1,
        "RescaleIntercept": 4095,
        "WindowCenter": 2048,
        "WindowWidth": 4096,
    }
    np.testing.assert_allclose(gray(stored, **elements), 1 - stored / 4095, atol=1e-3)
    dataset = dicom(stored, **elements)
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    assert shown[0, 0] < shown[-1, -1]  # why our windows are not pydicom's


def test_lookup_tables_follow_pydicom() -> None:
    stored = ramp(top=1023)
    curve = np.rint(np.sqrt(np.arange(1000) / 999) * 4095).astype(np.uint16)
    voi = {"BitsStored": 10, "VOILUTSequence": [lookup_table(curve, 12, 12)]}
    expected = apply_voi_lut(stored, dicom(stored, **voi)) / 4095
    np.testing.assert_allclose(gray(stored, **voi), expected, atol=1e-6)
    # The table wins over a window beside it, and a second table is an alternative view.
    more = {**voi, "WindowCenter": 5, "WindowWidth": 2}
    more["VOILUTSequence"] = [lookup_table(curve, 12, 12), lookup_table(curve[::-1], 12, 12)]
    np.testing.assert_allclose(gray(stored, **more), expected, atol=1e-6)
    modality: dict[str, Any] = {
        "BitsStored": 10,
        "ModalityLUTSequence": [lookup_table(curve, 12, 16)],
        "WindowCenter": 2048,
        "WindowWidth": 4096,
    }
    values = apply_modality_lut(stored, dicom(stored, **modality)).astype(np.float64)
    linear = window(values, 2048, 4096, "LINEAR")
    assert linear is not None
    np.testing.assert_allclose(gray(stored, **modality), linear, atol=1e-6)


def test_lookup_tables_that_pydicom_cannot_apply() -> None:
    curve = (np.arange(1024) // 4).astype(np.uint16)
    stored = ramp(top=1023)
    voi = {"BitsStored": 10, "VOILUTSequence": [lookup_table(curve, 0, 8)]}
    assert apply_voi_lut(stored, dicom(stored, **voi)).max() == 63  # its index is 8 bits wide
    np.testing.assert_allclose(gray(stored, **voi), (stored // 4) / 255, atol=1e-6)
    stored = ramp(top=65535)
    signed = (stored.astype(np.int32) - 32768).astype(np.int16)
    long = np.arange(65536).astype(np.uint16)
    elements = {"ModalityLUTSequence": [lookup_table(long, -32768, 16)]}
    assert apply_modality_lut(signed, dicom(signed, **elements)).max() < 65535  # and here signed
    np.testing.assert_allclose(gray(signed, **elements), gray(stored), atol=1e-6)


def test_a_table_that_declares_fewer_bits_than_it_uses() -> None:
    stored = ramp(top=1023)
    film = gray(stored, VOILUTSequence=[lookup_table(np.arange(1024) * 4, 0, 10)])
    np.testing.assert_allclose(film, stored / 1023, atol=1e-6)


def test_of_several_windows_the_first_counts() -> None:
    stored = ramp(top=4095)
    one = gray(stored, WindowCenter=1500, WindowWidth=2000)
    several = gray(stored, WindowCenter=[1500, 40], WindowWidth=[2000, 400])
    np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": 1500, "WindowWidth": 0},
        {"WindowCenter": 1500, "WindowWidth": -4},
        {"WindowCenter": 1500, "WindowWidth": 2000, "VOILUTFunction": "ODD"},
        {"WindowCenter": 1500},
        {"WindowCenter": 30000, "WindowWidth": 300},  # leaves everything black
        {"WindowCenter": 20, "WindowWidth": 30},  # leaves nearly everything white
    ],
)
def test_without_a_usable_window_percentiles_span_the_film(elements: dict[str, Any]) -> None:
    stored = ramp(200, 200, top=4000)
    stored[0, :5] = 65535  # a hot corner must not darken the film
    film = gray(stored, **elements)
    low, high = np.percentile(stored, [0.5, 99.5])
    expected = np.clip((stored - low) / (high - low), 0, 1)
    np.testing.assert_allclose(film, expected, atol=2e-3)


def test_8_bits_without_a_window_are_shown_as_stored() -> None:
    stored = (ramp(top=120) + 40).astype(np.uint8)
    np.testing.assert_allclose(gray(stored), stored / 255, atol=1e-6)
    stretched = gray(stored, RescaleSlope=2, RescaleIntercept=0)
    assert stretched.min() == 0
    assert stretched.max() == 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count(photometric: str) -> None:
    stored = (ramp(100, 100, top=3000) + 1000).astype(np.uint16)
    clean = gray(stored, **TWELVE, PhotometricInterpretation=photometric)
    padded = stored.copy()
    padded[:, :30] = 0
    padded[:, 30:35] = 7
    film = gray(
        padded,
        **TWELVE,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=0,
        PixelPaddingRangeLimit=7,
    )
    assert film[:, :35].max() == 0
    assert np.abs(film[:, 35:] - clean[:, 35:]).mean() < 0.2
    assert film[:, 35:].max() > 0.99


def test_a_film_that_is_all_padding_is_shown_anyway() -> None:
    stored = np.full((40, 40), 200, np.uint8)
    np.testing.assert_allclose(gray(stored, PixelPaddingValue=200), 200 / 255, atol=1e-6)


@pytest.mark.parametrize("value", [0, 500, 65535])
def test_a_constant_film_is_finite(value: int) -> None:
    stored = np.full((40, 40), value, np.uint16)
    assert gray(stored).max() == 0
    assert gray(stored, PhotometricInterpretation="MONOCHROME1").min() == 1
    gray(stored, WindowCenter=500, WindowWidth=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_the_whole_range_of_every_type(dtype: Any) -> None:
    info = np.iinfo(dtype)
    stored = np.linspace(info.min, info.max, 2000).astype(dtype).reshape(40, 50)
    film = gray(stored)
    assert np.all(np.diff(film.ravel()) >= 0)
    assert film.min() == 0
    assert film.max() == 1


def test_an_absurd_sigmoid_does_not_overflow() -> None:
    with np.errstate(all="raise"):
        curve = window(np.array([-1e9, 0.0, 1e9]), 0, 1, "SIGMOID")
    assert curve is not None
    np.testing.assert_allclose(curve, [0, 0.5, 1], atol=1e-12)
