"""What every method returns, and what all of them ask of their input."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pneumoscope.models.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Explanation:
    """Logits (B, 2) and raw maps (B, h, w) >= 0; a zero map means no evidence."""

    logits: Tensor
    maps: Tensor


def require_eval(classifier: Classifier, method: str) -> None:
    """Refuse a classifier in training mode: its batch would explain itself as a whole.

    Raises:
        ValueError: the classifier is in training mode.
    """
    if classifier.training:
        raise ValueError(f"{method} needs the classifier in eval mode: call classifier.eval()")


def chosen(logits: Tensor, targets: Tensor | int) -> Tensor:
    """The logits (N,) of the classes to explain, one class for all or (N,) one for each."""
    if isinstance(targets, int):
        return logits[:, targets]
    return logits.gather(1, targets.to(logits.device)[:, None]).squeeze(1)
