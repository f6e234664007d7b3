"""Folds of a cohort: every radiograph of train and val is tested once, nobody is in two folds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.split import EXCLUDED, groups_of, majority
from pneumoscope.errors import CohortError, SettingsError

LEAST = 3
"""Train, val and test take a fold each."""


def fold_manifests(manifest: Manifest, count: int) -> list[Manifest]:
    """The manifests of a cross-validation.

    In the k-th, fold k is test, the next fold is val and the others are train: val chooses the
    epoch and fits the threshold, so that test stays unseen. The cohort's own test split is left
    out. Patients that share a file stay together. Each label is spread evenly over the folds.

    Args:
        manifest: the cohort; its train and val splits are divided.
        count: of folds, at least 3.

    Raises:
        SettingsError: `count` is below 3.
        CohortError: a label has fewer patients than there are folds.
    """
    if count < LEAST:
        raise SettingsError(
            f"{count} folds are too few: train, val and test take one each",
            remedy=f"give --folds {LEAST} or more",
        )
    table = manifest.table
    pool = table["split"].isin(["train", "val"])
    groups = groups_of(manifest.patients(), list(table["sha256"]))
    fold_of = _folds(
        [group for group, inside in zip(groups, pool, strict=True) if inside],
        (table["label"] == manifest.labels[1])[pool].tolist(),
        count,
        manifest,
    )
    folds = [fold_of[group] if inside else -1 for group, inside in zip(groups, pool, strict=True)]
    return [
        replace(manifest, table=table.assign(split=[_part(fold, k, count) for fold in folds]))
        for k in range(count)
    ]


def _part(fold: int, tested: int, count: int) -> str:
    if fold < 0:
        return EXCLUDED
    return {tested: "test", (tested + 1) % count: "val"}.get(fold, "train")


def _folds(
    groups: Sequence[str], positive: Sequence[bool], count: int, manifest: Manifest
) -> dict[str, int]:
    """The fold of each group: within a label by a hash of the cohort's seed and the group."""
    strata, sizes = majority(groups, positive), Counter(groups)
    found: dict[str, int] = {}
    filled = [0] * count
    for stratum in (True, False):
        keys = [group for group, value in strata.items() if value is stratum]
        if len(keys) < count:
            raise CohortError(
                f"only {len(keys)} patients of train and val are mainly "
                f"{manifest.labels[int(stratum)]}, fewer than {count} folds",
                path=manifest.root,
                remedy="give fewer folds or more radiographs",
            )
        keys.sort(key=lambda key: (hashlib.sha256(f"{manifest.seed}:{key}".encode()).digest(), key))
        taken = [0] * count
        for key in keys:
            # As many groups of the label in each fold as possible, then as many radiographs.
            fold = min(range(count), key=lambda k: (taken[k], filled[k], k))
            found[key], taken[fold] = fold, taken[fold] + 1
            filled[fold] += sizes[key]
    return found
