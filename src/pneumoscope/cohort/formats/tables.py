"""Tables of the field, recognised by their columns: what each says of its radiographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.marks import ORIGINAL, Box, FieldFile, Grid, Mark
from pneumoscope.cohort.formats.siim import IMAGE_COLUMNS, STUDY_COLUMNS, read_siim
from pneumoscope.cohort.formats.words import (
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    finding_key,
    split_names,
    truth,
)
from pneumoscope.cohort.tables import (
    Rows,
    check_unique,
    no_label,
    other_delimiter,
    patient_column,
    read_rows,
    safe_image_path,
    with_split,
)
from pneumoscope.errors import CohortError

_OPACITIES = ("Pneumonia", "Lung Opacity", "Consolidation", "Infiltration")
_IMAGES = (
    "image", "image id", "image index", "image name", "image path", "imageid", "filename",
    "file name", "file", "img", "path", "patientid",
)  # fmt: skip
_FINDINGS = (
    "label", "labels", "class", "class name", "finding", "findings", "finding label",
    "finding labels", "category", "diagnosis", "target",
)  # fmt: skip
_READERS = ("reader", "rad id", "annotator", "radiologist", "rater")
_SIDES = (
    ("x", "y", "width", "height"), ("x", "y", "w", "h"), ("bbox [x", "y", "w", "h]"),
    ("left", "top", "width", "height"), ("bbox x", "bbox y", "bbox width", "bbox height"),
)  # fmt: skip
_CORNERS = (
    ("x min", "y min", "x max", "y max"), ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"),
)  # fmt: skip
_SIZES = (("width", "height"), ("image width", "image height"), ("img width", "img height"))


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A published table.

    Attributes:
        name: as the subject of a sentence.
        columns: its own columns (see `finding_key`) that recognise it.
        positive, negative: findings that it proposes, see `FieldFile`.
        wide: one column for each finding, with 1, 0, -1 (uncertain) or nothing.
        grid: (height, width) that its boxes are counted on; None if that is the radiograph's own.
        frontal: column that tells the view; lateral radiographs are left out.
        sibling: the file of the same set that holds its boxes, where this one holds none.
    """

    name: str
    columns: frozenset[str]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    wide: bool = False
    grid: Grid | None = None
    frontal: str = ""
    sibling: str = ""


FORMATS = (
    TableFormat(
        "RSNA's table of boxes (stage_2_train_labels.csv)",
        frozenset({"patientid", "x", "y", "width", "height", "target"}),
        ("Lung Opacity",),
        ("No Lung Opacity", "Normal", "No Lung Opacity / Not Normal"),
        grid=(1024, 1024),
    ),
    TableFormat(
        "RSNA's table of classes (stage_2_detailed_class_info.csv)",
        frozenset({"patientid", "class"}),
        ("Lung Opacity",),
        ("Normal", "No Lung Opacity / Not Normal"),
        sibling="stage_2_train_labels.csv",
    ),
    TableFormat(
        "NIH's list of boxes (BBox_List_2017.csv)",
        frozenset({"image index", "finding label", "bbox [x"}),
        ("Pneumonia",),
        (),
        grid=(1024, 1024),
    ),
    TableFormat(
        "NIH's table of labels (Data_Entry_2017.csv)",
        frozenset({"image index", "finding labels"}),
        ("Pneumonia",),
        ("No Finding",),
        sibling="BBox_List_2017.csv",
    ),
    TableFormat(
        "VinDr-CXR's table of boxes (train.csv, annotations_train.csv)",
        frozenset({"image id", "class name", "x min", "y min", "x max", "y max"}),
        _OPACITIES,
        ("No finding",),
        grid=ORIGINAL,
    ),
    TableFormat(
        "VinDr-CXR's table of labels (image_labels_train.csv)",
        frozenset({"image id", "no finding", "pneumonia", "lung opacity"}),
        _OPACITIES,
        ("No finding",),
        wide=True,
        sibling="annotations_train.csv",
    ),
    TableFormat(
        "CheXpert's table of labels (train.csv, valid.csv)",
        frozenset({"path", "no finding", "pneumonia", "lung opacity"}),
        ("Pneumonia",),
        ("No Finding",),
        wide=True,
        frontal="frontal/lateral",
        sibling="CheXlocalize's gt_segmentations_val.json or gt_annotations_val.json",
    ),
)


def read_table_of_the_field(path: Path, choice: Choice) -> FieldFile | None:
    """Read a table as a published format; None if it is none of them.

    Raises:
        CohortError: it cannot be read, or a value in it is none.
    """
    rows = read_rows(path)
    keys = frozenset(map(finding_key, rows.header))
    if keys >= STUDY_COLUMNS or keys >= IMAGE_COLUMNS:
        return read_siim(path)
    known = _published(rows)
    if known is None or choice.label_column is not None:
        return None
    return _Reading(rows, path, known, choice).file()


def read_plain_table(path: Path, choice: Choice, *, cohort: bool = False) -> FieldFile:
    """Read any table with a column of images, and of labels, boxes or both.

    Args:
        path: the table.
        choice: which columns and findings count.
        cohort: it is read for its labels. Unless it has boxes or readers, or is a published table,
            or its labels are sorted, each radiograph stands in it once and has a label.

    Raises:
        CohortError: a column is missing, a value is none, or a label of a cohort is not clear.
    """
    plain = TableFormat("a table of images", frozenset(), (), ())
    rows = read_rows(path)
    reading = _Reading(rows, path, plain, choice)
    file = reading.file()
    if not cohort or choice.groups or _published(rows) is not None:
        return file
    return replace(file, labels=reading.labels())


def _published(rows: Rows) -> TableFormat | None:
    keys = frozenset(map(finding_key, rows.header))
    return next((item for item in FORMATS if keys >= item.columns), None)


class _Reading:
    """One table while it is read; columns are found by their names."""

    def __init__(self, rows: Rows, path: Path, known: TableFormat, choice: Choice) -> None:
        self._rows, self._path, self._format = rows, path, known
        self._chosen = frozenset(choice.words)
        keys = list(map(finding_key, rows.header))
        self._at = {key: column for column, key in reversed(list(enumerate(keys)))}
        self._image = self._first(_IMAGES)
        self._reader = self._first(_READERS)
        self._patient = patient_column(rows.header, self._image)
        self._sides = self._all(_SIDES)
        corners = self._all(_CORNERS)
        self._corners = corners is not None
        self._box = corners or self._sides
        self._size = self._all(_SIZES[1:]) or (self._all(_SIZES[:1]) if corners else None)
        self._finding, self._wide = self._labels(choice)
        if self._image is None:
            raise self._lacks("a column of images", "name it image")
        if self._finding is None and not self._wide and self._box is None:
            raise self._lacks(
                "a column of labels or of boxes",
                "name labels label, or give --label-column; name boxes x,y,width,height or "
                "x1,y1,x2,y2",
            )
        self._words = self._texts()
        self._truths = self._are_truths(choice)

    def file(self) -> FieldFile:
        """Everything the table says.

        Raises:
            CohortError: a value is none.
        """
        classes = self._classes()
        marks: list[Mark] = []
        facts: dict[str, dict[str, str]] = {}
        lateral = 0
        for line, row in zip(self._rows.lines, self._rows.rows, strict=True):
            image = self._named(row)
            if not image:
                raise CohortError(
                    f"line {line} names no image", path=self._path, remedy="remove the line"
                )
            if self._format.frontal and self._lateral(row):
                lateral += 1
                continue
            if image not in facts:
                facts[image] = self._facts(row)
                if image in classes:
                    facts[image]["class"] = classes[image]
            marks += self._marks(image, row, line, classes.get(image, ""))
        return FieldFile(
            self._path,
            self._format.name,
            marks,
            self._format.positive,
            self._format.negative,
            facts,
            left_out={"that are lateral views": lateral} if lateral else {},
            sibling=self._format.sibling,
            may_be_empty=self._box is not None,
            truths=self._truths,
        )

    def labels(self) -> dict[str, str] | None:
        """The label of each image that has one alone; None of a table with boxes or readers.

        Uncertain truth values and lists of several names are no labels.

        Raises:
            CohortError: a line has no label, or two lines name the same image.
        """
        if self._finding is None or self._box is not None or self._reader is not None:
            return None
        found: dict[str, str] = {}
        images = []
        for line, row in zip(self._rows.lines, self._rows.rows, strict=True):
            image, text = self._named(row), _text(row[self._finding])
            images.append(safe_image_path(image, table=self._path, line=line))
            if not text:
                raise no_label(self._path, line)
            said, names = truth(text), split_names(text)
            if self._truths:
                if said is not None:
                    found[image] = POSITIVE if said else NEGATIVE
            elif len(names) == 1:
                found[image] = names[0]
        check_unique(self._path, images, self._rows.lines)
        return found

    def _named(self, row: Sequence[str]) -> str:
        return row[self._image or 0].strip().replace("\\", "/")

    def _texts(self) -> frozenset[str]:
        """The different labels of the table."""
        if self._finding is None:
            return frozenset()
        return frozenset(map(_text, (row[self._finding] for row in self._rows.rows))) - {""}

    def _are_truths(self, choice: Choice) -> bool:
        """Whether the labels are all truth values or uncertain, and nobody named one as a word."""
        single = not choice.groups and truth(choice.positive or "")
        named = () if single else choice.words
        if any(truth(word) is not None or word in UNCERTAIN for word in named):
            return False
        known = [truth(text) for text in self._words if text not in UNCERTAIN]
        return bool(known) and None not in known

    def _marks(self, image: str, row: Sequence[str], line: int, known: str) -> Iterator[Mark]:
        reader = "" if self._reader is None else row[self._reader].strip()
        for name, column in self._wide.items():
            if text := row[column].strip():
                yield Mark(image, name, self._state(text, name, line), reader)
        if self._wide and self._box is None:
            return
        shape = self._shape(row, line)
        if self._finding is None:
            yield Mark(image, "", shape is not None, reader, shape)
            return
        text = _text(row[self._finding])
        said = truth(text)
        if self._format.columns and "target" in self._format.columns:
            if said is None:
                raise no_label(self._path, line)
            name = known or ("Lung Opacity" if said else "No Lung Opacity")
            yield Mark(image, name, True, reader, shape if said else None)
        elif not text:
            yield Mark(image, "", self._without_label(shape), reader, shape)
        elif self._truths:
            yield Mark(image, self._rows.header[self._finding], said, reader, shape)
        else:
            for name in split_names(text):
                present = None if name in UNCERTAIN and name not in self._chosen else True
                yield Mark(image, name, present, reader, shape)

    def _without_label(self, shape: Box | None) -> bool | None:
        """Whether a line without a label is of a lesion; None if that is not known."""
        if shape is not None:
            return True
        # In a list of boxes of one finding, such a line names a radiograph without it.
        is_list = self._box is not None and not self._truths and len(self._words) < 2
        return False if is_list else None

    def _shape(self, row: Sequence[str], line: int) -> Box | None:
        if self._box is None:
            return None
        texts = [row[column].strip() for column in self._box]
        if not any(texts) or all(text.casefold() == "nan" for text in texts):
            return None
        x, y, across, down = self._numbers(texts, line)
        if self._corners:
            across, down = across - x, down - y
        if not np.isfinite((x, y, across, down)).all() or min(across, down) <= 0:
            raise CohortError(
                f"line {line} has a box without area",
                path=self._path,
                remedy="give x1, y1 above and left of x2, y2"
                if self._corners
                else "give x, y, width, height in pixels, not two corners",
            )
        grid = self._format.grid
        if self._size is not None and any(row[column].strip() for column in self._size):
            width, height = self._numbers([row[column] for column in self._size], line)
            grid = (int(height), int(width))
            if min(grid) < 1:
                raise CohortError(
                    f"line {line} has an image without pixels", path=self._path, remedy="correct it"
                )
        return Box(x, y, across, down, grid)

    def _numbers(self, texts: Sequence[str], line: int) -> list[float]:
        try:
            return [float(text) for text in texts]
        except ValueError as error:
            raise CohortError(
                f"line {line} has a coordinate that is not a number",
                path=self._path,
                remedy="correct it",
            ) from error

    def _state(self, text: str, name: str, line: int) -> bool | None:
        said = truth(text)
        if said is None and text not in UNCERTAIN:
            raise CohortError(
                f"line {line} has {text!r} for {name}",
                path=self._path,
                remedy="give 1, 0, -1 for uncertain, or nothing",
            )
        return said

    def _labels(self, choice: Choice) -> tuple[int | None, dict[str, int]]:
        """The column of findings, or those that are named after one."""
        if choice.label_column is not None:
            column = self._at.get(finding_key(choice.label_column))
            if column is None:
                raise self._lacks(
                    f"a column {choice.label_column!r}", "name another with --label-column"
                )
            return column, {}
        finding = self._first(_FINDINGS)
        own_columns = choice.findings is not None and self._at.keys() & set(
            map(finding_key, choice.findings.words)
        )
        generic = not self._format.columns and (finding is None or own_columns)
        if not self._format.wide and not generic:
            return finding, {}
        proposed = (*self._format.positive, *self._format.negative)
        wanted = {*map(finding_key, (*proposed, *choice.words))}
        header = self._rows.header
        return None, {header[self._at[key]]: self._at[key] for key in wanted & self._at.keys()}

    def _classes(self) -> dict[str, str]:
        """RSNA's class of each image, from the table beside the boxes."""
        if "target" not in self._format.columns:
            return {}
        for path in sorted(self._path.parent.glob("*.csv")):
            if path != self._path and (classes := _rsna_classes(path)):
                return classes
        return {}

    def _facts(self, row: Sequence[str]) -> dict[str, str]:
        taken = {self._image, self._reader, self._finding, *(self._box or ()), *(self._size or ())}
        taken |= set(self._wide.values())
        facts = {} if self._patient is None else {"patient": row[self._patient].strip()}
        for column, name in enumerate(with_split(self._rows.header)):
            if name and column not in taken and column != self._patient:
                facts[name] = row[column]
        return facts

    def _lateral(self, row: Sequence[str]) -> bool:
        column = self._at.get(self._format.frontal)
        view = row[self._image or 0] if column is None else row[column]
        return "lateral" in view.casefold()

    def _first(self, names: Sequence[str]) -> int | None:
        return next((self._at[name] for name in names if name in self._at), None)

    def _all(self, choices: Sequence[Sequence[str]]) -> tuple[int, ...] | None:
        found = (names for names in choices if all(name in self._at for name in names))
        names = next(found, None)
        return None if names is None else tuple(self._at[name] for name in names)

    def _lacks(self, what: str, remedy: str) -> CohortError:
        return other_delimiter(self._path, self._rows.header) or CohortError(
            f"is {self._format.name} without {what} (found: {', '.join(self._rows.header)})",
            path=self._path,
            remedy=remedy,
        )


def _text(cell: str) -> str:
    """A cell's label; "" for one that is blank, also as pandas writes it."""
    text = cell.strip()
    return "" if text.casefold() == "nan" else text


def _rsna_classes(path: Path) -> dict[str, str]:
    try:
        rows = read_rows(path)
    except CohortError:
        return {}
    keys = list(map(finding_key, rows.header))
    if "patientid" not in keys or "class" not in keys:
        return {}
    image, name = keys.index("patientid"), keys.index("class")
    return {row[image].strip(): row[name].strip() for row in rows.rows}
