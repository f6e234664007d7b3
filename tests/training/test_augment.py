"""Augmentation: what is computed in a quick way is what was meant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from pneumoscope.training.augment import _affine_grid, _median_blur


def test_affine_grid_is_torchs() -> None:
    torch.manual_seed(0)
    theta = torch.randn(3, 2, 3)
    expected = torch.nn.functional.affine_grid(theta, [3, 1, 5, 8], align_corners=False)
    torch.testing.assert_close(_affine_grid(theta, 5, 8), expected)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (31, 24)])
def test_median_blur_is_the_median_of_nine(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    # Equal values, too.
    image[:1] = np.round(image[:1], 1)
    expected = ndimage.median_filter(image, size=3, mode="nearest")
    found = _median_blur(torch.from_numpy(image)[None])[0]
    np.testing.assert_array_equal(found.numpy(), expected)
