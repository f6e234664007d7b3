"""Two ways of training the same network on the same radiographs: Pneumoscope's and the paper's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from _films import cached_dataset, targets_of
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import DataLoader, Dataset

from pneumoscope.models.classifier import NUM_CLASSES
from pneumoscope.models.heads import build_head
from pneumoscope.models.precision import computes_in_bfloat16
from pneumoscope.models.registry import backbone_record
from pneumoscope.models.weights import pretrained_classifier
from pneumoscope.training.data import train_loader
from pneumoscope.training.module import ClassifierModule, keep_freed_memory
from pneumoscope.training.settings import make_settings

HEAD = "mlp"


class OurWay:
    """A step as `ClassifierModule` takes it in a run.

    Cached uint8 pixels, augmentation of the whole batch, channels-last, `precision` (by default
    bfloat16 where the processor multiplies in it), fused AdamW, the moving average of the weights.
    All layers learn, and the head is the paper's, so that both ways train the same network.
    """

    def __init__(
        self, films: list[Path], backbone: str, size: int, batch: int, precision: str, cache: Path
    ) -> None:
        settings = make_settings(
            backbone=backbone,
            weights="none",
            head=HEAD,
            size=size,
            batch_size=batch,
            schedule="constant",
        )
        classifier, _ = pretrained_classifier(backbone, HEAD, size, "none")
        classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.module = ClassifierModule(classifier, settings, None).train()
        self.optimizer: torch.optim.Optimizer = self.module.configure_optimizers()
        average: Any = get_ema_avg_fn(settings.ema_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.module, avg_fn=average)
        self.bfloat16 = computes_in_bfloat16(precision)
        dataset = cached_dataset(films, size, cache)
        self.batches = endless(train_loader(dataset, batch_size=batch, seed=0, balanced=False))
        # Outside a run there is no trainer to log to.
        warnings.filterwarnings("ignore", ".*trainer. reference is not registered.*")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Freed memory is kept, as during a run."""
        keep_freed_memory(True)
        try:
            yield
        finally:
            keep_freed_memory(False)

    def step(self) -> int:
        batch = next(self.batches)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            loss = self.module.training_step(batch, 0)
        _learn(self.optimizer, loss)
        self.average.update_parameters(self.module)
        return len(batch.targets)


class PaperWay:
    """A step as a usual script takes it, with the protocol of arXiv 2511.00456.

    Float32, the contiguous layout, Adam, and a loader that decodes, resizes and augments one
    radiograph at a time.
    """

    def __init__(
        self, films: list[Path], backbone: str, size: int, batch: int, workers: int
    ) -> None:
        import timm

        record = backbone_record(backbone)
        arguments: dict[str, Any] = dict(record.automatic.options)
        if record.family == "tokens":
            arguments["img_size"] = size
        network = timm.create_model(record.timm_name, num_classes=0, **arguments)
        # MobileNetV3's layer behind the pooling is part of its vector.
        features: Any = getattr(network, "head_hidden_size", None) or network.num_features
        self.network = nn.Sequential(network, build_head(HEAD, features, NUM_CLASSES)).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4, weight_decay=1e-4)
        record_mean, record_std = record.automatic.mean, record.automatic.std
        self.loader = DataLoader(
            _Films(films, usual_transforms(size, record_mean, record_std)),
            batch_size=batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
        )
        self.batches: Iterator[tuple[Tensor, Tensor]] = iter(())

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Loader processes live for the turn only, so that they never work in another way's."""
        self.batches = endless(self.loader)
        try:
            yield
        finally:
            self.batches = iter(())

    def step(self) -> int:
        images, targets = next(self.batches)
        _learn(self.optimizer, F.cross_entropy(self.network(images), targets))
        return len(targets)


class UsualLoader:
    """The paper's way of feeding alone: decoding, resizing, augmenting, batching; no training."""

    def __init__(self, films: list[Path], size: int, batch: int) -> None:
        record = backbone_record("resnet18").automatic
        dataset = _Films(films, usual_transforms(size, record.mean, record.std))
        loader = DataLoader(dataset, batch_size=batch, shuffle=True, drop_last=True)
        self.batches = endless(loader)

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def step(self) -> int:
        return len(next(self.batches)[1])


class _Films(Dataset[tuple[Tensor, int]]):
    def __init__(self, films: list[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.films = films
        self.targets = targets_of(films).tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.films[index]) as image:
            return self.transform(image.convert("RGB")), self.targets[index]


def usual_transforms(
    size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Callable[[Image.Image], Tensor]:
    """The geometric and tonal part of the paper's list, as torchvision does it on a PIL image."""
    # Behind `pneumoscope.models`, which lets it be imported beside torch's CPU build.
    from torchvision import transforms

    chain: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomRotation(15),
            transforms.RandomAffine(0, translate=(0.05, 0.05), scale=(0.9, 1.1)),
            transforms.ColorJitter(brightness=0.2, contrast=0.2),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return chain


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Batches, epoch after epoch."""
    while True:
        yield from loader


def _learn(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad()
