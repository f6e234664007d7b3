"""Splits by patient, stratified by label: nobody's radiographs fall into two splits.

The unit is a group of patients: one patient, or several that share a duplicate radiograph.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pneumoscope.errors import SettingsError

SPLITS = ("train", "val", "test")
EXCLUDED = "excluded"
FRACTIONS = (0.70, 0.15, 0.15)


def check_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    """The shares of train, val and test, checked.

    Raises:
        SettingsError: there are not three, one is negative, train is empty, or they do not add
            up to 1.
    """
    train, val, test = fractions if len(fractions) == 3 else (math.nan,) * 3
    if not (train > 0 and val >= 0 and test >= 0 and math.isclose(train + val + test, 1.0)):
        raise SettingsError(
            f"the split fractions {tuple(fractions)} are not three shares that add up to 1",
            remedy="give train, val and test, for example 0.70 0.15 0.15",
        )
    return float(train), float(val), float(test)


def patient_groups(
    patients: Iterable[str], together: Iterable[Sequence[str]] = ()
) -> dict[str, str]:
    """Group patients that must stay together (union-find).

    Args:
        patients: all patient keys, repeated as one likes.
        together: patients that share something, such as a duplicate radiograph.

    Returns:
        For each patient the key of its group: the smallest patient key in it.
    """
    parent = {patient: patient for patient in patients}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            parent[patient] = parent[parent[patient]]
            patient = parent[patient]
        return patient

    for members in together:
        for other in members[1:]:
            low, high = sorted((root(members[0]), root(other)))
            parent[high] = low
    return {patient: root(patient) for patient in parent}


def groups_of(patients: Sequence[str], digests: Sequence[str]) -> list[str]:
    """The group of each radiograph: its patient, or several patients that share a file.

    Args:
        patients: the patient of each radiograph.
        digests: the file's digest of each; "" where it is not known.
    """
    owners: dict[str, list[str]] = {}
    for digest, patient in zip(digests, patients, strict=True):
        if digest:
            owners.setdefault(digest, []).append(patient)
    found = patient_groups(patients, [sorted(set(own)) for own in owners.values()])
    return [found[patient] for patient in patients]


def majority(groups: Sequence[str], positive: Sequence[bool]) -> dict[str, bool]:
    """Whether most radiographs of each group are positive; a tie counts as positive."""
    balance: Counter[str] = Counter()
    for group, is_positive in zip(groups, positive, strict=True):
        balance[group] += 1 if is_positive else -1
    return {group: count >= 0 for group, count in balance.items()}


def assign_splits(
    strata: Mapping[str, bool],
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 42,
) -> dict[str, str]:
    """Assign each group to a split, each stratum in the same proportions.

    Within a stratum the groups are ordered by a hash of the seed and their key, then cut by the
    fractions. So the result depends on the keys alone: not on the order of files, and not on a
    library's random generator.

    Args:
        strata: for each group its stratum (see `majority`).
        fractions: shares of train, val and test.
        seed: another seed gives another order.

    Returns:
        For each group its split. A stratum of three groups or more has one in every split
        whose fraction is not zero.
    """
    assigned: dict[str, str] = {}
    for stratum in (False, True):
        keys = [group for group, value in strata.items() if value is stratum]
        keys.sort(key=lambda key: (hashlib.sha256(f"{seed}:{key}".encode()).digest(), key))
        start = 0
        for split, count in zip(SPLITS, _counts(len(keys), fractions), strict=True):
            assigned.update(dict.fromkeys(keys[start : start + count], split))
            start += count
    return assigned


def split_rows(
    groups: Sequence[str],
    positive: Sequence[bool],
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 42,
) -> list[str]:
    """The split of each radiograph, given its group and whether it is positive."""
    assigned = assign_splits(majority(groups, positive), fractions=fractions, seed=seed)
    return [assigned[group] for group in groups]


def split_rows_keeping_test(
    groups: Sequence[str],
    positive: Sequence[bool],
    official: Sequence[str],
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 42,
) -> list[str]:
    """The split of each radiograph when the set's own test part stays as it is.

    Val is drawn from the official train and val parts, in the ratio that `fractions` give to the
    two. What lies outside the official test part, but belongs to a group that is also in it, is
    `excluded`; so is what was excluded before.

    Args:
        groups: the group of each radiograph.
        positive: whether it is positive.
        official: the part it comes in: train, val, test or excluded.
        fractions: shares of train, val and test; the last one is not used.
        seed: see `assign_splits`.
    """
    tested = {group for group, part in zip(groups, official, strict=True) if part == "test"}
    kept = [
        part in ("train", "val") and group not in tested
        for group, part in zip(groups, official, strict=True)
    ]
    pool = [(g, p) for g, p, keep in zip(groups, positive, kept, strict=True) if keep]
    whole = fractions[0] + fractions[1]
    assigned = assign_splits(
        majority([g for g, _ in pool], [p for _, p in pool]),
        fractions=(fractions[0] / whole, fractions[1] / whole, 0.0),
        seed=seed,
    )
    return [
        "test" if part == "test" else assigned[group] if keep else EXCLUDED
        for group, part, keep in zip(groups, official, kept, strict=True)
    ]


def _counts(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers in the ratio of `fractions` that add up to `total` (largest remainder)."""
    exact = [total * fraction for fraction in fractions]
    counts = [math.floor(value + 1e-9) for value in exact]
    # Of equal remainders the later one wins: a larger test part means narrower intervals.
    order = sorted(range(len(exact)), key=lambda i: (exact[i] - counts[i], i), reverse=True)
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    wanted = [i for i, fraction in enumerate(fractions) if fraction > 0]
    if total >= len(wanted):
        for i in wanted:
            if counts[i] == 0:
                counts[counts.index(max(counts))] -= 1
                counts[i] += 1
    return counts
