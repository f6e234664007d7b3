"""Training the input gate that the `gate` room ships: from upright frontal films to one ONNX file.

What is not to be accepted is made on the fly from the same films, or drawn. Nothing is chosen on
test; val gives the threshold alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pneumoscope.errors import RunError
from pneumoscope.training.gate_films import draw
from pneumoscope.training.gate_net import GateNet
from pneumoscope.training.module import warmup_cosine
from pneumoscope.training.runner import ema_decay
from pneumoscope.training.small_settings import SmallSettings

Row = dict[str, float]
# At most this share of a cohort's val films is flagged, where the least threshold allows it.
ALARMS = 0.01
_LEAST_THRESHOLD = 0.5
_HIGHEST_THRESHOLD = 0.98


@dataclass(frozen=True, slots=True)
class GateSettings(SmallSettings):
    """How the gate is trained; an epoch is as many pictures as there are films.

    Args:
        phantoms: drawn chests among the films.
    """

    multiple: ClassVar[int] = 16

    side: int = 64
    stored_side: int = 112
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 7
    phantoms: int = 250


def train_gate_net(
    films: NDArray[np.uint8],
    settings: GateSettings,
    *,
    epoch: Callable[[Row], None] | None = None,
    step: Callable[[int, int], None] | None = None,
) -> GateNet:
    """Train; the averaged network, in evaluation mode.

    Args:
        films: uint8 (N, stored_side, stored_side), upright frontal chest films.
        settings: how.
        epoch: called with each finished epoch's figures: epoch (from 0), loss, accuracy (on the
            pictures trained on), seconds.
        step: called with (steps taken, steps in all).

    Raises:
        RunError: there are no films, or the loss is no number any more.
    """
    if not len(films):
        raise RunError("there is no film to train on", remedy="give a cohort with a train split")
    torch.manual_seed(settings.seed)
    net = GateNet(settings.side)
    per_epoch = max(len(films) // settings.batch_size, 1)
    total = settings.epochs * per_epoch
    averaging = get_ema_multi_avg_fn(ema_decay(0.995, total))  # type: ignore[no-untyped-call]
    average = AveragedModel(net, multi_avg_fn=averaging, use_buffers=True)
    optimizer = torch.optim.AdamW(net.parameters(), settings.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda taken: warmup_cosine(taken, total, 0.05)
    )
    for number in range(settings.epochs):
        started = time.perf_counter()
        rng = np.random.default_rng([settings.seed, number])
        figures = []
        net.train()
        for place, rows in enumerate(np.array_split(rng.permutation(len(films)), per_epoch)):
            drawn = [draw(films, int(row), settings.side, rng) for row in rows]
            figures.append(_step(net, drawn, optimizer))
            schedule.step()
            average.update_parameters(net)
            if step is not None:
                step(number * per_epoch + place + 1, total)
        loss, accuracy = np.mean(figures, axis=0)
        seconds = round(time.perf_counter() - started, 1)
        if epoch is not None:
            epoch({"epoch": number, "loss": loss, "accuracy": accuracy, "seconds": seconds})
    trained = GateNet(settings.side)
    trained.load_state_dict(average.module.state_dict())
    return trained.eval()


def choose_threshold(scores: Sequence[NDArray[np.float64]]) -> float:
    """The score from which a picture is flagged: at most 1 % of val films in the worst cohort.

    Never below .5, so that a film that looks most like a chest passes, and never above .98, so
    that the gate cannot switch itself off.

    Args:
        scores: each cohort's, (n,) in [0, 1].
    """
    worst = max((float(np.quantile(part, 1 - ALARMS)) for part in scores if len(part)), default=0.0)
    # The film at the quantile itself passes.
    return float(np.clip(np.nextafter(worst, 2.0), _LEAST_THRESHOLD, _HIGHEST_THRESHOLD))


def _step(
    net: GateNet, drawn: Sequence[tuple[NDArray[np.float32], int]], optimizer: torch.optim.Optimizer
) -> tuple[float, float]:
    pixels = torch.from_numpy(np.stack([picture for picture, _ in drawn])[:, None])
    kinds = torch.tensor([kind for _, kind in drawn])
    logits = net(pixels)
    loss = F.cross_entropy(logits, kinds, label_smoothing=0.02)
    if not torch.isfinite(loss):
        raise RunError(
            "training diverged: the loss is no number any more", remedy="lower the learning rate"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach()), float((logits.argmax(dim=1) == kinds).float().mean())
