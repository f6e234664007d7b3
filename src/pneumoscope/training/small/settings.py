"""What the settings of the small networks, gate and lungs, have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar, Self

from pneumoscope.errors import SettingsError


@dataclass(frozen=True, slots=True)
class SmallSettings:
    """How a small network is trained.

    Args:
        side: side of the network's square input in pixels, a multiple of `multiple`.
        stored_side: side at which decoded radiographs wait, at least `side`.
        epochs: passes over train.
        batch_size: radiographs per step.
        learning_rate: AdamW's highest; warm-up over a twentieth of the steps, then a cosine.
        seed: of weights, order and augmentation.

    Raises:
        SettingsError: a value is out of range.
    """

    multiple: ClassVar[int]

    side: int
    stored_side: int
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int

    def __post_init__(self) -> None:
        least = self.multiple
        if self.side < least or self.side % least or self.stored_side < self.side:
            raise SettingsError(
                f"an input of {self.side} pixels does not fit radiographs of {self.stored_side}",
                remedy=f"give a multiple of {least}, not above stored_side",
            )
        if min(self.epochs, self.batch_size) < 1 or self.learning_rate <= 0:
            raise SettingsError(
                "epochs, batch size and learning rate must be positive",
                remedy="give --epochs 1 or more",
            )

    @classmethod
    def of(cls, **given: int | None) -> Self:
        """The defaults, but for what is given; None is not."""
        return cls(**{name: value for name, value in given.items() if value is not None})

    def to_dict(self) -> dict[str, int | float]:
        """As plain JSON."""
        return asdict(self)
