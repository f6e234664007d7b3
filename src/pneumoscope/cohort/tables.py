"""Reading a cohort's CSV strictly: every defect of the table is named, with its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TextIO

import pandas as pd

from pneumoscope.cohort.formats.words import finding_key
from pneumoscope.errors import CohortError
from pneumoscope.names import is_unicode, meant

COLUMNS = ("image", "label", "patient", "split", "sha256", "width", "height")
"""The columns of a manifest, in their order; others follow them."""

_READ_DELIMITERS = (",", ";", "\t")
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_EXCEL_HINT = re.compile(r"sep=([,;\t|])", re.IGNORECASE)
_PATIENTS = ("patient", "patient id", "patientid", "subject id", "subjectid")


@dataclass(frozen=True, slots=True)
class Rows:
    """A CSV as it stands.

    Attributes:
        header: names of the columns, stripped.
        rows: cells, as many in each row as the header has names.
        lines: line of the file that each row ends in.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    def records(self, needed: Sequence[str], path: Path) -> list[dict[str, str]]:
        """Each row by the names of its columns.

        Args:
            needed: columns that must be there, each once.
            path: the table, for the error.

        Raises:
            CohortError: one is missing or there twice, or there are no rows.
        """
        _check_columns(path, self.header, needed, needed)
        if not self.rows:
            raise no_rows(path)
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV with a header and at least `image` and `label`.

    Args:
        path: UTF-8 (with or without byte order mark), separated by commas, semicolons or tabs.

    Returns:
        All columns as strings, untouched, but for `image` (normalised by `safe_image_path`),
        `label` (stripped) and `split` (`Split` is renamed). Without a column `patient`, one that
        is called `patient_id` or alike is copied to it.

    Raises:
        CohortError: the file is missing, not UTF-8, separated otherwise, empty or ragged; a
            column is missing or named twice; an image is blank, outside the root or named twice;
            a label is blank.
    """
    read = read_rows(path)
    header, lines = read.header, read.lines
    _check_columns(path, header, ("image", "label"), header)
    if not read.rows:
        raise no_rows(path)
    table = pd.DataFrame(read.rows, columns=pd.Index(header), dtype=str)
    table["label"] = [label.strip() for label in table["label"]]
    images = []
    for line, image, label in zip(lines, table["image"], table["label"], strict=True):
        images.append(safe_image_path(image, table=path, line=line))
        if not label:
            raise no_label(path, line)
    check_unique(path, images, lines)
    table["image"] = images
    patient = patient_column(header)
    if patient is not None and "patient" not in header:
        table["patient"] = table[header[patient]]
    return table.rename(columns=dict(zip(header, with_split(header), strict=True)))


def patient_column(header: Sequence[str], image: int | None = None) -> int | None:
    """The column that names the patient, by its usual names; None if there is none.

    Args:
        header: names of the columns.
        image: the column of images, which RSNA calls `patientId`.
    """
    keys = [finding_key(name) for name in header]
    known = [keys.index(name) for name in _PATIENTS if name in keys]
    return next((column for column in known if column != image), None)


def with_split(header: Sequence[str]) -> list[str]:
    """The names of columns with `split` in lower case, unless there is one already."""
    if "split" in header:
        return list(header)
    return ["split" if name.casefold() == "split" else name for name in header]


def no_rows(path: Path) -> CohortError:
    """Make the error that a table lists nothing."""
    return CohortError("the table has no rows", path=path, remedy="list images in it")


def no_label(path: Path, line: int) -> CohortError:
    """Make the error that a line of a table has no label."""
    return CohortError(f"line {line} has no label", path=path, remedy="give one or remove the line")


def other_delimiter(path: Path, header: Sequence[str]) -> CohortError | None:
    """Make the error that columns are not separated by commas; None if the header says no such."""
    for delimiter, name in _DELIMITERS.items():
        if any(delimiter in field for field in header):
            return CohortError(
                f"the columns are separated by {name}", path=path, remedy="use commas"
            )
    return None


def safe_image_path(image: str, *, table: Path, line: int) -> str:
    r"""Normalise an image path to one below the root, `/` separated (`a\b`, `./a/b` -> `a/b`).

    Raises:
        CohortError: it is blank, absolute, or leads out of the root.
    """
    text = image.strip().replace("\\", "/")
    if not text or "\0" in text:
        raise CohortError(f"line {line} names no image", path=table, remedy="remove the line")
    if PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive:
        raise CohortError(
            f"line {line} has an absolute path ({image})",
            path=table,
            remedy="paths are relative to the folder of the table",
        )
    parts: list[str] = []
    for part in PurePosixPath(text).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise CohortError(
                f"line {line} has a path that leads out of the cohort's folder ({image})",
                path=table,
                remedy="move the table to a folder that holds all radiographs",
            )
    if not parts:
        raise CohortError(f"line {line} names no image ({image})", path=table)
    return "/".join(parts)


def unwritable(image: str) -> str | None:
    """Why a file below the root cannot be named in a table; None if it can.

    Args:
        image: its name, `written`.

    Tables are UTF-8, separate folders by `/` and `\\` alike, and drop white space around a name.
    """
    if not is_unicode(meant(image)):
        return "has a name that is not UTF-8; rename it"
    if "\\" in image or image != image.strip() or "\r" in image or "\n" in image:
        return (
            "has a name with a backslash, a line break or white space at an end, which a "
            "table cannot hold; rename it"
        )
    return None


def read_rows(path: Path) -> Rows:
    """Read the rows of a CSV, separated by commas, semicolons or tabs as its header is.

    Raises:
        CohortError: the file is missing, not UTF-8, empty or ragged.
    """
    header: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            delimiter, hinted = _delimiter(stream)
            reader = csv.reader(stream, strict=True, delimiter=delimiter)
            for row in reader:
                if not any(field.strip() for field in row):
                    continue
                if hinted:
                    hinted = False
                    continue
                if header is None:
                    header = [name.strip() for name in row]
                    continue
                if len(row) != len(header):
                    other = other_delimiter(path, header) if len(row) == 1 else None
                    raise other or CohortError(
                        f"line {reader.line_num} has {len(row)} fields, the header {len(header)}",
                        path=path,
                        remedy="put fields that contain commas in double quotes",
                    )
                rows.append(row)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise CohortError(
            "is not UTF-8 text", path=path, remedy="save it as 'CSV UTF-8 (comma separated)'"
        ) from error
    except csv.Error as error:
        raise CohortError(
            f"is not a CSV ({error})", path=path, remedy="save it as 'CSV UTF-8'"
        ) from error
    except OSError as error:
        raise CohortError(
            f"cannot be read ({error.strerror or error})", path=path, remedy="check the path"
        ) from error
    if header is None:
        raise CohortError(
            "the table is empty", path=path, remedy="it needs a header with image and label"
        )
    return Rows(header, rows, lines)


def _delimiter(stream: TextIO) -> tuple[str, bool]:
    """What separates the columns, and whether a first line `sep=;` of Excel says so."""
    line = next((line for line in stream if line.strip()), "").rstrip("\r\n")
    stream.seek(0)
    if stated := _EXCEL_HINT.fullmatch(line):
        return stated[1], True
    # Only a header that is one column otherwise is split: names may hold any character.
    for delimiter in _READ_DELIMITERS:
        if len(next(csv.reader([line], delimiter=delimiter), [])) > 1:
            return delimiter, False
    return ",", False


def _check_columns(
    path: Path, header: Sequence[str], needed: Sequence[str], once: Sequence[str]
) -> None:
    """Refuse a header that lacks a needed column, or has one of `once` twice or without a name."""
    missing = [name for name in needed if name not in header]
    if missing:
        raise other_delimiter(path, header) or CohortError(
            f"the column {' and '.join(missing)} is missing (found: {', '.join(header)})",
            path=path,
            remedy=f"name the columns {', '.join(needed[:-1])} and {needed[-1]}, in lower case",
        )
    twice = sorted({name for name in once if header.count(name) > 1})
    if twice or "" in once:
        problem = (
            f"the column {twice[0]} is there twice" if twice[:1] > [""] else "a column has no name"
        )
        raise CohortError(problem, path=path, remedy="rename or remove it")


def check_unique(
    path: Path, images: Sequence[str], places: Sequence[object], what: str = "lines "
) -> None:
    """Refuse a table that names an image twice.

    Args:
        path: the table.
        images: what it names.
        places: where each stands, or how it is written there.
        what: the places are, for the message.

    Raises:
        CohortError: it does.
    """
    first: dict[str, object] = {}
    for place, image in zip(places, images, strict=True):
        if image in first:
            raise CohortError(
                f"{what}{first[image]} and {place} name the same image ({image})",
                path=path,
                remedy="keep one of them",
            )
        first[image] = place
