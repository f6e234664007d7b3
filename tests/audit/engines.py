"""Engines whose scores and heatmaps are known by construction, and radiographs to go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import ArchitectureInfo, BundleInfo, TrainingInfo
from pneumoscope.imaging import Letterbox
from pneumoscope.inference import EngineOutput, Runtime

if TYPE_CHECKING:
    # With torch, which a process that only wants an engine need not import.
    from pneumoscope.audit import AuditFilm

SIZE = 64
Films = NDArray[np.float64]


def info(heatmap: str = "gradcam", threshold: float = 0.5, temperature: float = 1.0) -> BundleInfo:
    """A bundle's description."""
    return BundleInfo(
        version="0",
        architecture=ArchitectureInfo(
            backbone="vit_b_16", head="linear", size=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3
        ),
        labels=("NORMAL", "PNEUMONIA"),
        threshold=threshold,
        temperature=temperature,
        calibration={},
        training=TrainingInfo(
            data_digest="", splits={}, weights={}, settings={}, selected_epoch=0, versions={}
        ),
        heatmap=heatmap,
        files={"model.safetensors": "0" * 64},
    )


class KnownEngine:
    """Scores radiographs by one function and explains them by another, both of pixels in [0, 1]."""

    def __init__(
        self,
        score: Callable[[Films], NDArray[np.float64]],
        heat: Callable[[Films], NDArray[np.float64]],
        described: BundleInfo | None = None,
    ) -> None:
        self._score, self._heat = score, heat
        self._info = described or info()

    @property
    def info(self) -> BundleInfo:
        return self._info

    @property
    def runtime(self) -> Runtime:
        return Runtime("torch", "float32")

    @property
    def streams(self) -> int:
        return 1

    @property
    def methods(self) -> tuple[str, ...]:
        return ("gradcam",)

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        films = pixels / 255.0
        heat = self._heat(films).astype(np.float32)
        return EngineOutput(self._score(films), dict.fromkeys(methods, heat))


class LeftHalf:
    """A segmenter that calls two solid blocks lungs, both in the left half of the square."""

    def segment(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        grid = np.zeros((len(pixels), 32, 32), dtype=np.float32)
        grid[:, 4:28, 2:8] = grid[:, 4:28, 10:16] = 1
        return grid


def square_of(films: Films) -> Films:
    """The patch of 14 x 14 pixels (4.8 % of the square) that known engines look at."""
    return films[:, 16:30, 20:34]


def heat_on_square(films: Films) -> Films:
    """A heatmap that is hot on that patch alone."""
    heat = np.zeros(films.shape)
    heat[:, 16:30, 20:34] = 1
    return heat


def film(
    number: int, *, background: int = 51, square: int | None = 255, target: int = 1, width: int = 64
) -> AuditFilm:
    """A gray radiograph, its patch bright: 64 rows, `width` columns in the middle of the square."""
    from pneumoscope.audit import AuditFilm

    box = Letterbox.fit(SIZE, width, SIZE)
    pixels = np.zeros((SIZE, SIZE), dtype=np.uint8)
    pixels[:, box.left : box.left + width] = background
    if square is not None:
        pixels[16:30, 20:34] = square
    return AuditFilm(f"film{number}", f"P{number}", target, pixels, box)
