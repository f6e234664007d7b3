"""PatientOrientation: its eight values for a frontal radiograph, and what cannot be one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.ages import age_in_years
from pneumoscope.errors import UnsupportedImage
from pneumoscope.imaging import Orientation, Radiograph, read_header, read_radiograph
from tests.imaging.films import gray8, write_dicom

# Where the patient's right and left, head and feet, are on the stored picture, read off the
# standard's definition by hand: rows run to the first letter, columns to the second.
STORED = {
    "LF": [["rh", "lh"], ["rf", "lf"]],
    "RF": [["lh", "rh"], ["lf", "rf"]],
    "LH": [["rf", "lf"], ["rh", "lh"]],
    "RH": [["lf", "rf"], ["lh", "rh"]],
    "FL": [["rh", "rf"], ["lh", "lf"]],
    "FR": [["lh", "lf"], ["rh", "rf"]],
    "HL": [["rf", "rh"], ["lf", "lh"]],
    "HR": [["lf", "lh"], ["rf", "rh"]],
}


@pytest.mark.parametrize("letters", sorted(STORED))
def test_every_frontal_orientation_is_brought_upright_and_back(letters: str) -> None:
    orientation, stored = Orientation.of(list(letters)), np.array(STORED[letters])
    assert orientation.upright(stored).tolist() == STORED["LF"]
    assert orientation.stored(np.array(STORED["LF"])).tolist() == stored.tolist()
    assert orientation.stated
    assert orientation.usual == (letters == "LF")


@pytest.mark.parametrize("letters", sorted(STORED))
def test_a_box_goes_with_its_pixels(letters: str) -> None:
    orientation, shape = Orientation.of(list(letters)), (20, 30)
    upright = np.zeros(shape, dtype=bool)
    upright[3:7, 5:11] = True
    x, y, width, height = orientation.stored_box((5, 3, 6, 4), shape)
    stored = orientation.stored(upright)
    assert stored[y : y + height, x : x + width].all()
    assert stored.sum() == width * height == 24


@pytest.mark.parametrize(
    "value", [None, [], [""], ["", ""], ["L"], ["A", "F"], ["L", "R"], ["?", "F"]]
)
def test_what_says_nothing_of_a_frontal_film_means_the_usual_hanging(
    value: list[str] | None,
) -> None:
    assert Orientation.of(value) == Orientation()


def test_the_main_direction_counts() -> None:
    assert Orientation.of(["RA", "fp"]) == Orientation(mirrored=True, stated=True)


@pytest.mark.parametrize(
    ("text", "years"),
    [("012Y", 12), ("006M", 0.5), ("052W", 1), ("010D", 0.03), ("", None), ("Y", None),
     (None, None), ("12", None), ("x12Y", None)],
)  # fmt: skip
def test_age_in_years(text: str | None, years: float | None) -> None:
    found = age_in_years(text)
    assert found == (None if years is None else pytest.approx(years, abs=0.01))


def test_a_mirrored_film_is_hung_the_usual_way_and_keeps_its_stored_pixels(tmp_path: Path) -> None:
    stored = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40).astype(np.uint8)
    path = tmp_path / "film"
    write_dicom(path, stored, PatientOrientation=["R", "F"], PatientAge="007Y")
    film = read_radiograph(path)
    assert film.orientation.mirrored
    assert film.notes == (
        "PatientOrientation says that the radiograph is stored mirrored: the patient's left is "
        "on its left.",
    )
    assert film.age == 7
    as_plain = tmp_path / "plain"
    write_dicom(as_plain, stored)
    plain = read_radiograph(as_plain)
    assert np.array_equal(film.pixels, plain.pixels)
    assert np.array_equal(film.upright().pixels, plain.pixels[:, ::-1])
    assert plain.upright() is plain


def test_a_lying_film_takes_its_spacing_along() -> None:
    film = Radiograph(np.zeros((2, 3), np.float32), Path("film"), spacing=(0.1, 0.2))
    lying = replace(film, orientation=Orientation.of(["F", "R"]))
    assert lying.upright().spacing == (0.2, 0.1)
    assert lying.upright().pixels.shape == (3, 2)


def test_a_row_that_runs_to_the_front_is_a_lateral_film(tmp_path: Path) -> None:
    path = tmp_path / "film"
    lateral = ["A", "F"]
    write_dicom(path, gray8(), PatientOrientation=lateral, ViewPosition=None)
    with pytest.raises(UnsupportedImage, match="lateral"):
        read_header(path)
    write_dicom(path, gray8(), PatientOrientation=lateral, ViewPosition="PA")
    assert read_header(path).view == "PA"
