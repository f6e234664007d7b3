"""Finding the radiographs of a cohort: Kaggle's folders, plain label folders, or a CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.cohorts import NEITHER, cohort_rows, found_files
from pneumoscope.cohort.formats.finding_columns import (
    ABSENT,
    PRESENT,
    FindingColumns,
    overall_label,
)
from pneumoscope.cohort.formats.words import (
    NEGATIVE,
    POSITIVE,
    finding_key,
    split_names,
    truth,
    without_truth_values,
)
from pneumoscope.cohort.manifest import split_name
from pneumoscope.cohort.sidecar import read_sidecar
from pneumoscope.cohort.split import EXCLUDED
from pneumoscope.cohort.tables import COLUMNS, read_table
from pneumoscope.errors import CohortError
from pneumoscope.files import is_made_here
from pneumoscope.imaging import is_radiograph_file
from pneumoscope.names import written

OFFICIAL = "official"
"""The extra column that keeps the part (train, val, test) a radiograph came in."""

_SKIPPED = frozenset({"__MACOSX", "@eaDir", "lost+found"})


@dataclass(frozen=True)
class Listing:
    """The radiographs found, before any is read.

    Args:
        root: absolute folder that `image` is relative to.
        table: strings; columns `image` and `label`, `patient` if stated, `official` if the set
            comes in parts (train, val, test, excluded, or what else a CSV says), and the extra
            columns of a CSV.
        ignored: files that are not radiographs, or lie outside the label folders, relative to
            the root.
        left_out: how many radiographs of the table or of label folders are not used, by reason.
        format: what the table was recognised as, or `label folders` if their labels were grouped;
            "" for others and for a CSV with `image,label`.
        sorted: labels are NORMAL and PNEUMONIA, made of findings, truth values or label folders.
    """

    root: Path
    table: pd.DataFrame
    ignored: tuple[str, ...] = field(default=())
    left_out: dict[str, int] = field(default_factory=dict)
    format: str = ""
    sorted: bool = False

    @property
    def official(self) -> list[str] | None:
        """The part each radiograph comes in, None when the set has none."""
        return list(self.table[OFFICIAL]) if OFFICIAL in self.table.columns else None


def list_cohort(path: Path, choice: Choice | None = None, images: Path | None = None) -> Listing:
    """Find the radiographs of a folder or CSV.

    A folder with `train`, `val` (or `valid`, `validation`) or `test` in it is read as Kaggle lays
    sets out, `test/LABEL/...`; otherwise each folder in it is a label. A folder that holds only
    such a set in one folder more is understood too. Files may lie deeper than the label folder.
    Hidden files and folders are passed over, and so are folders that `predict` or `explain` wrote.
    Labels that are truth values (0/1, yes/no) become NORMAL and PNEUMONIA.

    Args:
        path: the folder or table.
        choice: which findings of a table, or which label folders, are positive and negative; the
            format's own when None.
        images: the folder of the radiographs, if it is not the table's.

    Raises:
        CohortError: there is no such path, no radiograph, the CSV cannot be used, or the choice
            does not fit the label folders.
    """
    path = Path(path).resolve()
    choice = Choice() if choice is None else choice
    if path.is_dir():
        return _worded(_grouped(_from_folder(path), choice), choice)
    if path.exists():
        return _worded(_from_csv(path, choice, images), choice)
    raise CohortError(
        "does not exist", path=path, remedy="give a folder of radiographs or a CSV with image,label"
    )


def _grouped(listing: Listing, choice: Choice) -> Listing:
    """Label folders sorted into positive, negative and left out, if anybody said which are which.

    Without negative labels the one that is left is negative, without positive ones all others are
    positive.

    Raises:
        CohortError: there is no such label folder, or several are left and none is negative.
    """
    if choice.findings is not None or not (choice.negative or choice.joins_positives):
        return listing
    named = {
        option: split_names(text or "")
        for option, text in (("--positive", choice.positive), ("--negative", choice.negative))
    }
    labels = list(listing.table["label"])
    folders = {finding_key(label): label for label in labels}
    for option, words in named.items():
        for word in words:
            if finding_key(word) not in folders:
                raise _no_folder(listing, word, option)
    positive, negative = (set(map(finding_key, words)) for words in named.values())
    rest = folders.keys() - positive - negative
    if not positive:
        positive = rest
    elif not negative:
        negative = rest
        if len(rest) != 1:
            raise CohortError(
                f"{len(rest)} labels are left beside the positive ones "
                f"({', '.join(sorted(folders[key] for key in rest)) or 'none'})",
                path=listing.root,
                remedy="say with --negative which of them are negative, joined by |",
            )
    sides = {**dict.fromkeys(negative, NEGATIVE), **dict.fromkeys(positive, POSITIVE)}
    sorted_labels = [sides.get(finding_key(label), "") for label in labels]
    kept = [label != "" for label in sorted_labels]
    table = listing.table.assign(label=sorted_labels)[kept].reset_index(drop=True)
    left_out = {NEITHER: kept.count(False)} if False in kept else {}
    return replace(listing, table=table, left_out=left_out, format="label folders", sorted=True)


def _no_folder(listing: Listing, name: str, option: str) -> CohortError:
    return CohortError(
        f"holds no label folder {name!r}",
        path=listing.root,
        remedy=f"choose with {option} among {', '.join(sorted(set(listing.table['label'])))}",
    )


def _worded(listing: Listing, choice: Choice) -> Listing:
    if choice.findings is not None:
        return listing if listing.format else _with_columns(listing, choice.findings)
    if choice.positive is None or truth(choice.positive):
        listing.table["label"] = without_truth_values(listing.table["label"])
    return listing


def _with_columns(listing: Listing, wanted: FindingColumns) -> Listing:
    """The radiographs of label folders, with a column for each finding that is a label."""
    labels = listing.table["label"]
    keys = list(map(finding_key, labels))
    for name in wanted.missing(keys):
        raise _no_folder(listing, name, "--findings")
    table = listing.table.copy()
    for name in wanted.columns:
        table[name] = [PRESENT if key in wanted.keys(name) else ABSENT for key in keys]
    rows = table[list(wanted.columns)].itertuples(index=False)
    table["label"] = [overall_label(cells) for cells in rows]
    return replace(listing, table=table)


def _from_csv(path: Path, choice: Choice, images: Path | None) -> Listing:
    root = (path.parent / read_sidecar(path).root if images is None else Path(images)).resolve()
    rows = cohort_rows(path, choice, root)
    if rows is None:
        table = read_table(path)
        table["image"] = found_files(list(table["image"]), path, root)
    else:
        table = rows.table
    source = next((name for name in (OFFICIAL, "split") if name in table.columns), None)
    parts = (
        [] if source is None else [split_name(value) or value.strip() for value in table[source]]
    )
    kept = [
        name
        for name in table.columns
        if name not in COLUMNS or name in ("image", "label", "patient")
    ]
    table = table[kept].copy()
    if any(parts):
        table[OFFICIAL] = parts
    if rows is None:
        return Listing(root, table)
    return Listing(root, table, left_out=rows.left_out, format=rows.format, sorted=rows.sorted)


def _from_folder(root: Path) -> Listing:
    root = _unwrapped(root)
    parts = _part_folders(root)
    ignored = [file.name for file in _files(root)]
    rows: list[tuple[str, str, str]] = []
    if parts:
        ignored += [f"{folder.name}/" for folder in _folders(root) if folder not in parts]
    for part, name in parts.items() if parts else [(root, "")]:
        if parts:
            ignored += [f"{part.name}/{file.name}" for file in _files(part)]
        for label in _folders(part):
            for file in _walk(label):
                image = file.relative_to(root).as_posix()
                if is_radiograph_file(file):
                    rows.append((written(image), written(label.name), name))
                else:
                    ignored.append(image)
    if not rows:
        raise CohortError(
            "holds no radiographs in label folders",
            path=root,
            remedy="lay it out as LABEL/image.png or train/LABEL/image.png, or give a CSV",
        )
    columns = pd.Index(["image", "label", OFFICIAL])
    table = pd.DataFrame(sorted(rows), columns=columns, dtype=str)
    names = tuple(sorted(map(written, ignored)))
    return Listing(root, table if parts else table.drop(columns=OFFICIAL), names)


def _unwrapped(root: Path) -> Path:
    """The set's own folder when an archive was unpacked into one folder more."""
    inner = _folders(root)
    if not _part_folders(root) and len(inner) == 1 and _folders(inner[0]):
        return _unwrapped(inner[0])
    return root


def _part_folders(root: Path) -> dict[Path, str]:
    found = {folder: split_name(folder.name) for folder in _folders(root)}
    return {folder: name for folder, name in found.items() if name is not None and name != EXCLUDED}


def _visible(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in _SKIPPED


def _folders(path: Path) -> list[Path]:
    inside = (inner for inner in _entries(path) if inner.is_dir())
    return sorted(inner for inner in inside if not is_made_here(inner))


def _files(path: Path) -> list[Path]:
    return sorted(inner for inner in _entries(path) if not inner.is_dir())


def _entries(path: Path) -> list[Path]:
    try:
        return [inner for inner in path.iterdir() if _visible(inner)]
    except OSError as error:
        raise CohortError(
            f"cannot be read ({error.strerror or error})", path=path, remedy="check permissions"
        ) from error


def _walk(folder: Path) -> Iterator[Path]:
    """All visible files below `folder`; linked folders are followed, each place once."""
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        place = current.resolve()
        if place in seen:
            continue
        seen.add(place)
        yield from _files(current)
        waiting.extend(_folders(current))
