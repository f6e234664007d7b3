"""Reading annotations: what a file or folder is by its content, and its lesions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.dicom_objects import read_dicom_objects
from pneumoscope.cohort.formats.documents import CLASS_FILES, read_json, read_voc, read_yolo
from pneumoscope.cohort.formats.drawings import Drawings
from pneumoscope.cohort.formats.marks import FieldFile
from pneumoscope.cohort.formats.pictures import read_masks, read_nifti
from pneumoscope.cohort.formats.tables import read_plain_table, read_table_of_the_field
from pneumoscope.errors import CohortError
from pneumoscope.imaging import is_dicom_start

_HEAD = 348
_PICTURES = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif", ".jpg", ".jpeg"})
_KINDS = {
    ".xml": "Pascal VOC's XML",
    ".txt": "YOLO's text files",
    ".nii": "NIfTI masks",
    ".gz": "NIfTI masks",
    **dict.fromkeys(_PICTURES, "pictures of masks"),
}
_REMEDY = "give one of the formats in docs/annotations.md"

Named = list[tuple[str, Path]]


def read_drawings(path: Path, choice: Choice | None = None, *, outlines: bool = False) -> Drawings:
    """Read the lesions of a file or folder, whatever format of the field it has.

    Args:
        path: a table, JSON, XML, DICOM or NIfTI file, or a folder of such files or of masks.
        choice: which positive findings are lesions, and whose; the format's own when None. Its
            negative findings and label column are those of cohorts.
        outlines: take outlines where a file has both outlines and boxes.

    Raises:
        CohortError: it is none of the formats, damaged, without boxes and outlines, or it is not
            clear which findings count.
        MissingExtra: the format needs a library that is not installed.
    """
    path, choice = Path(path), replace(choice or Choice(), negative=None, label_column=None)
    file = _folder(path) if path.is_dir() else _file(path, choice, outlines)
    return Drawings.of(file, choice)


def _file(path: Path, choice: Choice, outlines: bool) -> FieldFile:
    head = _head(path)
    named: Named = [(path.name, path)]
    if is_dicom_start(head):
        return read_dicom_objects(path, [path])
    if path.suffix.lower() in (".nii", ".gz"):
        return read_nifti(path, named)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"[")):
        return read_json(path, outlines)
    if text.startswith(b"<"):
        return read_voc(path, named)
    if path.suffix.lower() == ".txt":
        return read_yolo(path, named)
    if path.suffix.lower() in _PICTURES or b"\0" in head:
        raise CohortError("is not an annotation file", path=path, remedy=f"{_REMEDY}, or a folder")
    return read_table_of_the_field(path, choice) or read_plain_table(path, choice)


def _folder(path: Path) -> FieldFile:
    kinds: dict[str, Named] = {}
    unknown: list[Path] = []
    for file in sorted(path.rglob("*")):
        if not file.is_file() or _hidden(file, path) or file.name in CLASS_FILES:
            continue
        kind = _KINDS.get(file.suffix.lower()) or ("DICOM" if is_dicom_start(_head(file)) else "")
        if kind:
            kinds.setdefault(kind, []).append((file.relative_to(path).as_posix(), file))
        else:
            unknown.append(file)
    if len(kinds) != 1:
        listed = ", ".join(f"{len(files):,} {kind}" for kind, files in kinds.items())
        other = f"; {len(unknown):,} other files" if unknown else ""
        raise CohortError(
            f"holds {listed or 'no annotations'}{other}",
            path=path,
            remedy="give a folder with annotations of one kind, or a file",
        )
    kind, files = next(iter(kinds.items()))
    return _of_kind(kind, path, files)


def _of_kind(kind: str, path: Path, files: Named) -> FieldFile:
    if kind == "DICOM":
        return read_dicom_objects(path, [file for _, file in files])
    readers = {
        _KINDS[".xml"]: read_voc,
        _KINDS[".txt"]: read_yolo,
        _KINDS[".nii"]: read_nifti,
        _KINDS[".png"]: read_masks,
    }
    return readers[kind](path, files)


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD)
    except FileNotFoundError as error:
        raise CohortError("does not exist", path=path, remedy="check the path") from error
    except OSError as error:
        raise CohortError(
            f"cannot be read ({error.strerror or error})", path=path, remedy="check the path"
        ) from error
