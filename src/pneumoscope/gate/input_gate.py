"""The gate: one uint8 square in, a verdict out, by onnxruntime on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import WeightsError
from pneumoscope.gate.info import KINDS, GateInfo
from pneumoscope.imaging import Letterbox
from pneumoscope.shipped import open_session

SHIPPED = Path(__file__).with_name("gate.onnx")
"""The model that comes with the package."""

Reason = Literal["blank", "inverted", "rotated", "cropped", "lateral", "ct", "not_chest"]
_REASONS: tuple[Reason, ...] = ("inverted", "rotated", "cropped", "lateral", "ct", "not_chest")
# Gray levels of 255 between the 2nd and the 98th percentile of a radiograph that shows anything.
_LEAST_RANGE = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one picture.

    Args:
        flagged: whether it does not look like an upright frontal chest radiograph.
        score: 0 (surely one) to 1 (surely none).
        reason: what it seems to be instead, if flagged.
    """

    flagged: bool
    score: float
    reason: Reason | None


class InputGate:
    """A loaded gate; one instance may serve several threads.

    Attributes:
        info: where it comes from, and its threshold.
    """

    def __init__(self, model: Path, info: GateInfo) -> None:
        """Load `model`, which has been checked (see `load`)."""
        self._session = open_session(model)
        self.info = info

    @classmethod
    def load(cls, path: Path | None = None) -> InputGate:
        """Load a gate, after its file's digest has been checked.

        Args:
            path: an ONNX file with its JSON beside it, as `train-gate` writes; None for the one
                that comes with the package.

        Raises:
            WeightsError: a file is missing or altered, or cannot be loaded.
        """
        model = SHIPPED if path is None else Path(path)
        return cls(model, GateInfo.read(model))

    def judge(self, pixels: NDArray[np.uint8], letterbox: Letterbox | None = None) -> Verdict:
        """Whether one picture is what a model of frontal chest radiographs was made for.

        Args:
            pixels: uint8 (S, S), as `imaging.model_input` gives it at any side S; scaled to the
                gate's own side here, antialiased.
            letterbox: its letterbox, so that bars beside the radiograph are no part of it; None if
                the radiograph covers the square.

        Raises:
            ValueError: `pixels` is no uint8 square.
        """
        if pixels.ndim != 2 or pixels.shape[0] != pixels.shape[1] or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8 (S, S), not {pixels.dtype} {pixels.shape}")
        if _is_blank(_content(pixels, letterbox)):
            return Verdict(True, 1.0, "blank")
        shares = self.probabilities(pixels)
        score = float(np.clip(1 - shares[0], 0, 1))
        if score < self.info.threshold:
            return Verdict(False, score, None)
        return Verdict(True, score, _REASONS[int(shares[1:].argmax())])

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The model's answer alone: float32 (7,), of `KINDS`, sum 1; arguments as of `judge`."""
        side = self.info.side
        scaling = Letterbox.fit(pixels.shape[0], pixels.shape[1], side)
        film = scaling.apply(pixels.astype(np.float32))
        (found,) = self._session.run(None, {"pixels": film[None, None]})
        shares: NDArray[np.float32] = np.asarray(found, dtype=np.float32)[0]
        if len(shares) != len(KINDS):
            raise WeightsError(f"the gate answers with {len(shares)} numbers, not {len(KINDS)}")
        return shares


def _content(pixels: NDArray[np.uint8], letterbox: Letterbox | None) -> NDArray[np.uint8]:
    if letterbox is None:
        return pixels
    rows = slice(letterbox.top, letterbox.top + letterbox.content_height)
    return pixels[rows, letterbox.left : letterbox.left + letterbox.content_width]


def _is_blank(film: NDArray[np.uint8]) -> bool:
    """Whether it has almost no range; by a histogram, which is quicker than sorting."""
    below = np.cumsum(np.bincount(film.ravel(), minlength=256)) / film.size
    low, high = np.searchsorted(below, (0.02, 0.98))
    return bool(high - low < _LEAST_RANGE)
