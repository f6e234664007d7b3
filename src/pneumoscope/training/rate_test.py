"""The learning-rate test (Smith, arXiv 1506.01186): raise the rate, and see where the loss falls.

Nothing of it is kept: no weights, no run.
"""

from __future__ import annotations

# First: it makes torchvision importable beside torch's CPU build, and Lightning imports it.
import pneumoscope.models  # noqa: F401

# isort: split
import logging
import tempfile
import warnings
from dataclasses import dataclass, field
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import RunError
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.training.cache import Progress
from pneumoscope.training.data_parallel import World
from pneumoscope.training.devices import Processes
from pneumoscope.training.listener import RunListener
from pneumoscope.training.runner import check_split, prepare_run, relabelled, views_of
from pneumoscope.training.settings import TrainingSettings

LOWEST, HIGHEST, STEPS = 1e-6, 1e-1, 100
# The first losses say nothing yet, and the test ends where the loss is so many times its lowest.
_FIRST, _EXPLODED = 10, 4.0
_MOMENTUM = 0.95
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class RateTest:
    """What the test saw.

    Attributes:
        rates: (steps,) learning rates of the head, rising; fewer than `STEPS` if the loss exploded.
        losses: (steps,) loss at each, smoothed by a moving average.
        fastest: the rate at which the loss falls most steeply.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    fastest: float


def find_learning_rate(
    manifest: Manifest, settings: TrainingSettings, listener: RunListener | None = None
) -> RateTest:
    """Train for `STEPS` steps while the rate rises from `LOWEST` to `HIGHEST`.

    Args:
        manifest: of which train is used.
        settings: of the run to come; schedule, epochs and learning rate do not matter.
        listener: hears of decoding, lungs, teaching and steps.

    Raises:
        RunError: train holds one class only, or the loss never falls.
    """
    listener = listener or RunListener()
    for view in views_of(relabelled(manifest, settings), settings):
        check_split(view, "train")
    settings = settings.model_copy(update={"schedule": "constant", "learning_rate": LOWEST})
    ready = prepare_run(manifest, settings, listener, World(Processes()))
    raising = _Raising(listener.step)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            default_root_dir=folder,
            devices=1,
            max_steps=STEPS,
            limit_val_batches=0,
            callbacks=[raising],
            accumulate_grad_batches=settings.accumulate,
            precision="bf16-mixed" if computes_in_bfloat16(settings.precision) else "32-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(ready.module, ready.batches)
    return _judged(np.array(raising.rates), np.array(raising.losses))


def _judged(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> RateTest:
    slopes = np.gradient(losses, np.log(rates))[_FIRST:] if len(rates) > _FIRST + 2 else np.ones(1)
    if not slopes.min() < -_ROUNDING * abs(losses[0]):
        raise RunError(
            "the loss fell at no learning rate", remedy="start from other weights, or train longer"
        )
    return RateTest(rates, losses, float(rates[_FIRST + int(slopes.argmin())]))


@dataclass
class _Raising(Callback):
    """Raises the rate at every step, and ends the training once the loss explodes."""

    listener: Progress | None
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    _mean: float = 0.0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Keep the smoothed loss, corrected for its start at zero as Adam's averages are.

        Every layer's rate rises by the same factor, so that layers differ as `layer_decay` says.
        """
        if trainer.global_step == len(self.rates):  # Gradients are still being collected.
            return
        # Lightning divides the loss by how many batches a step collects.
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        self._mean = _MOMENTUM * self._mean + (1 - _MOMENTUM) * loss
        factor = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
        self.rates.append(LOWEST * factor ** len(self.rates))
        for group in trainer.optimizers[0].param_groups:
            group["lr"] *= factor
        self.losses.append(self._mean / (1 - _MOMENTUM ** len(self.rates)))
        if self.listener is not None:
            self.listener(len(self.rates), STEPS)
        if not self.losses[-1] <= _EXPLODED * min(self.losses):
            trainer.should_stop = True
