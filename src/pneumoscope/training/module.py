"""One training step and one validation epoch, as a LightningModule."""

from __future__ import annotations

import ctypes
import math
import platform
from contextlib import nullcontext
from typing import Any, Self

import lightning
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pneumoscope.errors import RunError
from pneumoscope.models.backbones import QuickOnProcessors
from pneumoscope.models.classifier import Classifier, positive_logit
from pneumoscope.models.heads import RegionalHead
from pneumoscope.training.augment import augmentation
from pneumoscope.training.data import Batch
from pneumoscope.training.loss import FocalLoss, outside_lungs
from pneumoscope.training.settings import TrainingSettings
from pneumoscope.training.world import gathered, in_whole_batch, own_rows, process_count


class ClassifierModule(lightning.LightningModule):
    """Trains a `Classifier` by the settings.

    Every random draw of a step is seeded by (seed, step), so that a resumed run draws the same.
    """

    def __init__(
        self, classifier: Classifier, settings: TrainingSettings, alpha: Tensor | None
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.settings = settings
        self.loss = FocalLoss(settings.focal_gamma, alpha)
        self.augment = augmentation(settings.augmentation, settings.mirror, settings.hide_outside)
        self._val: list[tuple[Tensor, Tensor]] = []
        self._frozen = classifier.backbone.early_layers() if settings.keeps_early else []
        for layer in self._frozen:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Switch to training; frozen layers keep their statistics, too."""
        super().train(mode)
        for layer in self._frozen:
            layer.eval()
        return self

    def on_fit_start(self) -> None:
        """Keep what a step frees for the next one."""
        keep_freed_memory(True)

    def on_fit_end(self) -> None:
        """Give the memory back."""
        keep_freed_memory(False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch of uint8 pixels (B, 1, H, W)."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)
        # In bfloat16 resampling loses what it moves, and some of its steps give no numbers at all.
        with torch.autocast(self.device.type, enabled=False):
            pixels, lungs = self.augment(batch.pixels, batch.lungs)
        rows = own_rows(len(pixels))
        with QuickOnProcessors() if self.device.type == "cpu" else nullcontext():
            loss = self._loss(pixels[rows], batch.targets[rows], lungs)
        count = len(batch.targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)
        return loss

    def _loss(self, pixels: Tensor, targets: Tensor, lungs: Tensor | None) -> Tensor:
        """Loss of this process' rows; the mean over processes is that of the whole batch."""
        if lungs is None:
            plain: Tensor = self.loss(self.classifier(pixels), targets)
            return plain
        cells = self.classifier.cells(pixels)
        guided: Tensor = self.loss(RegionalHead.pool(cells), targets)
        # A part of the sum over the whole batch's lungs: other processes' cells, at -inf, are
        # surely healthy.
        whole = in_whole_batch(cells, len(lungs), -math.inf)
        outside = process_count() * outside_lungs(whole, lungs)
        return guided + self.settings.lung_guidance * outside

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect logits; the figures are those of the whole val split."""
        rows = own_rows(len(batch.pixels))
        pixels, targets = batch.pixels[rows], batch.targets[rows]
        if not len(pixels):
            # Several processes share a last batch of very few.
            self._val.append((torch.empty(0, 2), targets.cpu()))
            return
        logits = self.classifier(pixels).float()
        if self.settings.mirror:
            logits = (logits + self.classifier(pixels.flip(-1)).float()) / 2
        self._val.append((logits.cpu(), targets.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log val loss, accuracy at probability .5 and ROC-AUC."""
        # Batch by batch, and in each the processes' rows in their order.
        parts = [part for batch in zip(*gathered(self._val), strict=True) for part in batch]
        logits = torch.cat([part for part, _ in parts])
        targets = torch.cat([part for _, part in parts])
        self._val.clear()
        if not torch.isfinite(logits).all():
            raise RunError(
                "training diverged: the network's answers are no numbers any more",
                remedy="lower the learning rate: --set learning_rate=...",
            )
        score = positive_logit(logits)
        figures = {
            "val_loss": float(self.loss(logits.to(self.device), targets.to(self.device))),
            "val_accuracy": float(((score > 0).long() == targets).float().mean()),
            "val_roc_auc": float(roc_auc_score(targets.numpy(), score.numpy())),
        }
        self.log_dict(figures)

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule per step."""
        settings = self.settings
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        # Decay pulls weights of layers towards zero; of normalisation and bias it only distorts.
        # Adam's decay is the paper's and covers everything.
        spare = settings.optimizer == "adamw"
        parameters = [p for p in self.classifier.parameters() if p.requires_grad]
        groups = [
            {
                "params": [p for p in parameters if p.ndim > 1 or not spare],
                "weight_decay": settings.weight_decay,
            },
            {"params": [p for p in parameters if p.ndim <= 1 and spare], "weight_decay": 0.0},
        ]
        optimizer = kind([g for g in groups if g["params"]], lr=settings.learning_rate, fused=True)
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
