"""Training the lung segmenter of the `lungs` room: from radiographs with masks to an ONNX file.

A fixed number of augmented epochs on train; the weights are an exponential moving average; nothing
is chosen on val or test, which only measure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from pneumoscope.errors import RunError
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.training.lungs.augment import augment_lungs
from pneumoscope.training.lungs.data import LungFilms
from pneumoscope.training.lungs.net import MULTIPLE, STRIDE, LungNet, segmentation_loss
from pneumoscope.training.small.loop import SmallLearner, SmallLoop
from pneumoscope.training.small.settings import SmallSettings

Row = dict[str, float]
_EVALUATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class LungSettings(SmallSettings):
    """How the segmenter is trained.

    Args:
        weight_decay: AdamW's, on weights of convolutions.
        ema_decay: of the moving average of the weights, per step.
    """

    multiple: ClassVar[int] = MULTIPLE

    side: int = 192
    stored_side: int = 224
    epochs: int = 14
    batch_size: int = 32
    learning_rate: float = 2e-3
    seed: int = 7
    weight_decay: float = 1e-4
    ema_decay: float = 0.998


def train_lung_net(
    train: LungFilms,
    val: LungFilms,
    settings: LungSettings,
    *,
    epoch: Callable[[Row], None] | None = None,
    step: Callable[[int, int], None] | None = None,
) -> LungNet:
    """Train; the averaged network, in evaluation mode, in channels-first float32.

    Args:
        train, val: radiographs at `settings.stored_side`.
        settings: how.
        epoch: called with each finished epoch's figures: epoch (from 0), train_loss, val_dice (of
            the average), seconds.
        step: called with (steps taken, steps in all).

    Raises:
        RunError: there are no radiographs, or the loss is no number any more.
    """
    if not len(train) or not len(val):
        raise RunError(
            "train or val holds no radiograph with a lung mask",
            remedy="check that the masks have the radiographs' relative paths",
        )
    loop = SmallLoop(len(train), settings, step)
    groups = partial(_groups, weight_decay=settings.weight_decay)
    learner: SmallLearner[LungNet] = SmallLearner(
        LungNet, settings, loop.steps, settings.ema_decay, groups
    )

    def learn(rows: NDArray[np.int64], _: np.random.Generator) -> tuple[float]:
        return (learner.step(_loss(learner.network, train, rows, settings.side)),)

    for number, (loss,), began in loop.epochs(learn):
        row = {
            "epoch": float(number),
            "train_loss": float(loss),
            "val_dice": mean_dice(learner.averaged(), val, settings.side),
            "seconds": round(time.perf_counter() - began, 1),
        }
        if epoch is not None:
            epoch(row)
    return learner.averaged()


def mean_dice(net: torch.nn.Module, films: LungFilms, side: int) -> float:
    """Mean Dice of the answers at probability .5, on the network's own grid."""
    net.eval()
    scores = []
    with torch.inference_mode():
        for start in range(0, len(films), _EVALUATION_BATCH):
            rows = slice(start, start + _EVALUATION_BATCH)
            pixels = torch.from_numpy(films.films[rows, None]).float()
            lungs = torch.from_numpy(films.lungs[rows, None]).float()
            size = (side, side)
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
            grid = (side // STRIDE, side // STRIDE)
            truth = F.interpolate(lungs, size=grid, mode="area") > 0.5
            found = net(pixels) > 0
            both = (truth & found).sum(dim=(1, 2, 3))
            either = truth.sum(dim=(1, 2, 3)) + found.sum(dim=(1, 2, 3))
            scores.append(2 * both / either.clamp(min=1))
    return float(torch.cat(scores).mean())


def _groups(net: LungNet, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of convolutions decay, nothing else."""
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _loss(net: LungNet, train: LungFilms, rows: NDArray[np.int64], side: int) -> Tensor:
    films = torch.from_numpy(train.films[rows, None])
    lungs = torch.from_numpy(train.lungs[rows, None])
    pixels, masks = augment_lungs(films, lungs, side)
    wanted = F.avg_pool2d(masks, STRIDE)
    low_precision = computes_in_bfloat16("auto")
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        logits = net(pixels.contiguous(memory_format=torch.channels_last))
    loss: Tensor = segmentation_loss(logits.float(), wanted)
    return loss
