"""The training loop of the small networks: AdamW, warm-up and cosine, an average of the weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pneumoscope.errors import RunError
from pneumoscope.training.module import warmup_cosine
from pneumoscope.training.runner import ema_decay
from pneumoscope.training.small.settings import SmallSettings

Network = TypeVar("Network", bound=nn.Module)
_WARMUP, _STEEPEST = 0.05, 5.0


class SmallLearner(Generic[Network]):
    """A network with its optimizer, its schedule and the running average of its weights.

    Args:
        make: gives the network.
        settings: of the training.
        steps: that it will take.
        decay: of the average, per step.
        groups: the optimizer's groups of a network's parameters.
    """

    def __init__(
        self,
        make: Callable[[], Network],
        settings: SmallSettings,
        steps: int,
        decay: float,
        groups: Callable[[Network], Iterable[dict[str, Any]]],
    ) -> None:
        torch.manual_seed(settings.seed)
        # Channels last is a quarter quicker on a CPU.
        self.network = make().train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaging = get_ema_multi_avg_fn(ema_decay(decay, steps))  # type: ignore[no-untyped-call]
        self._average = AveragedModel(self.network, multi_avg_fn=averaging, use_buffers=True)
        self._optimizer = torch.optim.AdamW(groups(self.network), settings.learning_rate)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda taken: warmup_cosine(taken, steps, _WARMUP)
        )

    def step(self, loss: Tensor) -> float:
        """Follow the gradient of a loss once; the loss.

        Raises:
            RunError: the loss is no number.
        """
        if not torch.isfinite(loss):
            raise RunError(
                "training diverged: the loss became NaN", remedy="lower the learning rate"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _STEEPEST)
        self._optimizer.step()
        self._schedule.step()
        self._average.update_parameters(self.network)
        return float(loss.detach())

    def averaged(self) -> Network:
        """The averaged network, in evaluation mode, in channels-first float32."""
        trained: Network = copy.deepcopy(self._average.module)  # type: ignore[assignment]
        return trained.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]


class SmallLoop:
    """Epochs of batches, each epoch in an order of its own that follows from the seed.

    Args:
        count: of what is trained on, at least 1.
        settings: of the training.
        step: called with (steps taken, steps in all).
    """

    def __init__(
        self, count: int, settings: SmallSettings, step: Callable[[int, int], None] | None
    ) -> None:
        self._count, self._settings, self._step = count, settings, step
        self._per_epoch = max(count // settings.batch_size, 1)
        self.steps = settings.epochs * self._per_epoch

    def epochs(
        self, learn: Callable[[NDArray[np.int64], np.random.Generator], Iterable[float]]
    ) -> Iterator[tuple[int, NDArray[np.float64], float]]:
        """Train epoch by epoch.

        Args:
            learn: takes a step on rows, with the epoch's generator; gives figures of it.

        Yields:
            The epoch's number from 0, the mean of each figure over its steps, and when it began.
        """
        for number in range(self._settings.epochs):
            began = time.perf_counter()
            rng = np.random.default_rng([self._settings.seed, number])
            figures = []
            order = rng.permutation(self._count)
            for place, rows in enumerate(np.array_split(order, self._per_epoch)):
                figures.append(tuple(learn(rows, rng)))
                if self._step is not None:
                    self._step(number * self._per_epoch + place + 1, self.steps)
            yield number, np.mean(figures, axis=0), began
