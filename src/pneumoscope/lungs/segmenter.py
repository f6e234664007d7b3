"""The segmenter: uint8 squares in, probability of lung out, by onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.imaging import Letterbox
from pneumoscope.lungs.info import LungsInfo
from pneumoscope.shipped import open_session

SHIPPED = Path(__file__).with_name("lungs.onnx")
"""The model that comes with the package."""


class LungSegmenter:
    """A loaded lung segmenter; one instance may serve several threads.

    Attributes:
        info: where it comes from and how good it is.
    """

    def __init__(self, model: Path, info: LungsInfo, threads: int = 1) -> None:
        """Load `model`, which has been checked (see `load`)."""
        self._session = open_session(model, threads)
        self._input: str = self._session.get_inputs()[0].name
        self.info = info

    @classmethod
    def load(cls, path: Path | None = None, *, threads: int = 1) -> LungSegmenter:
        """Load a segmenter, after its file's digest has been checked.

        Args:
            path: an ONNX file with its JSON beside it, as `train-lungs` writes; None for the
                one that comes with the package.
            threads: of onnxruntime, for one call.

        Raises:
            WeightsError: a file is missing or altered, or cannot be loaded.
        """
        model = SHIPPED if path is None else Path(path)
        return cls(model, LungsInfo.read(model), threads)

    def segment(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Where the lungs are on letterboxed radiographs.

        Args:
            pixels: uint8 (B, S, S), as `imaging.model_input` gives them at any side S; scaled to
                the model's own side here, antialiased.

        Returns:
            float32 (B, G, G) in [0, 1]: probability of lung on a grid that covers the whole
            square, so that `Letterbox.to_film` brings it onto the radiograph.

        Raises:
            ValueError: `pixels` is no uint8 batch of squares.
        """
        if pixels.ndim != 3 or pixels.shape[1] != pixels.shape[2] or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8 (B, S, S), not {pixels.dtype} {pixels.shape}")
        side, grid = self.info.side, self.info.grid
        if not len(pixels):
            return np.zeros((0, grid, grid), dtype=np.float32)
        scaling = Letterbox.fit(pixels.shape[1], pixels.shape[2], side)
        batch = np.stack([scaling.apply(film.astype(np.float32)) for film in pixels])
        (found,) = self._session.run(None, {self._input: batch[:, None]})
        probability: NDArray[np.float32] = np.asarray(found, dtype=np.float32)[:, 0]
        return probability
