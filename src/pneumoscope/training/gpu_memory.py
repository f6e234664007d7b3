"""Whether a batch fits into the GPU's memory, found out before anything is decoded."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from pneumoscope.errors import RunError
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.training.data import Batch
from pneumoscope.training.devices import Processes
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.settings import TrainingSettings

_GUIDE = 64


def check_memory(classifier: Classifier, settings: TrainingSettings, processes: Processes) -> None:
    """Try one step of the run on this process' GPU; without a GPU do nothing.

    A cohort may take half an hour to decode, which would be lost if the first step failed.

    Args:
        classifier: to be trained; it stays as it is.
        settings: of the run.
        processes: those of the run, each with a GPU and an equal share of a batch.

    Raises:
        RunError: the step does not fit; says which batch does.
    """
    if not torch.cuda.is_available():
        return
    device = torch.device("cuda", processes.local_rank or 0)
    fitting = largest_batch(classifier, settings, device, processes.size)
    if fitting == settings.batch_size:
        return
    free, total = (amount / 2**30 for amount in torch.cuda.mem_get_info(device))
    remedy = "choose a smaller --set size=..., or another backbone"
    if fitting:
        times = -(-settings.batch_size // fitting)
        remedy = f"--set batch_size={fitting} --set accumulate={times * settings.accumulate}"
    raise RunError(
        f"a batch of {settings.batch_size} radiographs of {settings.size} px does not fit into the "
        f"memory of GPU {device.index} ({free:.1f} of {total:.1f} GiB are free)",
        remedy=remedy,
    )


def largest_batch(
    classifier: Classifier, settings: TrainingSettings, device: torch.device, processes: int = 1
) -> int:
    """The batch of which a step fits: the settings', or a half, a quarter, ... of it; 0 for none.

    Args:
        classifier: to be trained; it stays as it is, and so do torch's random numbers.
        settings: of the run.
        device: which one's memory counts.
        processes: that share the batch.
    """
    count = settings.batch_size
    while count >= max(2, processes):
        try:
            with torch.random.fork_rng():
                _step(copy.deepcopy(classifier), settings, device, count)
            return count
        except torch.OutOfMemoryError:
            count = count // 2 // processes * processes
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return 0


def _step(
    classifier: Classifier, settings: TrainingSettings, device: torch.device, count: int
) -> None:
    """One step with all that it keeps in memory, of a batch of black radiographs."""
    module = ClassifierModule(classifier, settings, None).to(device).train()
    optimizer = module.make_optimizer()
    low = computes_in_bfloat16(settings.precision)
    with torch.autocast(device.type, torch.bfloat16, enabled=low):
        loss = module.batch_loss(_black(settings, device, count), seed=0)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _black(settings: TrainingSettings, device: torch.device, count: int) -> Batch:
    shape = (count, 1, settings.size, settings.size)
    pixels = torch.zeros(shape, dtype=torch.uint8, device=device)
    targets = torch.arange(count, device=device) % 2
    if settings.several:
        targets = targets[:, None].expand(-1, settings.heads)
    guides: Tensor | None = None
    if settings.guided:
        guides = torch.ones(count, 1 + settings.taught, _GUIDE, _GUIDE, device=device)
    return Batch(pixels, targets, guides)
