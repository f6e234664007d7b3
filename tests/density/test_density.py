"""The density factor: against a formula written out, and on drawn chests with known opacities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pneumoscope.density import (
    SIDE,
    Atlas,
    DensityPrior,
    Frame,
    on_grid,
    read_atlases,
    relative_density,
    shipped_prior,
    write_atlases,
)
from pneumoscope.phantom import PhantomSettings, render
from pneumoscope.phantom.writing import cases

ROW, COLUMN = np.mgrid[0:SIDE, 0:SIDE]


def two_lungs(shift: int = 0, scale: float = 1.0) -> NDArray[np.float32]:
    """Two ellipses, probability of lung."""
    lungs = np.zeros((SIDE, SIDE), dtype=np.float32)
    for centre in (20, 44):
        down = (ROW - 32 - shift) / (20 * scale)
        across = (COLUMN - (32 + (centre - 32) * scale)) / (8 * scale)
        lungs[down**2 + across**2 <= 1] = 1
    return lungs


def a_film(seed: int, lungs: NDArray[np.float32]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    film = 170 - 90 * lungs + ndimage.gaussian_filter(rng.normal(0, 30, lungs.shape), 2)
    levels: NDArray[np.uint8] = film.clip(0, 255).astype(np.uint8)
    return levels


def test_relative_density_is_the_formula() -> None:
    lungs, film = two_lungs(), a_film(0, two_lungs())
    density = relative_density(film, lungs)
    blurred = ndimage.gaussian_filter(film.astype(np.float64), 0.75, truncate=3.0)
    seen = blurred[lungs >= 0.5]
    expected = (blurred - np.median(seen)) / (seen.std() + 4)
    assert density is not None
    np.testing.assert_allclose(density, expected, atol=1e-3)


def test_exposure_does_not_change_density() -> None:
    lungs, film = two_lungs(), a_film(1, two_lungs())
    one, other = (relative_density((film * gain).astype(np.uint8), lungs) for gain in (1.0, 0.8))
    assert one is not None and other is not None
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


def test_without_lungs_there_is_no_density() -> None:
    nothing = np.zeros((SIDE, SIDE), dtype=np.float32)
    assert relative_density(a_film(0, nothing), nothing) is None
    prior = DensityPrior({"only": Atlas(nothing, nothing + 1)})
    assert (prior.factor(a_film(0, nothing), nothing) == 1).all()


@pytest.mark.parametrize(("shift", "scale"), [(0, 1.0), (5, 0.8), (-4, 0.7)])
def test_the_atlas_follows_the_lungs(shift: int, scale: float) -> None:
    there = two_lungs()
    here = two_lungs(shift, scale)
    moved = Frame.around(here).to_film(Frame.around(there).to_atlas(there))
    overlap = ((moved >= 0.5) & (here >= 0.5)).sum() / ((moved >= 0.5) | (here >= 0.5)).sum()
    assert overlap > 0.85


def test_an_atlas_says_mean_and_spread() -> None:
    lungs = two_lungs()
    films = []
    for seed in range(24):
        density = relative_density(a_film(seed, lungs), lungs)
        assert density is not None
        films.append((density, lungs))
    atlas = Atlas.of(films)
    aligned = np.stack([Frame.around(lungs).to_atlas(density) for density, _ in films])
    np.testing.assert_allclose(atlas.mean, aligned.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(atlas.spread, aligned.std(axis=0), atol=1e-5)
    with pytest.raises(ValueError, match="at least 20"):
        Atlas.of(films[:19])


def test_an_opacity_stands_out_against_the_atlas() -> None:
    lungs = two_lungs()
    normal = [(relative_density(a_film(seed, lungs), lungs), lungs) for seed in range(24)]
    prior = DensityPrior({"only": Atlas.of([(d, lung) for d, lung in normal if d is not None])})
    ill = a_film(99, lungs).astype(np.float64)
    ill[38:46, 16:24] += 70
    factor = prior.factor(ill.clip(0, 255).astype(np.uint8), lungs)
    inside = lungs >= 0.5
    spot = np.zeros_like(inside)
    spot[38:46, 16:24] = True
    assert factor[spot & inside].mean() > 2 * factor[inside & ~spot].mean()
    row, column = np.unravel_index((factor * lungs).argmax(), factor.shape)
    assert spot[row, column]


def test_atlases_are_kept_without_pickle(tmp_path: Path) -> None:
    kept = {"adult": Atlas(ROW.astype(np.float32), COLUMN.astype(np.float32) + 1)}
    write_atlases(tmp_path / "atlas.npz", kept)
    found = read_atlases(tmp_path / "atlas.npz")
    assert list(found) == ["adult"]
    np.testing.assert_array_equal(found["adult"].mean, ROW)
    np.testing.assert_array_equal(found["adult"].spread, COLUMN + 1)


def test_the_shipped_atlases_find_drawn_opacities() -> None:
    prior = shipped_prior()
    assert set(prior.atlases) == {"adult", "child"}
    ratios = []
    for case in cases(PhantomSettings(n=24, seed=5, size=256)):
        phantom = render(case.rng, case.anatomy, case.view, case.pneumonia, size=256)
        if not phantom.lesion.any():
            continue
        side = min(phantom.pixels.shape)
        square = np.rint(phantom.pixels[:side, :side] * 255).astype(np.uint8)
        lungs = on_grid(phantom.lungs[:side, :side].astype(np.float32))
        mask = on_grid(phantom.lesion[:side, :side].astype(np.float32)) >= 0.5
        factor = prior.factor(square, lungs)
        inside = lungs >= 0.5
        if (mask & inside).any():
            ratios.append(factor[mask & inside].mean() / factor[inside & ~mask].mean())
    assert len(ratios) >= 5 and np.median(ratios) > 1.2
