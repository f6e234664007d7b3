"""Synthetic predictions whose true figures are known in closed form."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from pneumoscope.evaluate import Predictions


def binormal(
    n_patients: int, per_patient: int = 1, shared: float = 0.0, seed: int = 0, decimals: int = 12
) -> Predictions:
    """Scores N(0, 1) for negatives and N(2, 1) for positives, so that 2 x - 2 is the true logit.

    `shared` is the part of the variance that radiographs of one patient have in common.
    `decimals` rounds the score, to make ties.
    """
    rng = np.random.default_rng(seed)
    ill = rng.integers(0, 2, n_patients)
    ill[:2] = 0, 1
    common = np.repeat(rng.normal(0.0, np.sqrt(shared), n_patients), per_patient)
    targets = np.repeat(ill, per_patient)
    own = rng.normal(0.0, np.sqrt(1.0 - shared), targets.size)
    logits = 2.0 * np.round(2.0 * targets + common + own, decimals) - 2.0
    return Predictions(
        images=[f"{row}.png" for row in range(targets.size)],
        patients=[f"p{row // per_patient}" for row in range(targets.size)],
        targets=targets,
        logits=logits,
        probabilities=expit(logits),
    )
