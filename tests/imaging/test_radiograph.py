from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pneumoscope.imaging import Header, Radiograph


def test_a_film_knows_its_size_and_hides_its_patient() -> None:
    film = Radiograph(np.zeros((3, 5), np.float32), Path("a.dcm"), patient="P-17")
    assert (film.height, film.width) == (3, 5)
    assert "P-17" not in repr(film)
    assert "P-17" not in repr(Header(width=5, height=3, patient="P-17"))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2, 3), np.float32),
        np.zeros((0, 4), np.float32),
        np.zeros((2, 2), np.float64),
        np.full((2, 2), 1.001, np.float32),
        np.full((2, 2), -0.001, np.float32),
        np.array([[0, np.nan]], np.float32),
        np.array([[0, np.inf]], np.float32),
    ],
)
def test_pixels_that_are_no_film_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels must"):
        Radiograph(pixels, Path("a.png"))
