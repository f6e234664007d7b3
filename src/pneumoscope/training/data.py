"""Batches from cached pixels, in an order that depends only on the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler


class Batch(NamedTuple):
    """What a step trains on.

    Attributes:
        pixels: (B, 1, size, size) uint8.
        targets: (B,) class indices; (B, F) of several findings, -1 where one is not known.
        guides: (B, C, g, g) uint8 if the settings need them: 255 times the probability of lung
            and, with a teacher, 255 times its map.
        weights: (B,) weight of each radiograph in the loss; None for 1.
    """

    pixels: Tensor
    targets: Tensor
    guides: Tensor | None = None
    weights: Tensor | None = None


class PixelDataset(Dataset[Batch]):
    """Pixels (N, size, size) uint8 and targets (N,) or (N, F), fetched a whole batch at a time.

    `guides` are (N, C, g, g) uint8 and `weights` (N,), both as `Batch` has them.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        targets: NDArray[np.int64],
        guides: NDArray[np.uint8] | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        self.pixels = pixels
        self.guides = guides
        self.weights = weights
        self.targets = torch.from_numpy(np.asarray(targets, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The radiographs of these rows."""
        rows = np.asarray(indices)
        guides = None if self.guides is None else torch.from_numpy(self.guides[rows])
        weights = None if self.weights is None else torch.from_numpy(self.weights[rows])
        pixels = torch.from_numpy(self.pixels[rows][:, None])
        return Batch(pixels, self.targets[torch.from_numpy(rows)], guides, weights)


class EpochSampler(Sampler[int]):
    """A fresh order every epoch, drawn from (seed, epoch) alone, so that a resumed run repeats it.

    Args:
        targets: (N,) class indices.
        seed: any integer.
        balanced: draw with replacement, each class equally often, instead of shuffling.
        draws: (N,) how often each is drawn in an epoch on average, N in all; None for once.
    """

    def __init__(
        self,
        targets: NDArray[np.int64],
        seed: int,
        balanced: bool,
        draws: NDArray[np.float64] | None = None,
    ) -> None:
        self.targets = targets
        self.seed = seed
        self.balanced = balanced
        self.draws = draws
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.targets)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.balanced:
            frequency = np.bincount(self.targets)[self.targets]
            weights = (1 / frequency) / (1 / frequency).sum()
            order = rng.choice(len(self.targets), size=len(self.targets), p=weights)
        elif self.draws is not None:
            # Systematic sampling: one of 2.3 draws comes twice or three times, never less or more.
            order = rng.permutation(len(self.targets))
            places = np.cumsum(self.draws[order])
            places *= len(order) / places[-1]
            times = np.diff(np.floor(places + rng.random()), prepend=0).astype(np.intp)
            order = rng.permutation(np.repeat(order, times))
        else:
            order = rng.permutation(len(self.targets))
        return iter(order.tolist())


def even_draws(groups: Sequence[object], evenness: float) -> NDArray[np.float64]:
    """How often each radiograph is drawn in an epoch, so that small groups are seen more often.

    A group of n radiographs has a share of n^(1 - evenness) in the draws, as languages have where
    one model is trained on many (Arivazhagan et al. 2019, arXiv 1907.05019).

    Args:
        groups: of N radiographs, what group each is of.
        evenness: 0 draws each radiograph equally often, 1 each group.

    Returns:
        (N,) above 0, N in all.
    """
    _, group, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    weights = sizes[group].astype(np.float64) ** -evenness
    draws: NDArray[np.float64] = weights * (len(weights) / weights.sum())
    return draws


def train_loader(
    dataset: PixelDataset,
    *,
    batch_size: int,
    seed: int,
    balanced: bool,
    draws: NDArray[np.float64] | None = None,
) -> DataLoader[Batch]:
    """Batches for training; the last, smaller one is dropped, for batch normalisation's sake."""
    sampler = EpochSampler(dataset.targets.numpy(), seed, balanced, draws)
    return DataLoader(
        dataset,
        batch_size=min(batch_size, len(dataset)),
        sampler=sampler,
        drop_last=True,
        collate_fn=_as_fetched,
    )


def plain_loader(dataset: PixelDataset, *, batch_size: int) -> DataLoader[Batch]:
    """All radiographs once, in order."""
    return DataLoader(dataset, batch_size=batch_size, collate_fn=_as_fetched)


def _as_fetched(batch: object) -> Batch:
    return cast(Batch, batch)
