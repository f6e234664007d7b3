"""Noisy linear imputation against hand-solved cases and the peer's implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pneumoscope.models  # noqa: F401  (declares operators torchvision lacks)
from pneumoscope.audit.imputation import NOISE, impute


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def test_one_pixel_is_its_neighbours_weighted_mean() -> None:
    pixels = np.array([[0.1, 0.2, 0.3], [0.4, 9.0, 0.6], [0.7, 0.8, 0.9]])
    missing = np.zeros((3, 3), dtype=bool)
    missing[1, 1] = True
    filled = impute(pixels, missing, rng(), noise=0)
    along = (0.2 + 0.4 + 0.6 + 0.8) / 6
    across = (0.1 + 0.3 + 0.7 + 0.9) / 12
    assert filled[1, 1] == pytest.approx(along + across)
    assert np.array_equal(filled[~missing], pixels[~missing])


def test_a_corner_has_fewer_neighbours() -> None:
    pixels = np.array([[7.0, 0.3], [0.6, 0.9]])
    missing = np.array([[True, False], [False, False]])
    filled = impute(pixels, missing, rng(), noise=0)
    # 1/6, 1/6 and 1/12 share the weight of all eight.
    assert filled[0, 0] == pytest.approx((2 * 0.3 + 2 * 0.6 + 0.9) / 5)


def test_two_pixels_solve_each_other() -> None:
    pixels = np.array([[0.0, 5.0, 5.0, 1.0]])
    missing = np.array([[False, True, True, False]])
    filled = impute(pixels, missing, rng(), noise=0)
    # In a row each has two neighbours: a straight line.
    assert filled[0] == pytest.approx([0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("blob", [True, False])
def test_against_pytorch_grad_cam(share: float, blob: bool) -> None:
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    draw = rng()
    pixels = draw.random((23, 31))
    order = draw.random(pixels.size) if not blob else -np.hypot(*np.indices((23, 31))).ravel()
    missing = np.zeros(pixels.shape, dtype=bool)
    missing.flat[np.argsort(order)[: round(share * pixels.size)]] = True
    peer = NoisyLinearImputer(noise=0)(
        torch.from_numpy(pixels)[None].float(), torch.from_numpy(~missing).float()
    )
    ours = impute(pixels, missing, rng(), noise=0)
    assert ours == pytest.approx(peer[0].numpy(), abs=2e-6)


def test_noise_is_added_where_pixels_were_missing_only() -> None:
    pixels = np.full((60, 60), 0.5)
    missing = np.zeros(pixels.shape, dtype=bool)
    missing[10:50, 10:50] = True
    filled = impute(pixels, missing, rng())
    assert np.all(filled[~missing] == 0.5)
    assert filled[missing].std() == pytest.approx(NOISE, rel=0.1)
    assert np.array_equal(filled, impute(pixels, missing, rng()))


def test_nothing_missing_and_everything_missing() -> None:
    pixels = np.full((3, 3), 0.5)
    none = np.zeros((3, 3), dtype=bool)
    assert np.array_equal(impute(pixels, none, rng()), pixels)
    with pytest.raises(ValueError, match="leave some"):
        impute(pixels, ~none, rng())
    with pytest.raises(ValueError, match="shape"):
        impute(pixels, none[:2], rng())
