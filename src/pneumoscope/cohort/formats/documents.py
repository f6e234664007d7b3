"""Annotations in JSON and XML: COCO, CheXlocalize, Pascal VOC; and YOLO's text files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pneumoscope.cohort.formats.marks import Box, FieldFile, Mark, Mask, Outline, Shape
from pneumoscope.cohort.formats.outlines import (
    checked_grid,
    coco_area,
    coco_mask,
    coco_runs,
    drawn_polygons,
    polygon_mask,
)
from pneumoscope.errors import CohortError
from pneumoscope.extras import require

_MOST_JSON = 500 * 2**20
_MOST_TEXT = 4 * 2**20
CLASS_FILES = ("classes.txt", "obj.names", "data.yaml", "dataset.yaml", "data.yml")
_FRACTIONS = (1, 1)


def read_json(path: Path, outlines: bool) -> FieldFile:
    """Read COCO or CheXlocalize.

    Args:
        path: the file.
        outlines: whether COCO's outlines are taken where both are there; else its boxes.

    Raises:
        CohortError: it is neither, or damaged.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise CohortError("is larger than 500 MB", path=path, remedy="split it")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CohortError("cannot be read as JSON", path=path, remedy="export it again") from error
    try:
        if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
            return _coco(content, path, outlines)
        if isinstance(content, dict) and content and all(map(_is_film, content.values())):
            return _chexlocalize(content, path)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CohortError(
            f"is COCO's or CheXlocalize's JSON, but incomplete ({type(error).__name__}: {error})",
            path=path,
            remedy="export it again",
        ) from error
    raise CohortError(
        "is JSON, but neither COCO's (images, annotations, categories) nor CheXlocalize's (an "
        "object of findings for each image)",
        path=path,
        remedy="give one of the formats in docs/annotations.md",
    )


def _coco(content: Mapping[str, Any], path: Path, outlines: bool) -> FieldFile:
    names = {item["id"]: str(item["name"]) for item in content.get("categories", ())}
    images = {item["id"]: item for item in content["images"]}
    marks = [Mark(str(item["file_name"]), "", present=False) for item in images.values()]
    for item in content["annotations"]:
        image = images[item["image_id"]]
        if shape := _coco_shape(item, image, path, outlines):
            finding = names.get(item.get("category_id"), "")
            marks.append(Mark(str(image["file_name"]), finding, shape=shape))
    return FieldFile(path, "COCO's JSON", marks, may_be_empty=True)


def _coco_shape(
    item: Mapping[str, Any], image: Mapping[str, Any], path: Path, outlines: bool
) -> Shape | None:
    outline, box = item.get("segmentation"), item.get("bbox")
    if outline and (outlines or not box):
        grid = checked_grid(image["height"], image["width"], path)
        return Outline(_decoder(coco_runs(outline, grid, path), path))
    if not box:
        return None
    x, y, across, down = map(float, box)
    if min(across, down) <= 0:
        raise CohortError(
            f"has a box without area on {image['file_name']}", path=path, remedy="correct it"
        )
    if "height" not in image or "width" not in image:
        return Box(x, y, across, down)
    return Box(x, y, across, down, checked_grid(image["height"], image["width"], path))


def _decoder(runs: Any, path: Path) -> Callable[[int, int], Mask]:
    return lambda height, width: coco_mask(runs, path)


def _polygons(drawn: Any, size: Any, path: Path) -> Callable[[int, int], Mask]:
    rows, columns = checked_grid(size[0], size[1], path)
    polygons = [[(float(x), float(y)) for x, y in polygon] for polygon in drawn]
    return lambda height, width: drawn_polygons(polygons, rows, columns)


def _is_film(value: Any) -> bool:
    """Whether it is what CheXlocalize has of a radiograph: a size, outlines or run lengths."""
    return isinstance(value, dict) and all(
        isinstance(own, list) or (isinstance(own, dict) and {"size", "counts"} <= own.keys())
        for own in value.values()
    )


def _chexlocalize(content: Mapping[str, Any], path: Path) -> FieldFile:
    marks: list[Mark] = []
    for image, findings in content.items():
        marks.append(Mark(image, "", present=False))
        size = findings.get("img_size")
        for finding, drawn in findings.items():
            if finding == "img_size":
                continue
            shape: Shape | None = None
            if isinstance(drawn, dict):
                grid = checked_grid(drawn["size"][0], drawn["size"][1], path)
                runs = coco_runs(drawn, grid, path)
                shape = Outline(_decoder(runs, path)) if coco_area(runs) else None
            elif drawn:
                shape = Outline(_polygons(drawn, size, path))
            if shape is not None:
                marks.append(Mark(image, finding, shape=shape))
    return FieldFile(
        path,
        "CheXlocalize's JSON",
        marks,
        positive=("Airspace Opacity", "Lung Opacity", "Consolidation", "Pneumonia"),
    )


def read_voc(path: Path, files: Sequence[tuple[str, Path]]) -> FieldFile:
    """Read Pascal VOC, one XML file for each radiograph.

    Args:
        path: the file or folder, for messages.
        files: name without suffix, relative to the folder, and the file.

    Raises:
        CohortError: a file is no such annotation.
    """
    marks = [mark for name, file in files for mark in _voc(name, file)]
    return FieldFile(path, "Pascal VOC's XML", marks, may_be_empty=True)


def _voc(name: str, path: Path) -> Iterator[Mark]:
    text = _text(path)
    try:
        # Entities can make a small file expand without end.
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("it declares entities")
        root = ET.fromstring(text)
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag}>, not <annotation>")
        yield Mark(name, "", present=False)
        width, height = root.findtext("size/width"), root.findtext("size/height")
        grid = checked_grid(height, width, path) if width and height else None
        for item in root.iter("object"):
            corners = [float(item.findtext(f"bndbox/{side}", "")) for side in _VOC_SIDES]
            left, top, right, bottom = corners
            if right <= left or bottom <= top:
                raise ValueError("a box without area")
            box = Box(left, top, right - left, bottom - top, grid)
            yield Mark(name, item.findtext("name", "").strip(), shape=box)
    except (ET.ParseError, ValueError) as error:
        raise CohortError(
            f"cannot be read as Pascal VOC's XML ({error})", path=path, remedy="export it again"
        ) from error


_VOC_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_yolo(path: Path, files: Sequence[tuple[str, Path]]) -> FieldFile:
    """Read YOLO's text files, one for each radiograph; an empty one says that it has no lesion.

    Names of classes are taken from `classes.txt`, `obj.names` or `data.yaml` beside or above the
    files; without them a class is called by its number.

    Args:
        path: the file or folder, for messages.
        files: name without suffix, relative to the folder, and the file.

    Raises:
        CohortError: a file is no such annotation.
    """
    folder = path if path.is_dir() else path.parent
    names = _class_names(folder)
    marks = [
        mark
        for name, file in files
        if file.name not in CLASS_FILES
        for mark in _yolo(name, file, names)
    ]
    return FieldFile(path, "YOLO's text files", marks, may_be_empty=True)


def _yolo(name: str, path: Path, names: Mapping[int, str]) -> Iterator[Mark]:
    yield Mark(name, "", present=False)
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, *rest = line.split()
            values = [float(value) for value in rest]
            if not all(-0.5 <= value <= 1.5 for value in values):
                raise ValueError("values that are not fractions of the radiograph")
            yield Mark(name, names.get(int(label), label), shape=_yolo_shape(values, path))
        except ValueError as error:
            raise CohortError(
                f"line {number} cannot be read as YOLO's ({error})",
                path=path,
                remedy="give class, centre x, centre y, width, height as shares of the radiograph",
            ) from error


def _yolo_shape(values: Sequence[float], path: Path) -> Shape:
    if len(values) == 4:
        x, y, across, down = values
        if min(across, down) <= 0:
            raise ValueError("a box without area")
        return Box(x - across / 2, y - down / 2, across, down, _FRACTIONS)
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values) + 1} values in a line")
    require("annotations", "an outline in YOLO's format")
    points = np.array(values).reshape(-1, 2)
    return Outline(
        lambda height, width: polygon_mask(
            (points * (width, height)).ravel().tolist(), height, width, path
        )
    )


def _class_names(folder: Path) -> dict[int, str]:
    for place in (folder, folder.parent):
        for name in CLASS_FILES:
            path = place / name
            if not path.is_file():
                continue
            text = _text(path)
            if path.suffix not in (".yaml", ".yml"):
                return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
            try:
                names = (yaml.safe_load(text) or {}).get("names") or {}
                pairs = names.items() if isinstance(names, dict) else enumerate(names)
                return {int(number): str(label) for number, label in pairs}
            except (yaml.YAMLError, AttributeError, TypeError, ValueError):
                continue
    return {}


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_TEXT:
            raise CohortError(
                "is too large for the annotation of one radiograph",
                path=path,
                remedy="check the file",
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(
            "cannot be read as text", path=path, remedy="check the path and its permissions"
        ) from error
