"""Augmentation: what is computed in a quick way is what was meant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from pneumoscope.errors import SettingsError
from pneumoscope.training.amounts import Amounts
from pneumoscope.training.augment import _affine_grid, _median_blur, augment_default, augmentation
from pneumoscope.training.settings import make_settings


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


NOTHING = dict.fromkeys(Amounts.model_fields, 0.0)


def film() -> torch.Tensor:
    """A square of 8 pixels off the centre of one radiograph."""
    pixels = torch.full((1, 1, 64, 64), 100, dtype=torch.uint8)
    pixels[..., 8:16, 28:36] = 200
    return pixels


def moved(**amounts: float) -> torch.Tensor:
    """Sixteen draws with these amounts alone."""
    torch.manual_seed(3)
    pixels = film().expand(16, -1, -1, -1)
    images, _ = augmentation("default", False, 0.0, Amounts(**{**NOTHING, **amounts}))(pixels, None)
    return images


def test_amounts_of_zero_change_nothing() -> None:
    torch.testing.assert_close(moved(), film().expand(16, -1, -1, -1) / 255)


def centres(images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (N,) of the square's centre."""
    found = [ndimage.center_of_mass((image[0] > 0.6).numpy()) for image in images]
    rows, columns = zip(*found, strict=True)
    return np.array(rows), np.array(columns)


def test_each_amount_is_its_own_limit() -> None:
    rows, columns = centres(moved(rotate=20))
    angle = np.degrees(np.arctan2(columns - 31.5, 31.5 - rows))
    assert 10 < np.abs(angle).max() <= 20.5
    rows, columns = centres(moved(shift=0.1))
    assert 2 < np.abs(rows - 11.5).max() <= 6.9 and 2 < np.abs(columns - 31.5).max() <= 6.9
    rows, columns = centres(moved(scale=0.3))
    away = 31.5 - rows
    assert np.abs(columns - 31.5).max() < 0.6
    assert 20 * 0.7 - 0.5 <= away.min() < 18 < 22 < away.max() <= 20 * 1.3 + 0.5
    flat = moved(brightness=0.2)[:, 0, 40, 10] - 100 / 255
    assert 0.1 < float(flat.abs().max()) <= 0.2
    assert 0.02 < float(moved(noise=0.1)[:, 0, 32:].std(dim=(1, 2)).max()) < 0.11
    spread = moved(contrast=0.5).amax(dim=(1, 2, 3)) - moved(contrast=0.5).amin(dim=(1, 2, 3))
    assert float(spread.max()) > 1.2 * 100 / 255 > 0.8 * 100 / 255 > float(spread.min())
    gamma = torch.log(moved(exposure=1)[:, 0, 40, 10]) / torch.log(torch.tensor(100 / 255))
    assert 0.5 <= float(gamma.min()) < 0.8 < 1.4 < float(gamma.max()) <= 2


def test_the_defaults_are_those_that_models_were_trained_with() -> None:
    """Angle, scale and shifts of one draw, written out."""
    torch.manual_seed(5)
    found, _ = augment_default(film())
    torch.manual_seed(5)
    draws = [torch.empty(1).uniform_(*ends) for ends in ((-12, 12), (0.88, 1.12))]
    shifts = [torch.empty(1).uniform_(-0.12, 0.12) for _ in range(2)]
    angle = draws[0] * np.pi / 180
    cos, sin = torch.cos(angle) / draws[1], torch.sin(angle) / draws[1]
    theta = torch.stack([cos, -sin, shifts[0], sin, cos, shifts[1]], dim=1).view(1, 2, 3)
    grid = torch.nn.functional.affine_grid(theta, [1, 1, 64, 64], align_corners=False)
    image = torch.nn.functional.grid_sample(film() / 255, grid, align_corners=False).clamp(0, 1)
    image = image ** torch.exp2(torch.empty(1).uniform_(-0.3, 0.3))
    contrast, brightness = torch.empty(1).uniform_(0.8, 1.2), torch.empty(1).uniform_(-0.15, 0.15)
    image = (image - image.mean()) * contrast + image.mean() + brightness
    image = image + torch.randn_like(image) * torch.empty(1).uniform_(0, 0.03)
    torch.testing.assert_close(found, image.clamp(0, 1), atol=1e-4, rtol=1e-3)


def test_amounts_are_settings() -> None:
    assert make_settings(amounts={"rotate": 7}).amounts == Amounts(rotate=7)
    with pytest.raises(SettingsError, match=r"'augmentation\.rotato'.*'augmentation\.rotate'"):
        make_settings(amounts={"rotato": 7})
    with pytest.raises(SettingsError, match="augmentation=default alone"):
        make_settings("paper", amounts={"rotate": 7})
    with pytest.raises(SettingsError, match="less than or equal to 180"):
        make_settings(amounts={"rotate": 700})
