"""Training the lung segmenter that the `lungs` room ships: from films with masks to one ONNX file.

A fixed number of augmented epochs on train; the weights are an exponential moving average; nothing
is chosen on val or test, which only measure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pneumoscope.errors import RunError
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.training.lungs_augment import augment_lungs
from pneumoscope.training.lungs_data import LungFilms
from pneumoscope.training.lungs_net import MULTIPLE, STRIDE, LungNet, segmentation_loss
from pneumoscope.training.module import warmup_cosine
from pneumoscope.training.runner import ema_decay
from pneumoscope.training.small_settings import SmallSettings

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
        train, val: films at `settings.stored_side`.
        settings: how.
        epoch: called with each finished epoch's figures: epoch (from 0), train_loss, val_dice (of
            the average), seconds.
        step: called with (steps taken, steps in all).

    Raises:
        RunError: there are no films, or the loss is no number any more.
    """
    if not len(train) or not len(val):
        raise RunError(
            "train or val holds no radiograph with a lung mask",
            remedy="check that the masks have the radiographs' relative paths",
        )
    torch.manual_seed(settings.seed)
    net = LungNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    per_epoch = max(len(train) // settings.batch_size, 1)
    total = settings.epochs * per_epoch
    decay = ema_decay(settings.ema_decay, total)
    averaging: Any = get_ema_multi_avg_fn
    average = AveragedModel(net, multi_avg_fn=averaging(decay), use_buffers=True)
    optimizer = _optimizer(net, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda taken: warmup_cosine(taken, total, 0.05)
    )
    for number in range(settings.epochs):
        started = time.perf_counter()
        order = np.random.default_rng([settings.seed, number]).permutation(len(train))
        losses = []
        net.train()
        for place, rows in enumerate(np.array_split(order, per_epoch)):
            losses.append(_step(net, train, rows, settings, optimizer))
            schedule.step()
            average.update_parameters(net)
            if step is not None:
                step(number * per_epoch + place + 1, total)
        row = {
            "epoch": float(number),
            "train_loss": float(np.mean(losses)),
            "val_dice": mean_dice(average.module, val, settings.side),
            "seconds": round(time.perf_counter() - started, 1),
        }
        if epoch is not None:
            epoch(row)
    trained = LungNet()
    trained.load_state_dict(average.module.state_dict())
    return trained.eval()


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


def _optimizer(net: LungNet, settings: LungSettings) -> torch.optim.Optimizer:
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        fused=True,
    )


def _step(
    net: LungNet,
    train: LungFilms,
    rows: NDArray[np.int64],
    settings: LungSettings,
    optimizer: torch.optim.Optimizer,
) -> float:
    films = torch.from_numpy(train.films[rows, None])
    lungs = torch.from_numpy(train.lungs[rows, None])
    pixels, masks = augment_lungs(films, lungs, settings.side)
    wanted = F.avg_pool2d(masks, STRIDE)
    low_precision = computes_in_bfloat16("auto")
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        logits = net(pixels.contiguous(memory_format=torch.channels_last))
    loss: Tensor = segmentation_loss(logits.float(), wanted)
    if not torch.isfinite(loss):
        raise RunError("training diverged: the loss became NaN", remedy="lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach())
