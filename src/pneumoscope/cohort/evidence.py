"""What a scan found, counted into an `Audit`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from pneumoscope.cohort.audit import Audit, Count, DuplicateGroup, Part, Unreadable
from pneumoscope.cohort.layout import OFFICIAL
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import SIZE_COLUMNS
from pneumoscope.cohort.patients import Rule
from pneumoscope.cohort.split import EXCLUDED, SPLITS

_LARGE = 50
_DOMINANT = 0.2


@dataclass(frozen=True)
class Evidence:
    """What a scan knows beside the manifest; indices are rows of its table.

    Args:
        rules: the rule that named each radiograph's patient.
        groups: the split group of each radiograph.
        byte_groups: rows with equal files.
        near_groups: rows with equal pictures, and their smallest similarity.
        unreadable: files left out of the manifest.
        ignored: files and folders not looked at.
        patterned: whether a patient pattern was given.
        left_out: radiographs of a table of the field that are not used, by reason.
        recognised: what that table is.
    """

    rules: Sequence[Rule]
    groups: Sequence[str]
    byte_groups: Sequence[Sequence[int]]
    near_groups: Sequence[tuple[Sequence[int], float]]
    unreadable: Sequence[Unreadable]
    ignored: Sequence[str]
    patterned: bool
    left_out: dict[str, int] = field(default_factory=dict)
    recognised: str = ""


def make_audit(manifest: Manifest, evidence: Evidence) -> Audit:
    """Count what was found, and say what a person should know before training."""
    table = manifest.table
    duplicates = (
        *(_group(table, "byte", rows, 1.0) for rows in evidence.byte_groups),
        *(_group(table, "near", rows, least) for rows, least in evidence.near_groups),
    )
    by_split = {
        split: _part(table[table["split"] == split], manifest.labels)
        for split in (*SPLITS, EXCLUDED)
        if split != EXCLUDED or (table["split"] == EXCLUDED).any()
    }
    overlap = _official_overlap(table)
    mixed = table.groupby("patient")["label"].nunique()
    return Audit(
        total=_count(table),
        by_label=_part(table, manifest.labels).by_label,
        by_split=by_split,
        identity=dict(Counter(evidence.rules).most_common()),
        duplicates=duplicates,
        merged_patients=_merged(table, evidence.groups),
        mixed_patients=tuple(sorted(str(patient) for patient in mixed[mixed > 1].index)),
        official_overlap=overlap,
        sizes={label: _sizes(table[table["label"] == label]) for label in manifest.labels},
        unreadable=tuple(evidence.unreadable),
        ignored=tuple(evidence.ignored),
        warnings=(
            *_identity_warnings(table, evidence),
            *_duplicate_warnings(duplicates),
            *_split_warnings(by_split, overlap),
            *_file_warnings(evidence),
            *_size_warnings(table),
        ),
        left_out=dict(evidence.left_out),
        recognised=evidence.recognised,
    )


def _count(rows: pd.DataFrame) -> Count:
    return Count(len(rows), int(rows["patient"].nunique()))


def _part(rows: pd.DataFrame, labels: tuple[str, str]) -> Part:
    return Part(_count(rows), {label: _count(rows[rows["label"] == label]) for label in labels})


def _group(
    table: pd.DataFrame, kind: Literal["byte", "near"], rows: Sequence[int], similarity: float
) -> DuplicateGroup:
    members = table.iloc[list(rows)]

    def distinct(column: str) -> tuple[str, ...]:
        return tuple(sorted(set(members[column]))) if column in members.columns else ()

    return DuplicateGroup(
        kind=kind,
        images=tuple(sorted(members["image"])),
        patients=distinct("patient"),
        labels=distinct("label"),
        official=distinct(OFFICIAL),
        splits=distinct("split"),
        similarity=similarity,
    )


def _merged(table: pd.DataFrame, groups: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    members: dict[str, set[str]] = defaultdict(set)
    for patient, group in zip(table["patient"], groups, strict=True):
        members[group].add(str(patient))
    return tuple(tuple(sorted(members[key])) for key in sorted(members) if len(members[key]) > 1)


def _official_overlap(table: pd.DataFrame) -> tuple[str, ...]:
    if OFFICIAL not in table.columns:
        return ()
    tested = set(table.loc[table[OFFICIAL] == "test", "patient"])
    others = set(table.loc[table[OFFICIAL].isin(["train", "val"]), "patient"])
    return tuple(sorted(tested & others))


def _sizes(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    if rows.empty:
        return {}
    return {
        "min": (int(rows["width"].min()), int(rows["height"].min())),
        "median": (int(rows["width"].median()), int(rows["height"].median())),
        "max": (int(rows["width"].max()), int(rows["height"].max())),
    }


def _identity_warnings(table: pd.DataFrame, evidence: Evidence) -> list[str]:
    warnings = []
    unknown = sum(rule == "file" for rule in evidence.rules)
    if unknown:
        why = "the patient pattern does not match" if evidence.patterned else "nothing names it"
        warnings.append(
            f"{unknown:,} of {len(table):,} radiographs count as their own patient because {why}: "
            "radiographs of one patient may fall into two splits. Add a patient column or a "
            "--patient-pattern"
        )
    films = table["patient"].value_counts()
    if len(table) >= _LARGE and films.iloc[0] > _DOMINANT * len(table):
        warnings.append(
            f"one patient ({films.index[0]}) has {films.iloc[0]:,} of {len(table):,} radiographs: "
            "perhaps its identifier stands for unknown"
        )
    return warnings


def _duplicate_warnings(duplicates: Sequence[DuplicateGroup]) -> list[str]:
    warnings = []
    across = sum(group.crosses_patients for group in duplicates)
    if across:
        warnings.append(
            f"{across:,} duplicate groups cross patients; these patients are kept in one split"
        )
    conflicting = sum(group.crosses_labels for group in duplicates)
    if conflicting:
        warnings.append(f"{conflicting:,} duplicate groups have both labels: one of them is wrong")
    return warnings


def _split_warnings(by_split: dict[str, Part], overlap: Sequence[str]) -> list[str]:
    warnings = []
    excluded = by_split[EXCLUDED].total if EXCLUDED in by_split else None
    if overlap:
        warnings.append(
            f"{len(overlap):,} patients are in the official test part and in train or val"
        )
    if excluded:
        warnings.append(
            f"{excluded.radiographs:,} radiographs of {excluded.patients:,} patients are excluded "
            "from train and val because the official test part has the same patients"
        )
    for split in SPLITS:
        for label, count in by_split[split].by_label.items():
            if not count.radiographs:
                warnings.append(f"{split} has no {label} radiograph")
    return warnings


def _file_warnings(evidence: Evidence) -> list[str]:
    warnings = []
    if evidence.unreadable:
        first = evidence.unreadable[0]
        warnings.append(
            f"{len(evidence.unreadable):,} files cannot be used and are left out; "
            f"the first, {first.image}, {first.reason}"
        )
    if evidence.ignored:
        warnings.append(
            f"{len(evidence.ignored):,} files or folders are ignored; the first is "
            f"{evidence.ignored[0]}"
        )
    return warnings


def _size_warnings(table: pd.DataFrame) -> list[str]:
    """Some radiographs are stretched back to their proportions and others are not."""
    if not set(SIZE_COLUMNS) <= set(table.columns):
        return []
    blank = table.index[table["orig_width"].eq("") & table["orig_height"].eq("")]
    # Without any size the columns say nothing, and nothing is stretched.
    if blank.empty or len(blank) == len(table):
        return []
    return [
        f"{len(blank):,} of {len(table):,} radiographs have no original size and keep the "
        f"proportions of their files; the first is {table.loc[blank[0], 'image']}"
    ]
