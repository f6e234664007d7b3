"""Training the input gate of the `gate` room: from upright frontal radiographs to an ONNX file.

What is not to be accepted is made on the fly from the same radiographs, or drawn. Nothing is chosen
on test; val gives the threshold alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812

from pneumoscope.errors import RunError
from pneumoscope.training.gate.net import GateNet
from pneumoscope.training.gate.pictures import Drawn, Sources, draw
from pneumoscope.training.small.loop import SmallLearner, SmallLoop
from pneumoscope.training.small.settings import SmallSettings

Row = dict[str, float]
# At most this share of a cohort's val radiographs is flagged, where the least threshold allows it.
ALARMS = 0.01
_LEAST_THRESHOLD = 0.4
_HIGHEST_THRESHOLD = 0.98
_EMA_DECAY = 0.995


@dataclass(frozen=True, slots=True)
class GateSettings(SmallSettings):
    """How the gate is trained; an epoch is as many pictures as there are radiographs.

    Args:
        phantoms: drawn chests among the radiographs.
    """

    multiple: ClassVar[int] = 16

    side: int = 64
    stored_side: int = 128
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 7
    phantoms: int = 250


def train_gate_nets(
    sources: Sources,
    settings: GateSettings,
    unseen: Sequence[NDArray[np.bool_]],
    *,
    epoch: Callable[[Row], None] | None = None,
    step: Callable[[int, int], None] | None = None,
) -> list[GateNet]:
    """Train several networks on the same drawn pictures, as cross-validation needs them.

    Args:
        sources: upright frontal chest radiographs of `stored_side`, and pictures of other things.
        settings: how; each network gets the same.
        unseen: for each network bool (M,), the other pictures that it is not trained on.
        epoch: called with each finished epoch's figures: epoch (from 0), loss, accuracy (on the
            pictures trained on), seconds; the means over the networks.
        step: called with (steps taken, steps in all).

    Returns:
        The averaged networks, in evaluation mode.

    Raises:
        RunError: there are no radiographs, or the loss became NaN.
    """
    if not len(sources.films):
        raise RunError(
            "there is no radiograph to train on", remedy="give a cohort with a train split"
        )
    loop = SmallLoop(len(sources.films), settings, step)
    learners = [
        SmallLearner(lambda: GateNet(settings.side), settings, loop.steps, _EMA_DECAY, _groups)
        for _ in unseen
    ]

    def learn(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        drawn = [draw(sources, int(row), settings.side, rng) for row in rows]
        figures = []
        for learner, hidden in zip(learners, unseen, strict=True):
            seen = [one for one in drawn if one.other < 0 or not hidden[one.other]]
            figures.append(_learn(learner, seen))
        mean: NDArray[np.float64] = np.mean(figures, axis=0)
        return mean

    for number, (loss, accuracy), began in loop.epochs(learn):
        seconds = round(time.perf_counter() - began, 1)
        if epoch is not None:
            epoch({"epoch": number, "loss": loss, "accuracy": accuracy, "seconds": seconds})
    return [learner.averaged() for learner in learners]


def _groups(net: GateNet) -> list[dict[str, Any]]:
    return [{"params": list(net.parameters()), "weight_decay": 1e-3}]


def _learn(learner: SmallLearner[GateNet], drawn: Sequence[Drawn]) -> tuple[float, float]:
    """Take one step; loss and accuracy on `drawn`."""
    pixels = torch.from_numpy(np.stack([one.pixels for one in drawn])[:, None])
    kinds = torch.tensor([one.kind for one in drawn])
    logits = learner.network(pixels.to(memory_format=torch.channels_last))
    loss = learner.step(F.cross_entropy(logits, kinds, label_smoothing=0.02))
    return loss, float((logits.argmax(dim=1) == kinds).float().mean())


def choose_threshold(scores: Sequence[NDArray[np.float64]]) -> float:
    """The score from which a picture is flagged: at most 1 % of the worst cohort's val split.

    Never below .4, since radiographs of other hospitals score higher than val radiographs, and
    never above .98, so that the gate cannot switch itself off.

    Args:
        scores: each cohort's, (n,) in [0, 1].
    """
    worst = max((float(np.quantile(part, 1 - ALARMS)) for part in scores if len(part)), default=0.0)
    # The radiograph at the quantile itself passes.
    return float(np.clip(np.nextafter(worst, 2.0), _LEAST_THRESHOLD, _HIGHEST_THRESHOLD))
