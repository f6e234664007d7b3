"""Masks as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.cohort.annotations import read_mask
from pneumoscope.errors import CohortError


def test_masks_may_be_black_and_white_or_gray(tmp_path: Path) -> None:
    drawn = np.zeros((6, 8), dtype=np.uint8)
    drawn[2:4, 3:7] = 255
    drawn[0, 0] = 9
    for mode, cut, count in (("L", 0, 9), ("L", 127, 8), ("1", 0, 8)):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(drawn).convert(mode, dither=Image.Dither.NONE).save(path)
        mask = read_mask(path, 6, 8, above=cut)
        assert mask.dtype == np.bool_ and mask.sum() == count and mask[2, 3]
    with pytest.raises(CohortError, match="the mask is 8 x 6 pixels, its radiograph 9 x 6"):
        read_mask(path, 6, 9)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(CohortError, match="cannot be read as a mask"):
        read_mask(tmp_path / "bad.png", 6, 8)
