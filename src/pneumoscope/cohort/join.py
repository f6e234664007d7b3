"""Several cohorts as one: their splits kept, their patients and files kept apart."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pneumoscope.cohort.manifest import Manifest, ordered_columns
from pneumoscope.cohort.patients import joined_key
from pneumoscope.cohort.split import EXCLUDED, groups_of
from pneumoscope.cohort.tables import COLUMNS
from pneumoscope.errors import CohortError


def join(cohorts: Sequence[tuple[str, Manifest]]) -> Manifest:
    """One manifest of several, so that a model can be trained on all of them.

    Every radiograph keeps its split, so what a cohort's own test part holds stays unseen. Images
    are named from the lowest common folder; patients become `NAME:patient`, since the same number
    means different people in different places; the column `cohort` tells where a row is from. A
    file that an earlier cohort holds already is excluded, or left out if its path is the same.
    Patients that share a file are one: of a later cohort, radiographs in another split than theirs
    are excluded, with a warning that counts them. Labels become those of the first cohort.

    Args:
        cohorts: name and manifest of each, names all different.

    Raises:
        CohortError: fewer than two cohorts, a name twice, or no common folder.
    """
    names = [name for name, _ in cohorts]
    if len(cohorts) < 2 or len(set(names)) < len(names):
        raise CohortError(
            f"cannot join {', '.join(names) or 'nothing'}",
            remedy="give two or more manifests whose file names differ",
        )
    try:
        root = Path(os.path.commonpath([manifest.root for _, manifest in cohorts]))
    except ValueError as error:
        raise CohortError(
            "the radiographs lie on different drives", remedy="bring them below one folder"
        ) from error
    labels = cohorts[0][1].labels
    table = pd.concat(
        [_renamed(name, manifest, root, labels) for name, manifest in cohorts], ignore_index=True
    ).fillna("")
    again = table["sha256"].ne("") & table["sha256"].duplicated()
    # Duplicates within a cohort were its own scan's to judge.
    first = table.groupby("sha256")["cohort"].transform("first")
    table.loc[again & table["cohort"].ne(first), "split"] = EXCLUDED
    _exclude_straddlers(table, names)
    # A manifest names an image once: of cohorts of one folder the first one keeps its line.
    table = table.drop_duplicates("image", ignore_index=True)
    return Manifest(ordered_columns(table), root, labels, cohorts[0][1].seed)


def _exclude_straddlers(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Exclude rows whose patient, known by a shared file, is in another split of an earlier cohort.

    Patients within one cohort are not compared: their splits are that cohort's own.
    """
    groups = groups_of(list(table["patient"]), _files(table))
    taken: dict[str, set[str]] = {}
    excluded = 0
    for name in names:
        own: dict[str, set[str]] = {}
        for row in table.index[table["cohort"].eq(name) & table["split"].ne(EXCLUDED)]:
            group, split = groups[row], str(table.at[row, "split"])
            if taken.get(group, {split}) == {split}:
                own.setdefault(group, set()).add(split)
            else:
                table.at[row, "split"] = EXCLUDED
                excluded += 1
        for group, splits in own.items():
            taken.setdefault(group, set()).update(splits)
    if excluded:
        warnings.warn(
            f"{excluded:,} radiographs are excluded: a shared file shows that their patients are "
            "in another split of an earlier cohort",
            UserWarning,
            stacklevel=3,
        )


def _files(table: pd.DataFrame) -> list[str]:
    """What tells each file from others: its digest, or where nobody computed one, its path."""
    known = table["sha256"].where(table["sha256"].ne(""))
    return [
        str(file)
        for file in known.groupby(table["image"]).transform("first").fillna(table["image"])
    ]


def _renamed(name: str, manifest: Manifest, root: Path, labels: tuple[str, str]) -> pd.DataFrame:
    table = manifest.table.copy()
    below = manifest.root.relative_to(root).as_posix()
    table["image"] = [image if below == "." else f"{below}/{image}" for image in table["image"]]
    table["patient"] = [joined_key(patient, name) for patient in table["patient"]]
    table["label"] = table["label"].map(dict(zip(manifest.labels, labels, strict=True)))
    table["cohort"] = name
    extras = [column for column in table.columns if column not in COLUMNS]
    table[extras] = table[extras].astype(str)
    return table
