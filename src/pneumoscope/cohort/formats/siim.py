"""The two tables of SIIM-FISABIO-RSNA COVID-19: images with boxes, studies with labels."""

from __future__ import annotations

import ast
from pathlib import Path

from pneumoscope.cohort.formats.marks import ORIGINAL, Box, FieldFile, Mark
from pneumoscope.cohort.formats.words import finding_key, truth
from pneumoscope.cohort.tables import Rows, read_rows
from pneumoscope.errors import CohortError

_NEGATIVE = "Negative for Pneumonia"
_POSITIVE = ("Typical Appearance", "Indeterminate Appearance", "Atypical Appearance")
_OPACITY, _NONE = "opacity", "no box"
STUDY_COLUMNS = frozenset({"id", *map(finding_key, (_NEGATIVE, *_POSITIVE))})
IMAGE_COLUMNS = frozenset({"id", "boxes", "label", "studyinstanceuid"})


def read_siim(path: Path) -> FieldFile:
    """Read either table; the other one is taken from the same folder.

    Without the table of studies there are boxes but no labels: a radiograph without a box may
    belong to a study with pneumonia. Boxes are in pixels of the original radiograph.

    Raises:
        CohortError: a table is damaged, or that of studies is alone.
    """
    images, where = _find(path, IMAGE_COLUMNS), path.parent
    studies = _find(path, STUDY_COLUMNS)
    if images is None:
        raise CohortError(
            "is SIIM's table of studies (train_study_level.csv), which names no images",
            path=path,
            remedy=f"put train_image_level.csv beside it, in {where}",
        )
    label_of = {} if studies is None else _labels(studies)
    at = {finding_key(name): column for column, name in enumerate(images.header)}
    marks: list[Mark] = []
    facts: dict[str, dict[str, str]] = {}
    for line, row in zip(images.lines, images.rows, strict=True):
        image = row[at["id"]].strip().removesuffix("_image")
        study = row[at["studyinstanceuid"]].strip()
        facts[image] = {"patient": study, "study_label": label_of.get(study, "")}
        boxes = _boxes(row[at["boxes"]], path, line)
        marks += [Mark(image, _OPACITY, shape=box) for box in boxes]
        if study in label_of:
            marks.append(Mark(image, label_of[study]))
        elif not boxes:
            marks.append(Mark(image, _NONE))
    return FieldFile(
        path,
        "SIIM-COVID's table of images (train_image_level.csv)"
        + ("" if studies is None else " with that of studies"),
        marks,
        (_OPACITY, *_POSITIVE),
        (_NEGATIVE,),
        facts,
    )


def _find(path: Path, columns: frozenset[str]) -> Rows | None:
    """The table with these columns: the file itself, else one in its folder."""
    for candidate in (path, *sorted(path.parent.glob("*.csv"))):
        try:
            rows = read_rows(candidate)
        except CohortError:
            continue
        if columns <= frozenset(map(finding_key, rows.header)):
            return rows
    return None


def _labels(studies: Rows) -> dict[str, str]:
    at = {finding_key(name): column for column, name in enumerate(studies.header)}
    found: dict[str, str] = {}
    for row in studies.rows:
        names = [name for name in (_NEGATIVE, *_POSITIVE) if truth(row[at[finding_key(name)]])]
        if names:
            found[row[at["id"]].strip().removesuffix("_study")] = names[0]
    return found


def _boxes(text: str, path: Path, line: int) -> list[Box]:
    """Boxes from a cell such as `[{'x': 1, 'y': 2, 'width': 3, 'height': 4}]`."""
    if not text.strip() or text.strip().casefold() == "nan":
        return []
    try:
        boxes = [
            Box(
                float(box["x"]),
                float(box["y"]),
                float(box["width"]),
                float(box["height"]),
                ORIGINAL,
            )
            for box in ast.literal_eval(text)
        ]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise CohortError(
            f"line {line} has boxes that cannot be read",
            path=path,
            remedy="give them as [{'x': 1, 'y': 2, 'width': 3, 'height': 4}]",
        ) from error
    if any(min(box.width, box.height) <= 0 for box in boxes):
        raise CohortError(f"line {line} has a box without area", path=path, remedy="correct it")
    return boxes
