"""A table of the field as a cohort: its radiographs below a folder, each with one of two labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from pneumoscope.cohort.formats.choice import Choice, Rule
from pneumoscope.cohort.formats.finding_columns import (
    ABSENT,
    PRESENT,
    UNKNOWN,
    FindingColumns,
    overall_label,
)
from pneumoscope.cohort.formats.marks import FieldFile, Mark
from pneumoscope.cohort.formats.names import NameIndex
from pneumoscope.cohort.formats.tables import read_plain_table, read_table_of_the_field
from pneumoscope.cohort.formats.words import NEGATIVE, POSITIVE, UNCERTAIN, finding_key
from pneumoscope.cohort.patients import from_name
from pneumoscope.cohort.tables import COLUMNS, check_unique, read_rows, safe_image_path
from pneumoscope.errors import CohortError
from pneumoscope.files import is_made_here
from pneumoscope.imaging import is_radiograph_file

NEITHER = "with neither a positive nor a negative finding"
NOTHING_KNOWN = "of which no finding is known"
NO_FILE = "without a file of their name"
_RESERVED = frozenset(COLUMNS) - {"split"}


@dataclass(frozen=True)
class CohortRows:
    """The radiographs that a table of the field names and that are there.

    Attributes:
        format: what the table was recognised as, and which findings count.
        table: strings; `image`, `label`, `patient` ("" where the table does not say) and the
            table's other columns.
        left_out: how many radiographs of the table are not in it, by reason.
        sorted: labels are NORMAL and PNEUMONIA, made of findings or truth values, and no words of
            the table's own.
    """

    format: str
    table: pd.DataFrame
    left_out: dict[str, int]
    sorted: bool


def cohort_rows(path: Path, choice: Choice, root: Path) -> CohortRows | None:
    """Read a table as a cohort; None for one with `image,label` whose labels need no sorting.

    Args:
        path: a CSV.
        choice: which findings are positive and negative, and whose.
        root: the folder that the radiographs lie in, at any depth.

    Raises:
        CohortError: the table cannot be used, or names no radiograph below `root`.
    """
    file = read_table_of_the_field(path, choice)
    if file is None:
        rows = read_rows(path)
        if {"image", "label"} <= set(rows.header) and choice.label_column is None:
            column = rows.header.index("label")
            labels = {row[column].strip() for row in rows.rows}
            sorted_already = choice.findings is None and labels <= {NEGATIVE, POSITIVE}
            if not choice.maps_labels or sorted_already:
                return None
        file = read_plain_table(path, choice, cohort=True)
    return _rows(file, choice, root)


def find_files(names: Sequence[str], table: Path, root: Path) -> list[list[str]]:
    """For each name the files below `root` that it may mean, as paths relative to it.

    Args:
        names: as a table has them; folder or suffix may be missing.
        table: the table.
        root: the folder.

    Raises:
        CohortError: a name is absolute or leads out of the folder.
    """
    safe = [safe_image_path(name, table=table, line=line) for line, name in enumerate(names, 2)]
    there = [(root / name).is_file() for name in safe]
    if all(there):
        return [[name] for name in safe]
    index = NameIndex(_radiographs(root))
    return [[name] if known else index.find(name) for name, known in zip(safe, there, strict=True)]


def found_files(images: Sequence[str], table: Path, root: Path) -> list[str]:
    """The images of a plain table; one without its suffix or folder is named by its file.

    An image whose name has a suffix, or that is not found once, stays as it is.

    Args:
        images: as the table has them.
        table: the table.
        root: the folder of the radiographs.

    Raises:
        CohortError: two names mean the same file.
    """
    loose = [name for name in images if not Path(name).suffix and not (root / name).is_file()]
    files = dict(zip(loose, find_files(loose, table, root), strict=True))
    found = [files[name][0] if len(files.get(name, ())) == 1 else name for name in images]
    # Two names, such as `a` and `a.png`, may be one file.
    check_unique(table, found, images, "")
    return found


def _rows(file: FieldFile, choice: Choice, root: Path) -> CohortRows:
    left_out = dict(file.left_out)
    if choice.findings is None:
        states: dict[str, dict[str, str]] = {}
        labels, unlabelled = _labels(file, choice), NEITHER
    else:
        states = _states(file, choice, choice.findings)
        overall = {image: overall_label(own.values()) for image, own in states.items()}
        labels = {image: label for image, label in overall.items() if label is not None}
        unlabelled = NOTHING_KNOWN
    named = [name for name in file.facts if labels.get(name)]
    _count(left_out, unlabelled, len(file.facts) - len(named))
    found = find_files(named, file.path, root)
    _count(left_out, NO_FILE, sum(not files for files in found))
    _count(left_out, "with two files of their name", sum(len(files) > 1 for files in found))
    used = [(name, files[0]) for name, files in zip(named, found, strict=True) if len(files) == 1]
    check_unique(file.path, [image for _, image in used], [name for name, _ in used], "")
    if not used:
        listed = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise CohortError(
            f"is {file.format}; none of its {len(file.facts):,} radiographs can be used ({listed})",
            path=file.path,
            remedy=f"the radiographs are looked for below {root}: give their folder with --images, "
            "and the findings with --positive and --negative",
        )
    rows = [
        {
            **{key: value for key, value in file.facts[name].items() if key not in _RESERVED},
            "image": image,
            "label": labels[name],
            "patient": _patient(image, file.facts[name]),
            **states.get(name, {}),
        }
        for name, image in used
    ]
    columns = ["image", "label", "patient", *dict.fromkeys(key for row in rows for key in row)]
    table = pd.DataFrame(rows, columns=pd.Index(list(dict.fromkeys(columns)))).fillna("")
    own = file.labels is not None and not file.truths
    sides = not own and set(table["label"]) <= {NEGATIVE, POSITIVE}
    return CohortRows(_described(file, choice), table.astype(str), left_out, sides)


def _described(file: FieldFile, choice: Choice) -> str:
    """The format, and the findings that count as positive and negative."""
    parts = [file.format]
    if choice.findings is not None:
        return f"{file.format}; findings: {', '.join(choice.findings.columns)}"
    for name, chosen, own in (
        ("positive", choice.positive, file.positive),
        ("negative", choice.negative, file.negative),
    ):
        if findings := chosen or "|".join(own):
            parts.append(f"{name}: {findings}")
    readers = {mark.reader for mark in file.marks if mark.reader}
    if len(readers) > 1:
        parts.append(f"readers: {choice.readers}")
    return "; ".join(parts)


def _labels(file: FieldFile, choice: Choice) -> dict[str, str]:
    """The label of each image that has one."""
    if file.labels is not None:
        replace(choice, positive=None).of(file)  # It checks the reader.
        return file.labels
    rule, marks = choice.of(file), file.by_image()
    if _words(file, rule):
        words = {image: _word(own) for image, own in marks.items()}
        return {image: word for image, word in words.items() if word is not None}
    said = {image: rule.label(own) for image, own in marks.items()}
    return {
        image: POSITIVE if positive else NEGATIVE
        for image, positive in said.items()
        if positive is not None
    }


def _states(file: FieldFile, choice: Choice, wanted: FindingColumns) -> dict[str, dict[str, str]]:
    """What each image's cell of each finding says.

    A file that states absences, as one with a column for each finding, says nothing by silence
    (unless it states that there is no finding), and neither does a list of boxes; in a list of what
    is present, silence is absence.

    Raises:
        CohortError: none of a column's words is a finding of the file.
    """
    for name in wanted.missing(file.findings()):
        raise file.lacks(name, "--findings")
    marks = file.by_image()
    boxes_alone = bool(file.positive) and not file.negative
    is_list = all(mark.present for mark in file.marks if not _names_none(mark)) and not boxes_alone
    readers = choice.of(file).readers
    none = frozenset(map(finding_key, (*file.negative, "No Finding")))
    cells: dict[str, dict[str, str]] = {image: {} for image in marks}
    for name in wanted.columns:
        rule = Rule(wanted.keys(name), frozenset(), readers)
        nothing = Rule(none, frozenset(), readers)
        for image, own in marks.items():
            said = rule.label(own)
            silent = said is None and not any(rule.wants(mark) for mark in own)
            listed = is_list and not any(mark.finding in UNCERTAIN for mark in own)
            if listed or (silent and nothing.label(own)):
                said = bool(said)
            cells[image][name] = UNKNOWN if said is None else PRESENT if said else ABSENT
    return cells


def _names_none(mark: Mark) -> bool:
    """Whether a mark is of a blank or uncertain cell of a list, which names no finding."""
    return mark.shape is None and (not mark.finding or mark.finding in UNCERTAIN)


def _words(file: FieldFile, rule: Rule) -> bool:
    """Whether the findings are the labels themselves, for nobody said which are positive."""
    if rule.positive or rule.negative or file.truths:
        return False
    named = [mark.present for mark in file.marks if mark.finding]
    return bool(named) and all(present is not False for present in named)


def _word(marks: Sequence[Mark]) -> str | None:
    """The label of a radiograph whose findings are labels; None if it has several or none."""
    names = {mark.finding for mark in marks if mark.finding and mark.present}
    if names:
        return names.pop() if len(names) == 1 else None
    return NEGATIVE if all(mark.present is False for mark in marks) else None


def _patient(image: str, facts: dict[str, str]) -> str:
    # NIH's files name the patient with all its digits, its table without leading zeros.
    identity = from_name(Path(image).stem)
    return "" if identity is not None and identity.rule == "nih" else facts.get("patient", "")


def _count(left_out: dict[str, int], reason: str, count: int) -> None:
    if count:
        left_out[reason] = left_out.get(reason, 0) + count


def _radiographs(root: Path) -> Iterable[str]:
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(
            name for name in inner if name[0] != "." and not is_made_here(Path(folder, name))
        )
        for name in sorted(files):
            path = Path(folder) / name
            if is_radiograph_file(path):
                yield path.relative_to(root).as_posix()
