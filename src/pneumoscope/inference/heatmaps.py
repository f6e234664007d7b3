"""From raw maps on the model's grid to heatmaps on the radiograph's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.density import SIDE, on_grid, shipped_prior
from pneumoscope.errors import SettingsError
from pneumoscope.imaging import Letterbox
from pneumoscope.inference.engine import RANDOMISED, Engine, EngineOutput
from pneumoscope.lungs import LungSegmenter, plausible

# Below this share of a logit a map is rounding noise, and stretching it to [0, 1] would paint it.
_NO_EVIDENCE = 1e-6
# From this probability on a pixel is lung.
_LUNG = 0.5
REACH = 3 / 32
"""Standard deviation of the Gaussian that smooths a map, as a share of the model's square.

Chosen on tuning halves (docs/localization.md).
"""


Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RawOutput:
    """For a batch of B radiographs.

    Attributes:
        logits: (B,) log-odds before calibration.
        maps: for each heatmap asked for, (B, h, w) raw maps on the model's grid; the lungs are
            not yet applied.
        lungs: (B, g, g) probability of lung on the segmenter's grid; None if nobody asked.
    """

    logits: NDArray[np.float64]
    maps: Mapping[HeatmapSpec, Maps]
    lungs: Maps | None


def run_heatmaps(
    engine: Engine,
    pixels: NDArray[np.uint8],
    specs: Sequence[HeatmapSpec],
    segmenter: LungSegmenter | None,
) -> RawOutput:
    """Score and explain a batch (B, size, size), running the model once per orientation.

    The logits are those of the bundle's own way: if its heatmap is mirrored, their mean over the
    radiograph and its mirror image.
    """
    own = HeatmapSpec.parse(engine.info.heatmap)
    methods = list(dict.fromkeys(spec.method for spec in specs))
    mirrored = list(dict.fromkeys(spec.method for spec in specs if spec.mirror))
    alone = both = engine.run(pixels, methods)
    if mirrored or own.mirror:
        both = alone.mirrored or _mean(alone, engine.run(_flipped(pixels), mirrored), mirrored)
    return RawOutput(
        (both if own.mirror else alone).logits,
        {spec: (both if spec.mirror else alone).maps[spec.method] for spec in specs},
        None if segmenter is None else segmenter.segment(pixels),
    )


def _flipped(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _mean(film: EngineOutput, image: EngineOutput, methods: Sequence[str]) -> EngineOutput:
    """The mean over radiographs and their mirror images, the maps on the radiographs' side."""
    half = np.float32(0.5)
    maps = {name: (film.maps[name] + image.maps[name][:, :, ::-1]) * half for name in methods}
    return EngineOutput((film.logits + image.logits) / 2, maps)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What is known of a radiograph's lungs.

    Attributes:
        lungs: (height, width) factor of heatmaps on the radiograph's grid: the probability of lung,
            or one everywhere where no lungs were found; None if nobody looked.
        density: (SIDE, SIDE) density factor on the model's square; one everywhere where no lungs
            were found, None if nobody looked.
        found: whether lungs were found.
        square: (SIDE, SIDE) probability of lung on the model's square; one everywhere where no
            lungs were found, None if nobody looked.
    """

    lungs: Maps | None
    density: Maps | None
    found: bool = True
    square: Maps | None = None

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Where the lungs are, (height, width); None where none were found or nobody looked."""
        return self.lungs >= _LUNG if self.lungs is not None and self.found else None


NO_ANATOMY = Anatomy(None, None)
"""Of a radiograph whose lungs nobody looked for."""


def anatomy_of(
    pixels: NDArray[np.uint8], grid: Maps, letterbox: Letterbox, *, density: bool
) -> Anatomy:
    """Lungs of a radiograph and, if a heatmap needs it, its density factor.

    A segmentation of implausible size or place must not hide evidence: then both are one.

    Args:
        pixels: uint8 (S, S), as the model sees the radiograph.
        grid: (g, g) probability of lung on the same square.
        letterbox: of the radiograph.
        density: whether the factor is needed.
    """
    lungs = letterbox.to_film(grid)
    if plausible(lungs >= _LUNG):
        factor = shipped_prior().factor(pixels, grid) if density else None
        return Anatomy(lungs, factor, square=on_grid(grid))
    nothing = np.ones((SIDE, SIDE), dtype=np.float32)
    return Anatomy(np.ones_like(lungs), nothing if density else None, found=False, square=nothing)


def film_heatmap(
    spec: HeatmapSpec,
    grid: Maps,
    letterbox: Letterbox,
    anatomy: Anatomy = NO_ANATOMY,
) -> Maps:
    """A raw map on the model's grid to relative heat in [0, 1] on the radiograph's grid.

    Divided by its maximum on the radiograph, never stretched from its minimum; a map without
    evidence stays zero. Within the lungs it is the geometric mean of the map and the probability of
    lung; their product if the map is smoothed, which is wide enough without a root.

    Args:
        spec: what the map is, and what is done to it.
        grid: (h, w), >= 0, covering the model's whole square.
        letterbox: of the radiograph.
        anatomy: of the radiograph; needed if the spec says so.

    Returns:
        float32 (height, width), 1 at the strongest place. `on_film_scale` makes it comparable
        between radiographs.
    """
    values = np.asarray(grid, dtype=np.float32)
    if spec.density:
        if anatomy.density is None:
            raise ValueError(f"{spec} needs the density factor")
        values = on_grid(values) * anatomy.density
    if spec.smooth:
        if anatomy.square is None:
            raise ValueError(f"{spec} needs lungs")
        values = smoothed(on_grid(values), anatomy.square)
    film = letterbox.to_film(values)
    if spec.lungs:
        if anatomy.lungs is None:
            raise ValueError(f"{spec} needs lungs")
        film *= anatomy.lungs
    peak = float(film.max())
    if not np.isfinite(peak) or peak <= _NO_EVIDENCE:
        return np.zeros_like(film)
    film /= np.float32(peak)
    scaled: Maps = np.clip(film, 0, 1, out=film)
    return np.sqrt(scaled, out=scaled) if spec.lungs and not spec.smooth else scaled


def smoothed(values: Maps, lungs: Maps, reach: float = REACH) -> Maps:
    """The mean of the lung around each place of a map: what is outside does not dilute it.

    Normalised convolution with a Gaussian (Knutsson & Westin 1993, "Normalized and differential
    convolution"), the probability of lung as the certainty of the map.

    Args:
        values: (SIDE, SIDE) map on the model's square.
        lungs: (SIDE, SIDE) probability of lung on it.
        reach: standard deviation of the Gaussian, as a share of the square.
    """
    places = np.arange(SIDE, dtype=np.float32) / SIDE
    near = np.exp(-0.5 * ((places[:, None] - places) / reach) ** 2)
    certain = near @ lungs @ near
    mean: Maps = (near @ (values * lungs) @ near) / np.maximum(certain, np.float32(_NO_EVIDENCE))
    return mean


def on_film_scale(relative: Maps, probability: float) -> Maps:
    """Scale relative heat by the radiograph's probability, so that all radiographs have one scale.

    The strongest place has the radiograph's calibrated probability, every other place the share of
    it that its evidence is of the strongest. So a radiograph at .01 is dark all over.

    Args:
        relative: (height, width) in [0, 1], 1 at the strongest place.
        probability: of the positive label, 0 to 1.
    """
    return relative * np.float32(probability)


def share_inside(grid: Maps, lungs: NDArray[np.bool_], letterbox: Letterbox) -> float | None:
    """Which share of a map is inside the lungs; None for a map without evidence.

    Measured on the map as the model gives it, before it is kept within the lungs. Each cell counts
    as its centre does; cells on the letterbox's margin do not.

    Args:
        grid: (h, w), >= 0, covering the model's whole square.
        lungs: (height, width) on the radiograph's grid.
        letterbox: of the radiograph.

    Returns:
        0 to 1.
    """
    rows, inside_rows = _film_places(grid.shape[0], letterbox, letterbox.height, across=False)
    columns, inside_columns = _film_places(grid.shape[1], letterbox, letterbox.width, across=True)
    heat = np.asarray(grid, dtype=np.float64)[np.ix_(inside_rows, inside_columns)]
    total = float(heat.sum())
    if not np.isfinite(total) or total <= _NO_EVIDENCE:
        return None
    return min(float(heat[lungs[np.ix_(rows, columns)]].sum()) / total, 1.0)


def _film_places(
    cells: int, letterbox: Letterbox, pixels: int, *, across: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels under the centres of the cells that lie on the radiograph, and those cells."""
    offset, scale = (
        (letterbox.left, letterbox.scale_x) if across else (letterbox.top, letterbox.scale_y)
    )
    centres = (np.arange(cells) + 0.5) * (letterbox.size / cells)
    places = np.floor((centres - offset) / scale).astype(np.intp)
    on_film = np.flatnonzero((places >= 0) & (places < pixels))
    return places[on_film], on_film


def heatmaps_beside(engine: Engine, text: str) -> list[str]:
    """The heatmaps asked for besides the bundle's own, in order, each once.

    Args:
        engine: a loaded bundle.
        text: `all`, or specifications separated by commas, as `HeatmapSpec` reads them.

    Raises:
        SettingsError: a name has another form, or its method is not for this bundle and engine.
    """
    own = str(HeatmapSpec.parse(engine.info.heatmap))
    wanted = engine.methods if text.strip() == "all" else text.split(",") if text.strip() else ()
    specs = [HeatmapSpec.parse(name) for name in wanted]
    torch = engine.runtime.engine == "torch"
    known = (*engine.methods, RANDOMISED) if torch else tuple(engine.methods)
    for spec in specs:
        if spec.method not in known:
            raise SettingsError(
                f"'{spec.method}' is not a method for this bundle with {engine.runtime.engine}",
                remedy=f"choose among {', '.join(known)}"
                + ("" if torch else ", or give the bundle's folder and install the extra 'train'"),
            )
    return [name for name in dict.fromkeys(map(str, specs)) if name != own]
