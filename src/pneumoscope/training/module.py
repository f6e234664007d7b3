"""One training step and one validation epoch, as a LightningModule."""

from __future__ import annotations

# First: it makes torchvision importable beside torch's CPU build, and Lightning imports it.
import pneumoscope.models  # noqa: F401

# isort: split
import ctypes
import math
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, cast

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from pneumoscope.errors import RunError
from pneumoscope.evaluate.discrimination import sets_of_both_classes
from pneumoscope.models.backbones import QuickOnProcessors
from pneumoscope.models.classifier import Classifier, positive_logit
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.training.augment import augmentation
from pneumoscope.training.data import Batch
from pneumoscope.training.data_parallel import gathered, in_whole_batch, own_rows, process_count
from pneumoscope.training.frozen import FrozenEarly, frozen_early
from pneumoscope.training.loss import FocalLoss, outside_lungs, taught_cells
from pneumoscope.training.parameters import parameter_groups
from pneumoscope.training.settings import TrainingSettings


class ClassifierModule(lightning.LightningModule):
    """Trains a `Classifier` by the settings.

    Every random draw of a batch is seeded by (seed, batch), so that a resumed run draws the same.

    Args:
        classifier: to train.
        settings: of the run.
        alpha: (2,) weight of each class in the loss, (F, 2) of several findings; None for 1.
        val_sets: the set that each val radiograph is of; None for one set. Each set counts alike in
            the val ROC-AUC.

    Each finding beyond the first has a sibling of the classifier, with a head of its own. Loss and
    val figures are means over findings.
    """

    def __init__(
        self,
        classifier: Classifier,
        settings: TrainingSettings,
        alpha: Tensor | None,
        val_sets: NDArray[np.str_] | None = None,
    ) -> None:
        super().__init__()
        self._val_sets = val_sets
        self.classifier = classifier
        self.siblings = nn.ModuleList(classifier.sibling() for _ in range(settings.heads - 1))
        self.settings = settings
        alphas = [None] * settings.heads if alpha is None else alpha.reshape(settings.heads, 2)
        self.losses = nn.ModuleList(FocalLoss(settings.focal_gamma, each) for each in alphas)
        self.augment = augmentation(
            settings.augmentation, settings.mirror, settings.hide_outside, settings.amounts
        )
        self._val: list[tuple[Tensor, Tensor]] = []
        self._frozen = classifier.backbone.early_layers() if settings.keeps_early else []
        for layer in self._frozen:
            layer.requires_grad_(False)
        self._early: FrozenEarly | None = None

    @property
    def classifiers(self) -> list[Classifier]:
        """One for each finding, in their order; all share one backbone."""
        return [self.classifier, *(cast(Classifier, each) for each in self.siblings)]

    def train(self, mode: bool = True) -> Self:
        """Switch to training; frozen layers keep their statistics, too."""
        super().train(mode)
        for layer in self._frozen:
            layer.eval()
        return self

    def on_fit_start(self) -> None:
        """Keep what a step frees for the next one; let onnxruntime run frozen layers on the CPU."""
        keep_freed_memory(True)
        self._early = self.frozen_stand_in()

    def frozen_stand_in(self) -> FrozenEarly | None:
        """What computes the frozen layers in float32 on a CPU; None where torch does."""
        in_float32 = not computes_in_bfloat16(self.settings.precision)
        if self._frozen and self.device.type == "cpu" and in_float32:
            return frozen_early(self.classifier.backbone, self.settings.size)
        return None

    def on_fit_end(self) -> None:
        """Give the memory back."""
        keep_freed_memory(False)
        self._early = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch of uint8 pixels (B, 1, H, W)."""
        count = self.settings.accumulate
        drawn = self.global_step * count + batch_idx % count
        loss = self.batch_loss(batch, self.settings.seed * 1_000_003 + drawn)
        count = len(batch.targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)
        return loss

    def batch_loss(self, batch: Batch, seed: int) -> Tensor:
        """Loss of this process' rows of a batch, augmented as the seed says."""
        torch.manual_seed(seed)
        # In bfloat16 resampling loses what it moves, and some of its steps give no numbers at all.
        with torch.autocast(self.device.type, enabled=False):
            pixels, guides = self.augment(batch.pixels, batch.guides)
        moved = batch._replace(pixels=pixels, guides=guides)
        quick = QuickOnProcessors() if self.device.type == "cpu" else nullcontext()
        with quick, self._frozen_applied():
            return self._loss(moved, own_rows(len(pixels)))

    def _loss(self, batch: Batch, rows: slice) -> Tensor:
        """Loss of this process' rows; the mean over processes is that of the whole batch."""
        features = self.classifier.features(batch.pixels[rows])
        weights = None if batch.weights is None else batch.weights[rows]
        columns = by_finding(batch.targets[rows], weights)
        parts = [
            self._finding_loss(classifier, loss, features, column, batch, rows)
            for classifier, loss, column in zip(self.classifiers, self.losses, columns, strict=True)
        ]
        return torch.stack(parts).mean()

    def _finding_loss(
        self,
        classifier: Classifier,
        loss: nn.Module,
        features: Tensor,
        column: tuple[Tensor, Tensor | None],
        batch: Batch,
        rows: slice,
    ) -> Tensor:
        targets, weights = column
        guides = batch.guides
        if guides is None:
            plain: Tensor = loss(classifier.classify(features), targets, weights)
            return plain
        cells = classifier.cells_of(features)
        guided: Tensor = loss(classifier.pooled(cells), targets, weights)
        # A part of the sum over the whole batch's lungs: other processes' cells, at -inf, are
        # surely healthy.
        whole = in_whole_batch(cells, len(guides), -math.inf)
        outside = process_count() * outside_lungs(whole, guides[:, :1])
        guided = guided + self.settings.lung_guidance * outside
        if not self.settings.taught:
            return guided
        taught = taught_cells(cells, guides[rows], targets, (guides, batch.targets))
        return guided + self.settings.cell_guidance * process_count() * taught

    def _frozen_applied(self) -> AbstractContextManager[None]:
        return nullcontext() if self._early is None else self._early.applied()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect logits; the figures are those of the whole val split."""
        rows = own_rows(len(batch.pixels))
        pixels, targets = batch.pixels[rows], batch.targets[rows]
        if not len(pixels):
            # Several processes share a last batch of very few.
            self._val.append((torch.empty(0, len(self.classifiers), 2), targets.cpu()))
            return
        with self._frozen_applied():
            logits = self._logits(pixels)
            if self.settings.mirror:
                logits = (logits + self._logits(pixels.flip(-1))) / 2
        self._val.append((logits.cpu(), targets.cpu()))

    def log_odds(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, size, size) to the log-odds (B, F) of each finding."""
        return positive_logit(self._logits(pixels).flatten(0, 1)).view(len(pixels), -1)

    def _logits(self, pixels: Tensor) -> Tensor:
        """Logits (B, F, 2) of all findings, float32."""
        if not self.siblings:
            return self.classifier(pixels).float()[:, None]  # type: ignore[no-any-return]
        features = self.classifier.features(pixels)
        return torch.stack([each.classify(features).float() for each in self.classifiers], dim=1)

    def on_validation_epoch_end(self) -> None:
        """Log val loss, accuracy at probability .5 and ROC-AUC; means over findings."""
        # Batch by batch, and in each the processes' rows in their order.
        parts = [part for batch in zip(*gathered(self._val), strict=True) for part in batch]
        logits = torch.cat([part for part, _ in parts])
        targets = torch.cat([part for _, part in parts])
        self._val.clear()
        if not torch.isfinite(logits).all():
            raise RunError(
                "training diverged: the network's output became NaN",
                remedy="lower the learning rate: --set learning_rate=...",
            )
        rows = [
            self._figures(loss, logits[:, number], column)
            for number, (loss, column) in enumerate(
                zip(self.losses, targets.reshape(len(targets), -1).unbind(1), strict=True)
            )
        ]
        self.log_dict({name: float(np.mean([row[name] for row in rows])) for name in rows[0]})

    def _figures(self, loss: nn.Module, logits: Tensor, targets: Tensor) -> dict[str, float]:
        """Figures of one finding on those val radiographs of which it is known."""
        known = targets >= 0
        logits, targets = logits[known], targets[known]
        sets = None if self._val_sets is None else self._val_sets[known.numpy()]
        score = positive_logit(logits)
        return {
            "val_loss": float(loss(logits.to(self.device), targets.to(self.device))),
            "val_accuracy": float(((score > 0).long() == targets).float().mean()),
            "val_roc_auc": mean_roc_auc(targets.numpy(), score.numpy(), sets),
        }

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of all heads and of what learns of the backbone."""
        settings = self.settings
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        heads = [each.head for each in self.classifiers[1:]]
        groups = parameter_groups(self.classifier, settings, heads)
        return kind(groups, lr=settings.learning_rate, fused=True)

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule per step."""
        settings, optimizer = self.settings, self.make_optimizer()
        if settings.schedule == "constant":
            return optimizer
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, total, settings.warmup)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def by_finding(targets: Tensor, weights: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Class indices (B,) and weights (B,) of each finding; what is not known weighs nothing.

    Args:
        targets: (B,) of one finding; (B, F) of several, -1 where one is not known.
        weights: (B,) of the radiographs; None for 1.
    """
    if targets.dim() == 1:
        yield targets, weights
        return
    for column in targets.unbind(1):
        known = (column >= 0).float()
        yield column.clamp(min=0), known if weights is None else known * weights


def mean_roc_auc(
    targets: NDArray[np.int64], scores: NDArray[np.floating[Any]], sets: NDArray[np.str_] | None
) -> float:
    """ROC-AUC, or the mean of those of the sets that hold both classes.

    Pooled over sets, the figure would rather say which set a radiograph is of: sets differ in how
    many are ill.
    """
    parts = sets_of_both_classes(targets, sets) or [np.arange(len(targets))]
    return float(np.mean([roc_auc_score(targets[rows], scores[rows]) for rows in parts]))


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Factor on the learning rate: linear rise over `warmup * total` steps, cosine fall to .01."""
    rise = max(round(warmup * total), 1)
    if step < rise:
        return (step + 1) / rise
    progress = min((step - rise) / max(total - rise, 1), 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


# Parameters of mallopt(3), from glibc's malloc.h, and the values its defaults grow to.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_GROWN = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 65536}


def keep_freed_memory(keep: bool) -> None:
    """Whether glibc keeps memory this process frees, or gives it back to the system at once.

    Every step frees and takes the same gigabytes; fetched anew from the system, each page of them
    is cleared first. Keeping them needs no more memory than a step does. Does nothing where there
    is no glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    values = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0} if keep else _GROWN
    for parameter, value in values.items():
        libc.mallopt(parameter, value)
    if not keep:
        libc.malloc_trim(0)
