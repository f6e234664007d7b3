"""What is measured on a map before it becomes a heatmap."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.imaging import Letterbox
from pneumoscope.inference.heatmaps import share_inside


@pytest.mark.parametrize(("height", "width"), [(64, 64), (30, 60), (200, 100)])
def test_share_inside_weighs_the_cells_on_the_film(height: int, width: int) -> None:
    letterbox = Letterbox.fit(height, width, 64)
    left_half = np.zeros((height, width), bool)
    left_half[:, : width // 2] = True
    even = np.ones((16, 16), np.float32)
    assert share_inside(even, left_half, letterbox) == pytest.approx(0.5)
    # Three quarters of the heat on the left; what is on the letterbox's margin does not count.
    even[:, :8] = 3
    if height < width:
        even[0] = even[-1] = 99
    if width < height:
        even[:, 0] = 99
    assert share_inside(even, left_half, letterbox) == pytest.approx(0.75)
    assert share_inside(np.zeros((16, 16), np.float32), left_half, letterbox) is None
