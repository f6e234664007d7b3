from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pneumoscope.imaging.elements import MalformedElement
from pneumoscope.imaging.layout import Layout
from pneumoscope.imaging.tone import to_gray, window

from .films import dicom, lookup_table, ramp

TWELVE = {"BitsStored": 12, "HighBit": 11}


def toned(stored: NDArray[Any], **elements: Any) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    dataset = dicom(stored, **elements)
    layout = Layout.read(dataset, Path("film"))
    values = layout.values(stored, layout.high + 1 - layout.stored)
    return to_gray(values, layout, dataset)


def gray(stored: NDArray[Any], **elements: Any) -> NDArray[np.float32]:
    film, _ = toned(stored, **elements)
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
        {"WindowCenter": 1500},
        {"WindowCenter": 30000, "WindowWidth": 300},  # leaves everything black
        {"WindowCenter": 20, "WindowWidth": 30},  # leaves nearly everything white
    ],
)
def test_without_a_usable_window_percentiles_span_the_film(elements: dict[str, Any]) -> None:
    stored = ramp(200, 200, top=4000)
    stored[0, :5] = 65535  # a hot corner must not darken the radiograph
    film = gray(stored, **elements)
    low, high = np.percentile(stored, [0.5, 99.5])
    expected = np.clip((stored - low) / (high - low), 0, 1)
    np.testing.assert_allclose(film, expected, atol=2e-3)


WINDOW = {"WindowCenter": 2000, "WindowWidth": 3000}


@pytest.mark.parametrize(
    ("elements", "same_as", "note"),
    [
        ({"WindowCenter": 1500, "WindowWidth": 0}, {}, "window of the file is invalid"),
        ({"WindowCenter": 1500}, {}, "window of the file is invalid"),
        ({"WindowWidth": 1500}, {}, "window of the file is invalid"),
        ({"WindowCenter": 30000, "WindowWidth": 3}, {}, "leaves the radiograph black or white"),
        ({**WINDOW, "VOILUTFunction": "ODD"}, WINDOW, "function of the file is unknown"),
        ({**WINDOW, "VOILUTSequence": [Dataset()]}, WINDOW, "VOI LUT of the file is malformed"),
        ({**WINDOW, "RescaleSlope": 2}, WINDOW, "rescale of the file is invalid"),
        ({**WINDOW, "RescaleIntercept": 900}, WINDOW, "rescale of the file is invalid"),
        ({**WINDOW, "RescaleSlope": 0, "RescaleIntercept": 9}, WINDOW, "rescale of the file is"),
        ({**WINDOW, "PresentationLUTShape": "LIN OD"}, WINDOW, "shape of the file is unknown"),
        ({**WINDOW, "PresentationLUTSequence": [Dataset()]}, WINDOW, "presentation LUT, which"),
    ],
)
def test_nothing_of_the_tone_is_dropped_without_a_note(
    elements: dict[str, Any], same_as: dict[str, Any], note: str
) -> None:
    stored = ramp(top=4095)
    film, notes = toned(stored, **TWELVE, **elements)
    expected, none = toned(stored, **TWELVE, **same_as)
    np.testing.assert_array_equal(film, expected)
    assert not none
    assert len(notes) == 1 and note in notes[0]


def test_a_modality_lut_that_cannot_be_read_is_refused() -> None:
    item = lookup_table(np.arange(4096), 0, 16)
    item.LUTData = item.LUTData[:100]
    for broken in (item, Dataset()):
        with pytest.raises(MalformedElement, match="LUTD"):
            gray(ramp(top=4095), **TWELVE, ModalityLUTSequence=[broken])


def test_a_modality_lut_and_a_rescale_contradict_each_other() -> None:
    stored = ramp(top=4095)
    table = {"ModalityLUTSequence": [lookup_table(np.arange(4096)[::-1], 0, 16)], **WINDOW}
    film, notes = toned(stored, **TWELVE, **table, RescaleSlope=3, RescaleIntercept=0)
    np.testing.assert_array_equal(film, gray(stored, **TWELVE, **table))
    assert "the rescale was ignored" in notes[0]
    _, notes = toned(stored, **TWELVE, **table, RescaleSlope=1, RescaleIntercept=0)
    assert not notes


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted", "noted"),
    [
        ("MONOCHROME1", None, True, False),
        ("MONOCHROME1", "INVERSE", True, False),
        ("MONOCHROME1", "IDENTITY", True, True),
        ("MONOCHROME2", None, False, False),
        ("MONOCHROME2", "INVERSE", True, False),
        ("MONOCHROME2", "IDENTITY", False, False),
    ],
)
def test_polarity(photometric: str, shape: str | None, inverted: bool, noted: bool) -> None:
    stored = ramp(top=4095)
    film, notes = toned(
        stored,
        **TWELVE,
        WindowCenter=2048,
        WindowWidth=4096,
        PhotometricInterpretation=photometric,
        PresentationLUTShape=shape,
    )
    linear = stored / 4095
    np.testing.assert_allclose(film, 1 - linear if inverted else linear, atol=1e-6)
    assert bool(notes) is noted


def words(first: int, vr: str, entries: NDArray[Any], depth: int = 16) -> Dataset:
    """A LUT item whose descriptor is written as `vr`: the same 16 bits either way."""
    item = Dataset()
    values = [entries.size % 65536, first % 65536, depth]
    if vr == "SS":
        values = [value - 65536 if value > 32767 else value for value in values]
    item.add_new(0x00283002, vr, values)
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return item


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize(
    ("low", "size", "intercept"),
    [(-2048, 4096, None), (-32768, 65536, None), (-1000, 700, None), (0, 4096, None),
     (40000, 20000, None), (0, 65536, None), (-1024, 4096, -1024), (30000, 9000, None)],
)  # fmt: skip
@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_a_first_mapped_value_means_the_same_16_bits(
    keyword: str, low: int, size: int, intercept: int | None, vr: str
) -> None:
    if intercept is not None and keyword == "ModalityLUTSequence":
        pytest.skip("a rescale beside a modality LUT")
    signed = low < 0 and intercept is None
    pixels = np.linspace(low - 300, low + size + 300, 48 * 40).reshape(48, 40)
    pixels = np.clip(pixels, -32768 if signed or intercept else 0, 32767 if signed else 65535)
    values = pixels.astype(np.int32)
    stored = (values - (intercept or 0)).astype(np.int16 if signed else np.uint16)
    curve = np.rint(np.sqrt(np.linspace(0, 1, size)) * 65535).astype(np.uint16)
    elements: dict[str, Any] = {keyword: [words(low, vr, curve)]}
    if intercept is not None:
        elements |= {"RescaleSlope": 1, "RescaleIntercept": intercept}
    if keyword == "ModalityLUTSequence":
        elements |= {"WindowCenter": 32768, "WindowWidth": 65536}
    # By hand: the table's place of a value is its distance from the first.
    place = np.clip(stored.astype(np.int32) + (intercept or 0) - low, 0, size - 1)
    film, notes = toned(stored, **elements)
    np.testing.assert_allclose(film, curve[place] / 65535, atol=1e-5)
    assert not notes


def test_a_table_of_bytes_is_read() -> None:
    curve = (np.sqrt(np.arange(1024) / 1023) * 255).astype(np.uint8)
    stored = ramp(top=1023)
    item = lookup_table(np.zeros(1024), 0, 8)
    item.add_new(0x00283006, "OW", curve.tobytes())
    film = gray(stored, BitsStored=10, VOILUTSequence=[item])
    np.testing.assert_allclose(film, curve[stored] / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "vr", "signed", "marked"),
    [
        (-1, "SS", False, 65535),
        (65535, "US", True, -1),
        (-2000, "SS", True, -2000),
        (63536, "US", True, -2000),
        (63536, "US", False, 63536),
        (5, "SS", False, 5),
    ],
)
def test_padding_means_the_same_16_bits(value: int, vr: str, signed: bool, marked: int) -> None:
    stored = ramp(100, 100, top=3000).astype(np.int16 if signed else np.uint16) + 1000
    stored = stored.astype(np.int16 if signed else np.uint16)
    stored[:, :30] = marked
    dataset = dicom(stored, WindowCenter=2500, WindowWidth=3000)
    dataset.add_new(0x00280120, vr, value)
    layout = Layout.read(dataset, Path("film"))
    film, notes = to_gray(stored, layout, dataset)
    assert film[:, :30].max() == 0
    assert film[:, 30:].max() > 0.9
    assert not notes


def test_values_of_32_bits_are_read() -> None:
    stored = ramp(top=4095).astype(np.uint32) * 1_000_003
    film = gray(stored, WindowCenter=2**31, WindowWidth=2.0**32)
    np.testing.assert_allclose(film, stored / 2.0**32, atol=1e-6)
    film = gray(stored)
    low, high = np.percentile(stored, [0.5, 99.5])
    np.testing.assert_allclose(film, np.clip((stored - low) / (high - low), 0, 1), atol=5e-3)


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
