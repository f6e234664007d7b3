"""Asking a model: logits and heatmaps for many radiographs, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pneumoscope.audit.sample import AuditFilm
from pneumoscope.bundles import HeatmapSpec
from pneumoscope.imaging import Letterbox
from pneumoscope.inference import Engine, film_heatmap
from pneumoscope.inference.heatmaps import NO_ANATOMY, anatomy_of, run_heatmaps
from pneumoscope.lungs import LungSegmenter
from pneumoscope.models.classifier import Classifier

_BATCH = 16

Heat = NDArray[np.float32]
Pixels = NDArray[np.uint8]


class WhiteBox(Engine, Protocol):
    """An engine that gives away its network; without it nothing can be drawn anew."""

    @property
    def classifier(self) -> Classifier:
        """The bundle's classifier, in eval mode."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """A model that can be asked.

    Attributes:
        engine: runs it.
        segmenter: finds lungs; None unless the bundle's heatmap needs them.
    """

    engine: Engine
    segmenter: LungSegmenter | None = None

    @property
    def own(self) -> HeatmapSpec:
        """The bundle's heatmap."""
        return HeatmapSpec.parse(self.engine.info.heatmap)

    @property
    def raw(self) -> HeatmapSpec:
        """The bundle's heatmap before the factors of anatomy."""
        return HeatmapSpec(self.own.method, self.own.mirror)

    def log_odds(self, pixels: Pixels) -> NDArray[np.float64]:
        """Calibrated log-odds (N,) of the positive label for (N, size, size) uint8 pixels."""
        logits = [
            run_heatmaps(self.engine, pixels[start : start + _BATCH], (), None).logits
            for start in range(0, len(pixels), _BATCH)
        ]
        return self._calibrated(logits)

    def see(
        self,
        pixels: Pixels,
        letterboxes: Sequence[Letterbox],
        spec: HeatmapSpec,
        tick: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.float64], list[Heat]]:
        """Calibrated log-odds (N,) and heatmaps in [0, 1] on the radiograph's part of the square.

        Args:
            pixels: (N, size, size) uint8.
            letterboxes: N, at scale one.
            spec: the bundle's own heatmap, or that before the factors of anatomy.
            tick: called with the number of radiographs done after each batch.
        """
        logits: list[NDArray[np.float64]] = []
        heats: list[Heat] = []
        segmenter = self.segmenter if spec.anatomical else None
        for start in range(0, len(pixels), _BATCH):
            batch = pixels[start : start + _BATCH]
            output = run_heatmaps(self.engine, batch, (spec,), segmenter)
            logits.append(output.logits)
            for index, grid in enumerate(output.maps[spec]):
                box = letterboxes[start + index]
                anatomy = NO_ANATOMY
                if output.lungs is not None:
                    anatomy = anatomy_of(
                        batch[index], output.lungs[index], box, density=spec.density
                    )
                heats.append(film_heatmap(spec, grid, box, anatomy))
            if tick is not None:
                tick(len(heats))
        return self._calibrated(logits), heats

    def _calibrated(self, logits: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        info = self.engine.info
        odds: NDArray[np.float64] = np.concatenate(logits) / info.temperature + info.bias
        return odds


def stacked(films: Sequence[AuditFilm]) -> Pixels:
    """All films' pixels (N, size, size)."""
    return np.stack([film.pixels for film in films])


def boxes(films: Sequence[AuditFilm]) -> list[Letterbox]:
    """All films' letterboxes."""
    return [film.letterbox for film in films]
