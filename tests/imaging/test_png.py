"""The heatmap's PNG is one that others read."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.imaging.png import encode_gray16


def decoded(content: bytes) -> NDArray[np.uint16]:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG" and image.mode in ("I;16", "I")
        return np.asarray(image).astype(np.uint16)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (47, 61)])
@pytest.mark.parametrize("with_isal", [True, False])
def test_levels_come_back(
    shape: tuple[int, int], with_isal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_isal:
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    levels = np.random.default_rng(0).integers(0, 2**16, shape, dtype=np.uint16)
    np.testing.assert_array_equal(decoded(encode_gray16(levels)), levels)


def test_a_smooth_map_is_smaller_than_by_a_general_encoder() -> None:
    rows, columns = np.mgrid[:300, :400] / 400
    levels = np.rint(65535 * np.exp(-8 * ((rows - 0.3) ** 2 + (columns - 0.6) ** 2)))
    buffer = io.BytesIO()
    Image.fromarray(levels.astype(np.uint16)).save(buffer, "PNG", compress_level=3)
    assert len(encode_gray16(levels.astype(np.uint16))) < len(buffer.getvalue())
