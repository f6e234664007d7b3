"""Real files: what is read looks as it should, in the right polarity."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.imaging import Radiograph, model_input, read_header, read_radiograph

DATA = Path(os.environ.get("PNEUMOSCOPE_DATA", "missing"))

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="PNEUMOSCOPE_DATA names no folder"),
]

DICOM = {
    "008c19e8-a820-403a-930a-bc74a4053664.dcm": (1024, 1024),
    "00aecb01-a116-45a2-956c-08d2fa55433f.dcm": (1024, 1024),
    "CR-MONO1-10-chest.dcm": (440, 440),
    "CR-ModalitySequenceLUT.dcm": (1576, 1976),
    "WG04_RG1_J2KI.dcm": (1955, 1841),
    "WG04_RG3_J2KI.dcm": (1760, 1760),
    "WG04_RG3_J2KR.dcm": (1760, 1760),
    "WG04_RG3_JPLL.dcm": (1760, 1760),
    "WG04_RG3_RLE.dcm": (1760, 1760),
}


def film(name: str) -> Radiograph:
    return read_radiograph(DATA / "dicom" / name)


def box_mean(pixels: NDArray[np.float32], top: float, left: float) -> float:
    """Mean of a square of a tenth of the height, placed at a share of height and width."""
    height, width = pixels.shape
    row, column, side = int(top * height), int(left * width), height // 10
    return float(pixels[row : row + side, column : column + side].mean())


@pytest.mark.parametrize("name", list(DICOM))
def test_every_dicom_file_is_read_with_contrast(name: str) -> None:
    radiograph = film(name)
    header = read_header(DATA / "dicom" / name)
    assert (radiograph.height, radiograph.width) == (header.height, header.width) == DICOM[name]
    assert radiograph.modality == "CR"
    assert radiograph.pixels.std() > 0.1
    assert np.unique(model_input(radiograph, 224)[0]).size > 100


@pytest.mark.parametrize("name", ["CR-MONO1-10-chest.dcm", "WG04_RG1_J2KI.dcm"])
def test_inverted_chests_come_out_with_dark_lungs_and_a_bright_spine(name: str) -> None:
    pixels = film(name).pixels
    spine = box_mean(pixels, 0.55, 0.48)
    for lung in (box_mean(pixels, 0.35, 0.25), box_mean(pixels, 0.35, 0.68)):
        assert lung < spine - 0.1


def test_three_lossless_codings_of_one_film_agree() -> None:
    films = [film(f"WG04_RG3_{coding}.dcm").pixels for coding in ("J2KR", "JPLL", "RLE")]
    np.testing.assert_array_equal(films[0], films[1])
    np.testing.assert_array_equal(films[0], films[2])
    assert np.abs(film("WG04_RG3_J2KI.dcm").pixels - films[0]).mean() < 0.01


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("chest_xray/test/NORMAL/*.jpeg", 224),
        ("rsna/images/*.jp*g", 512),
        ("siim/images/*.jp*g", 256),
    ],
)
def test_the_first_films_of_each_cohort(pattern: str, size: int) -> None:
    paths = sorted(DATA.glob(pattern))[:10]
    assert paths
    for path in paths:
        radiograph = read_radiograph(path)
        assert (radiograph.height, radiograph.width) == (size, size)
        header = read_header(path)
        assert (header.height, header.width) == (size, size)
        assert radiograph.pixels.std() > 0.05
