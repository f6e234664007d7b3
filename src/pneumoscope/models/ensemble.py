"""Several classifiers that answer together: the mean of their calibrated log-odds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pneumoscope.bundles.architecture import ENSEMBLE
from pneumoscope.errors import SettingsError
from pneumoscope.models.classifier import Architecture, Classifier, positive_logit


class Ensemble(Classifier):
    """Two logits (negative, positive) from several classifiers with inputs of one size.

    Lakshminarayanan et al., "Deep Ensembles" (arXiv 1612.01474), with log-odds in the place of
    probabilities: z = mean of z_i / temperature_i + bias_i. It has neither features nor a head of
    its own; `localize.Method.explain` explains it by its members.

    Args:
        members: two or more.
        temperatures, biases: each member's calibration.

    Raises:
        SettingsError: the members' inputs differ in size.
    """

    def __init__(
        self, members: Sequence[Classifier], temperatures: Sequence[float], biases: Sequence[float]
    ) -> None:
        nn.Module.__init__(self)
        own = [member.architecture for member in members]
        if len({each.size for each in own}) != 1:
            raise SettingsError("the members of an ensemble see inputs of different sizes")
        first, heads = own[0], {each.head for each in own}
        head = first.head if len(heads) == 1 else "several heads"
        self.architecture = Architecture(ENSEMBLE, head, first.size, first.mean, first.std)
        self.temperatures, self.biases = tuple(temperatures), tuple(biases)
        self._members = nn.ModuleList(members)
        self.register_buffer("mean", members[0].mean.clone(), persistent=False)

    @property
    def members(self) -> list[Classifier]:
        """The classifiers."""
        return [member for member in self._members if isinstance(member, Classifier)]

    def combined(self, logits: Sequence[Tensor]) -> Tensor:
        """The members' log-odds (B,), before their calibration, to the ensemble's (B,)."""
        calibrated = [
            logit / temperature + bias
            for logit, temperature, bias in zip(logits, self.temperatures, self.biases, strict=True)
        ]
        return torch.stack(calibrated).mean(dim=0)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, size, size) to logits (B, 2)."""
        return both(self.combined([positive_logit(member(pixels)) for member in self.members]))


def both(log_odds: Tensor) -> Tensor:
    """Log-odds (B,) of the positive class to logits (B, 2), half of them each way."""
    return torch.stack([-log_odds / 2, log_odds / 2], dim=1)
