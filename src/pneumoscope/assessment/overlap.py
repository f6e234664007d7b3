"""What an evaluated cohort shares with the radiographs that a bundle was made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import BundleInfo
from pneumoscope.bundles.seen import SPLITS, TUNED_ON
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.evaluate import Predictions, classification_report


class Shared:
    """Which radiographs, and which patient keys, a cohort shares with a bundle.

    Args:
        patients: of each radiograph.
        by_content: the bundle's split that holds each radiograph's file; None where none does.
        by_patient: the split that holds each radiograph's patient key; None where none does.
    """

    def __init__(
        self,
        patients: Sequence[str],
        by_content: Sequence[str | None],
        by_patient: Sequence[str | None],
    ) -> None:
        self._patients, self._by_content, self._by_patient = patients, by_content, by_patient
        self.unseen = _outside(by_content)
        """bool (n,): which files are neither in train nor in val."""
        self.of_others = self.unseen & _outside(by_patient)
        """bool (n,): of these, whose patient key is neither in train nor in val."""

    def counts(self) -> dict[str, Any]:
        """Radiographs and patient keys by the bundle's split, as `metrics.json` has them."""
        radiographs = Counter(self._by_content)
        known = set(zip(self._patients, self._by_patient, strict=True))
        patients = Counter(split for _, split in known)
        return {
            "radiographs": {split: radiographs[split] for split in SPLITS},
            "patients": {split: patients[split] for split in SPLITS},
            "same_patient_key": int((self.unseen & ~self.of_others).sum()),
        }


def shared(info: BundleInfo, manifest: Manifest, digests: Sequence[str]) -> Shared | None:
    """What these radiographs share with the bundle's own; None if the bundle has no list.

    Args:
        info: of the bundle.
        manifest: the radiographs.
        digests: hex SHA-256 of each file as it is now.
    """
    if info.seen is None:
        return None
    keys = manifest.patient_keys()
    films, patients = info.seen.splits_of_radiographs(digests), info.seen.splits_of_patients(keys)
    return Shared(manifest.patients(), films, patients)


def overlap_figures(found: Shared | None, predictions: Predictions, threshold: float) -> Any:
    """The counts of `found`, and the figures of what the model had not seen; None without a list.

    Args:
        found: what the radiographs share with the bundle.
        predictions: of the same radiographs, in the same order.
        threshold: the bundle's.
    """
    if found is None:
        return None
    return {
        **found.counts(),
        "rest": _figures(predictions, found.unseen, threshold),
        "rest_of_other_patients": _figures(predictions, found.of_others, threshold),
    }


def _outside(splits: Sequence[str | None]) -> NDArray[np.bool_]:
    return np.array([split not in TUNED_ON for split in splits], dtype=bool)


def _figures(
    predictions: Predictions, chosen: NDArray[np.bool_], threshold: float
) -> dict[str, Any]:
    """Counts of the chosen radiographs; figures unless they are all, or none."""
    patients = {each for each, kept in zip(predictions.patients, chosen, strict=True) if kept}
    counts = {"n": int(chosen.sum()), "n_patients": len(patients)}
    if chosen.all() or not chosen.any():
        return counts
    figures = classification_report(predictions.only(chosen), threshold).to_dict()
    return {
        **counts,
        "classification": figures["classification"],
        "confusion": figures["confusion"],
    }
